"""Engines: one module for each place where runs are executed, all with the same two functions.

    local.py    processes of this machine (sweeps.execution.executor); the command stays until all runs have ended
    slurm.py    one job array through submitit; the command ends after the submission
    ray.py      tasks of a Ray cluster; the command stays

job.py is no engine: it is the process that slurm and ray start for one run.

A run leaves nothing but its directory, so any engine resumes the runs of another.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from agrae_lab import runs
from agrae_lab.runs.suggestions import close_match
from sweeps.errors import PlanError
from sweeps.execution.executor import Display
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import Outcome

ENGINES = ("local", "slurm", "ray")


class Engine(Protocol):
    """Functions of each engine module."""

    def check(self, options: Mapping[str, Any], retry_policy: RetryPolicy) -> None:
        """Check the engine's options and the retry policy. Nothing is started.

        Raises:
            PlanError: a missing library or cluster, or an option or stop rule that the engine lacks.
        """

    def run_all(
        self,
        todo: Sequence[runs.Run],
        *,
        num_slots: int | None,
        options: Mapping[str, Any],
        train_module: str,
        preload: Sequence[str],
        display: Display,
        retry_policy: RetryPolicy,
    ) -> tuple[list[Outcome], bool]:
        """Execute runs, or queue them; as sweeps.execution.executor.run_all.

        Args:
            num_slots: the number of runs at a time; None: as many as there is room for.
            options: of this engine, from a study's `resources.options`.
        """


def load(name: str) -> Engine:
    """Return the engine of that name; its library is not imported yet.

    Raises:
        PlanError: there is none.
    """
    if name not in ENGINES:
        hint = close_match(name, ENGINES) or f"it is one of {', '.join(ENGINES)}"
        raise PlanError([f"resources.engine is {name!r}; {hint}"])
    return cast(Engine, importlib.import_module(f"sweeps.engines.{name}"))


def check_options(engine: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Check that the engine has these options.

    Raises:
        PlanError: it lacks one.
    """
    known = sorted(known)
    for key in options:
        if key not in known:
            choices = ", ".join(known) or "none"
            hint = close_match(key, known) or f"it has {choices}"
            raise PlanError([f"resources.options.{key}: engine {engine} has no such option; {hint}"])
