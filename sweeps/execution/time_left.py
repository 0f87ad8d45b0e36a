"""Remaining time of a sweep in progress and of its runs, from runs like them that have finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agrae_lab import runs
from sweeps.execution import eta
from sweeps.execution.names import with_config


class TimeLeft:
    """Estimates of a sweep. Every run has its own expected duration, by its steps, completions and samples."""

    def __init__(self, num_slots: int, finished: Iterable[runs.Run], planned: Iterable[runs.Run]) -> None:
        self._num_slots = num_slots
        self._finished = [with_config(run) for run in finished if run.status == "done"]
        waiting = (run for run in planned if run.status not in runs.FINAL_STATUSES)
        self._waiting = {run.path: run for run in waiting}  # in the order in which they start
        self._expected: dict[Path, float | None] = {}  # from the finished runs
        self._trained: dict[Path, bool] = {}  # when its attempt started: a run in progress gets its model meanwhile

    def take(self, run: runs.Run, *, has_finished: bool = False) -> None:
        """Take a run that has started or ended out of the waiting ones."""
        self._waiting.pop(run.path, None)
        if has_finished:
            self._finished.append(run)
            self._expected.clear()

    def put_back(self, run: runs.Run) -> None:
        """Let a run wait again."""
        self._waiting[run.path] = run
        self._trained.pop(run.path, None)
        self._expected.pop(run.path, None)

    def estimate(
        self,
        active: Sequence[runs.Run],
        progresses: Sequence[Mapping[str, Any]],
        elapsed: Sequence[float],
        *,
        num_waiting: int,
    ) -> tuple[list[float | None], float | None]:
        """Return the seconds left of each active run, and of the sweep; None where nothing is known yet.

        Args:
            progresses: content of each active run's progress.json.
            elapsed: seconds since each active run has started.
            num_waiting: runs still to start, the trials of a search included, whose configs are not known yet.
        """
        left = [
            eta.run_remaining(progress, elapsed=seconds, typical=self._expected_seconds(run))
            for run, progress, seconds in zip(active, progresses, elapsed, strict=True)
        ]
        pairs = zip(active, elapsed, left, strict=True)
        known = [(run, seconds + rest) for run, seconds, rest in pairs if rest is not None]
        waiting = [
            self._expected_seconds(run) or eta.expected_beside(run, known)
            for run in list(self._waiting.values())[:num_waiting]
        ]
        typical = eta.typical_seconds(self._finished) or max((seconds for _, seconds in known), default=None)
        waiting += [typical] * (num_waiting - len(waiting))
        return left, eta.sweep_remaining(left, waiting=waiting, num_slots=self._num_slots)

    def _expected_seconds(self, run: runs.Run) -> float | None:
        """Return a run's expected duration by the finished runs like it; None without any."""
        if run.path not in self._expected:
            trained = self._trained.setdefault(run.path, eta.is_trained(run))
            self._expected[run.path] = eta.expected_seconds(run, self._finished, trained=trained)
        return self._expected[run.path]
