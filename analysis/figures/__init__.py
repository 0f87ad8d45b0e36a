"""One file per figure, or per family of figures. To add a figure, add a file here with these names.

NAME        File name without ending.
QUESTION    The question that the figure answers, one sentence.
PAPER       The paper's figures that it regenerates, such as "Figures 2, 4, 7 and 8"; "" if none.
table(study) -> DataFrame       All drawn values, intervals included; all statistics happen here. A column `panel`
                                splits the figure into panels. No rows: there is no data yet.
caption(table) -> str           At most two sentences: the drawn quantity, then n, seeds, scope, interval.
details(table) -> [str, ...]    Optional. Further sentences: definitions, methods, exceptions. "" is skipped.
draw(table, ax) -> ax           Draws one panel's rows onto one axes; no arithmetic.

A file with a tuple FIGURES of objects that have these names adds a figure for each of them.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def discover() -> list[Any]:
    """Return all figures of this folder by NAME; files that start with an underscore hold none."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    found = [figure for module in modules for figure in getattr(module, "FIGURES", (module,))]
    return sorted(found, key=lambda figure: figure.NAME)


def find(name: str) -> Any:
    """Return the figure with this NAME."""
    return next(figure for figure in discover() if name == figure.NAME)
