"""One file per table. To add a table, add a file here with

QUESTION    what the table answers, one sentence
NAME        file name without ending
PAPER       which of the paper's tables it regenerates, "" if none: "Tables 3 and 5"
table(study) -> DataFrame   every number, with interval, n, seeds and mark; all statistics happen here, and a column
                            `note` says why a value is missing. No rows: there is no data yet.
layout(table) -> Layout     what readers see (tabulate.py); no statistics
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def discover() -> list[ModuleType]:
    """All table modules in this folder, by name; files that start with an underscore are not tables."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]
