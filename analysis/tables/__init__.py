"""One file per table. To add a table, add a file here with these names.

NAME        File name without ending.
QUESTION    The question that the table answers, one sentence.
PAPER       The paper's tables that it regenerates, such as "Tables 3 and 5"; "" if none.
table(study) -> DataFrame   Every number, with interval, n, seeds and mark; all statistics happen here. A column `note`
                            gives the reason for a missing value. No rows: there is no data yet.
layout(table) -> Layout     The printed table (presentation/table_layout.py): a caption of at most two sentences, rows,
                            and notes, which are shown as details; no statistics.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def discover() -> list[ModuleType]:
    """Return all table modules of this folder by file name; files that start with an underscore hold none."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]


def find(name: str) -> ModuleType:
    """Return the table module with this NAME."""
    return next(module for module in discover() if name == module.NAME)
