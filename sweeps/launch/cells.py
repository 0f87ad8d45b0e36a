"""Launch of cells: plan, write, execute, summarise. The command line and the Hydra launcher share it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Console

from agrae_lab import runs
from sweeps import engines
from sweeps.engines.slurm import QUEUED
from sweeps.errors import PlanError, refusing_disk_errors
from sweeps.execution.display import make_console, make_display, print_summary
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import Outcome
from sweeps.execution.slots import check_here, largest_layout, slots_of_launch
from sweeps.inspect.accuracy import print_accuracy
from sweeps.planning.freeze import Freeze, Plan, make_plan
from sweeps.planning.run_dirs import check_root
from sweeps.spec.experiments import Cell

TRAIN_MODULE = "agrae_lab.train"
PRELOAD = ("agrae_lab.training.session", TRAIN_MODULE)  # they import torch, transformers and trl

ALL_DONE = 0
SOME_NOT_DONE = 1
BAD_PLAN = 2
INTERRUPTED = 130
STOPPED_HINT = "stopped; run the same command to resume"


def launch(
    cells: Sequence[Cell],
    *,
    num_slots: int | None = None,
    engine: str = "local",
    train_module: str = TRAIN_MODULE,
    preload: Sequence[str] = PRELOAD,
) -> int:
    """Execute all unfinished cells on an engine, with its default options.

    Returns:
        0: all done, or queued; 1: some failed, diverged, or are busy elsewhere; 2: a bad cell, nothing was started;
        130: stopped on request.
    """
    try:
        chosen = engines.load(engine)
        chosen.check({}, RetryPolicy())
        plan = make_plan(cells, load_freeze(train_module))
        num_slots, num_at_once = _num_slots(plan, engine, num_slots=num_slots)
        with refusing_disk_errors():
            for root in {run.root for run in plan.todo} | {root for root, _ in plan.experiments}:
                check_root(root)
            plan.write()
    except PlanError as error:
        return print_refusal(error)
    except runs.RunError as error:  # for example a manifest that cannot be read
        return print_refusal(PlanError([str(error)]))
    console = make_console()
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        if plan.todo:
            run = partial(chosen.run_all, num_slots=num_slots, train_module=train_module, preload=preload)
            outcomes, interrupted = _run_displayed(plan, run, console, engine=engine, num_at_once=num_at_once)
    except runs.RunError as error:  # the fork server cannot load its modules
        print(error, file=sys.stderr)
        return SOME_NOT_DONE
    if outcomes or plan.finished:
        print_summary(console, outcomes, plan.finished)
    print_accuracy(console, [*plan.finished, *(outcome.run for outcome in outcomes)])
    ended = [run.status for run in plan.finished] + [outcome.status for outcome in outcomes]
    if interrupted:
        print(STOPPED_HINT)
    return exit_code(ended, interrupted=interrupted)


def _run_displayed(
    plan: Plan, run: Callable[..., tuple[list[Outcome], bool]], console: Console, *, engine: str, num_at_once: int
) -> tuple[list[Outcome], bool]:
    """Run the plan's unfinished runs under a display; return the outcomes, and True if the user stopped them.

    Raises:
        RunError: as `run`, an engine's `run_all`.
    """
    for sentence in plan.warnings:
        print(f"warning: {sentence}")
    at_once = f", {num_at_once} at a time" if engine == "local" else ""
    print(f"runs: {len(plan.todo)} to do, {len(plan.finished)} finished before{at_once}", flush=True)
    with make_display(
        console,
        num_runs=len(plan.todo),
        finished_before=plan.finished,
        num_slots=num_at_once,
        planned=plan.planned,
    ) as display:
        outcomes, interrupted = run(plan.todo, options={}, display=display, retry_policy=RetryPolicy())
    return [outcome for outcome in outcomes if outcome.status != QUEUED], interrupted


def _num_slots(plan: Plan, engine: str, *, num_slots: int | None) -> tuple[int | None, int]:
    """Return the number of runs at a time for the engine, and for the display.

    Raises:
        PlanError: num_slots below 1, or this machine is to start a run's processes and cannot.
    """
    if engine == "local":
        check_here(run.config for run in plan.todo)
    layout = largest_layout(run.config for run in plan.todo)
    return slots_of_launch(
        len(plan.todo), num_runs=len(plan.planned), layout=layout, num_slots=num_slots, engine=engine
    )


def load_freeze(train_module: str) -> Freeze:
    """Return the module's `freeze`: composed config → frozen one. The import also registers its config groups."""
    freeze: Freeze = importlib.import_module(train_module).freeze
    return freeze


def exit_code(statuses: Sequence[str], *, interrupted: bool) -> int:
    """Return the exit code of a sweep whose runs have these statuses."""
    if interrupted:
        return INTERRUPTED
    return ALL_DONE if all(status == "done" for status in statuses) else SOME_NOT_DONE


def print_refusal(error: PlanError, *, launching: bool = True) -> int:
    """Print the faults of a sweep that cannot start, one a line, and return its exit code."""
    for sentence in error.sentences:
        print(sentence, file=sys.stderr)
    if launching:
        print("nothing was started", file=sys.stderr)
    return BAD_PLAN
