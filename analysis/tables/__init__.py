"""One file per table. To add a table, add a file here with these names.

NAME        File name without ending.
QUESTION    The question that the table answers, one sentence.
PAPER       Optional. The paper's tables that it regenerates, such as "Tables 3 and 5"; "" if none.
table(study) -> DataFrame   Every number, with interval, n, seeds and mark; all statistics happen here. A column `note`
                            gives the reason for a missing value. No rows: there is no data yet.
layout(table) -> Layout     The printed table (presentation/table_layout.py): a caption of at most two sentences, rows,
                            and notes, which are shown as details; no statistics.
"""

from __future__ import annotations

import sys
from typing import Any

from analysis.presentation import discovery

REQUIRED = ("NAME", "QUESTION", "table", "layout")


def discover() -> list[Any]:
    """Return all tables of this folder by NAME; a file that lacks one of REQUIRED is a discovery.Broken."""
    return discovery.discover(sys.modules[__name__], REQUIRED)


def find(name: str) -> Any:
    """Return the table with this NAME."""
    return discovery.find(discover(), name)
