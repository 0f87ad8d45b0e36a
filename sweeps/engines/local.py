"""Engine of this machine: processes of the local executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agrae_lab import runs
from sweeps.engines import check_options
from sweeps.execution import executor
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import Outcome
from sweeps.execution.slots import largest_layout, make_slots, preload_for


def check(options: Mapping[str, Any], retry_policy: RetryPolicy) -> None:
    """Implement sweeps.engines.Engine.check."""
    check_options("local", options, ())


def run_all(
    todo: Sequence[runs.Run],
    *,
    num_slots: int | None,
    options: Mapping[str, Any],
    train_module: str,
    preload: Sequence[str],
    display: executor.Display,
    retry_policy: RetryPolicy,
) -> tuple[list[Outcome], bool]:
    """Implement sweeps.engines.Engine.run_all."""
    preload = preload_for((run.config for run in todo), preload)
    slots = make_slots(len(todo), num_slots=num_slots, layout=largest_layout(run.config for run in todo))
    return executor.run_all(
        todo, slots=slots, train_module=train_module, preload=preload, display=display, retry_policy=retry_policy
    )
