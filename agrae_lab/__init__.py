"""agrae_lab: the lab bench for advantage estimators in reinforcement learning with verifiable rewards.

Import the room you need (`agrae_lab.advantages`, `agrae_lab.runs`, ...); this package imports none of them itself,
so that the advantages need torch alone and the analysis needs no torch at all.

`sweeps` and `analysis` are installed beside this package under names that a user's own folders may have too. From the
import of this package on they are the ones beside it, also in a working directory with such folders.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

BESIDE = ("analysis", "sweeps")  # packages of this project in the folder of agrae_lab


class BesideFinder:
    """Finder of this project's other packages, asked before those of the working directory."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the package beside agrae_lab; None for another name, or if agrae_lab lies alone."""
        return PathFinder.find_spec(name, [str(Path(__file__).parents[1])]) if name in BESIDE else None


if not any(getattr(finder, "__name__", "") == "BesideFinder" for finder in sys.meta_path):
    sys.meta_path.insert(0, BesideFinder)
