"""Where runs are carried through: one module per engine, each with the same two functions.

    local.py    processes of this machine (sweeps.execution.executor); the command stays until all are over
    slurm.py    one job array through submitit; the command ends when it is submitted
    ray.py      tasks of a Ray cluster; the command stays
    job.py      what a job of a cluster does with its one run

A run leaves nothing but its directory, wherever it was at work, so any engine continues what another began.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from agrae_lab import runs
from sweeps.errors import PlanError, close_match
from sweeps.execution.executor import Display, Outcome
from sweeps.execution.retry_policy import Policy

ENGINES = ("local", "slurm", "ray")


class Engine(Protocol):
    """What each module has."""

    def check(self, options: Mapping[str, Any], policy: Policy) -> None:
        """Hold the engine's options, and the policy, to what it can do here; starts nothing.

        Raises:
            PlanError: a library or a cluster that is not there, an option or a rule that the engine does not have.
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
        policy: Policy,
    ) -> tuple[list[Outcome], bool]:
        """Carry runs through, or have them queued; as sweeps.execution.executor.run_all.

        Args:
            num_slots: how many run at a time; None: as many as there is room for.
            options: of this engine, as a study's `resources.options` gives them.
        """


def load(name: str) -> Engine:
    """The engine of that name; its library is not imported yet.

    Raises:
        PlanError: there is none.
    """
    if name not in ENGINES:
        hint = close_match(name, ENGINES) or f"it is one of {', '.join(ENGINES)}"
        raise PlanError([f"resources.engine is {name!r}; {hint}"])
    return cast(Engine, importlib.import_module(f"sweeps.engines.{name}"))


def check_options(engine: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises PlanError for the first option that the engine does not have."""
    known = sorted(known)
    for key in options:
        if key not in known:
            choices = ", ".join(known) or "none"
            hint = close_match(key, known) or f"it has {choices}"
            raise PlanError([f"resources.options.{key}: engine {engine} has no such option; {hint}"])
