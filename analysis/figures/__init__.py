"""One file per figure, or per family of figures. To add a figure, add a file here with these names.

NAME        File name without ending.
QUESTION    The question that the figure answers, one sentence.
PAPER       Optional. The paper's figures that it regenerates, such as "Figures 2, 4, 7 and 8"; "" if none.
COLUMNS     Optional. Panels side by side; by default the number of panels decides.
EMPTY       Optional. The reason why a study has no such figure, where its runs have records and the table no rows.
table(study) -> DataFrame       All drawn values, intervals included; all statistics happen here. A column `panel`
                                splits the figure into panels. No rows: there is no data yet.
caption(table) -> str           At most two sentences: the drawn quantity, then n, seeds, scope, interval.
details(table) -> [str, ...]    Optional. Further sentences: definitions, methods, exceptions. "" is skipped.
draw(table, ax) -> ax           Draws one panel's rows onto one axes; no arithmetic.

A file with a tuple FIGURES of objects that have these names adds a figure for each of them.
"""

from __future__ import annotations

import sys
from typing import Any

from analysis.presentation import discovery

REQUIRED = ("NAME", "QUESTION", "table", "caption", "draw")


def discover() -> list[Any]:
    """Return all figures of this folder by NAME; a file that lacks one of REQUIRED is a discovery.Broken."""
    return discovery.discover(sys.modules[__name__], REQUIRED, several="FIGURES")


def find(name: str) -> Any:
    """Return the figure with this NAME."""
    return discovery.find(discover(), name)
