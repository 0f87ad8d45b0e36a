"""One file per figure. To add a figure, add a file here with

QUESTION    what the figure answers, one sentence
NAME        file name without ending
PAPER       which of the paper's figures it regenerates, "" if none: "Figures 2, 4, 7 and 8"
table(study) -> DataFrame          everything that is drawn, intervals included; all statistics happen here.
                                   A column `panel` splits it into panels. No rows: there is no data yet.
caption(table) -> str              what a reader must know to read the figure: n, seeds, interval, definitions
draw(table, ax) -> ax              one panel's rows onto one axes; no arithmetic
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def discover() -> list[ModuleType]:
    """All figure modules in this folder, by name; files that start with an underscore are not figures."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]
