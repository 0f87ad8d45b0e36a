"""Names of a sweep's runs: the arm, the settings that tell its cells apart, and the hash behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from agrae_lab import runs

_MOST_SETTINGS = 3  # in a name


class RunNames:
    """Names of runs. Several cells of one arm are told apart by the settings in which they differ."""

    def __init__(self, known: Iterable[runs.Run] = ()) -> None:
        self._cells: dict[str, dict[str, Mapping[str, Any]]] = {}  # arm → folder of a cell → its config
        self._labels: dict[str, str] = {}
        for run in known:
            self.add(run)

    def add(self, run: runs.Run) -> None:
        """Take a run into account."""
        cells = self._cells.setdefault(run.arm, {})
        if run.path.parent.name not in cells:
            cells[run.path.parent.name] = with_config(run).config
            self._labels.clear()

    def cell(self, run: runs.Run) -> str:
        """Return `grpo`, or `grpo learning_rate=0.0002 (1a2b3c4d)` if the arm has several cells."""
        self.add(run)
        folder = run.path.parent.name
        if folder not in self._labels:
            self._labels[folder] = self._label(run.arm, folder)
        return self._labels[folder]

    def run(self, run: runs.Run) -> str:
        """Return the name of the run's cell with its seed."""
        return f"{self.cell(run)} seed {run.seed}"

    def _label(self, arm: str, folder: str) -> str:
        cells = self._cells[arm]
        if len(cells) == 1:
            return arm
        differ, own = runs.differing(list(cells.values())), runs.settings(cells[folder])
        words = [f"{key.rpartition('.')[2]}={own.get(key)}" for key in differ[:_MOST_SETTINGS]]
        more = ["…"] if len(differ) > _MOST_SETTINGS else []
        return " ".join([arm, *words, *more, f"({folder.rpartition('-')[2]})"])


def with_config(run: runs.Run) -> runs.Run:
    """Return the run with its whole config, if it was read without; itself where that cannot be read."""
    if run.config.keys() <= {"arm", "seed"}:
        with suppress(runs.RunError):
            return runs.read_run(run.path)
    return run
