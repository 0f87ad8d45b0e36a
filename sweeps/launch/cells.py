"""Cells → exit code: plan, write, carry through, sum up. The command line and the Hydra launcher share it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.execution.display import make_console, make_display, print_summary
from sweeps.execution.executor import run_all
from sweeps.execution.run_status import Outcome
from sweeps.execution.slots import make_slots, slots_of_sweep
from sweeps.planning.freeze import Freeze, make_plan
from sweeps.spec.experiments import Cell

TRAIN_MODULE = "agrae_lab.train"
PRELOAD = ("agrae_lab.training.session", TRAIN_MODULE)  # torch, transformers and trl come with them

ALL_DONE = 0
SOME_NOT_DONE = 1
BAD_PLAN = 2
INTERRUPTED = 130


def launch(
    cells: Sequence[Cell],
    *,
    num_slots: int | None = None,
    train_module: str = TRAIN_MODULE,
    preload: Sequence[str] = PRELOAD,
) -> int:
    """Carry all cells through that are not done yet.

    Returns:
        0: all done; 1: some failed, diverged, or are busy elsewhere; 2: a cell is bad, nothing was started or
        written; 130: stopped on request.
    """
    try:
        plan = make_plan(cells, freeze_of(train_module))
        at_once = slots_of_sweep(len(plan.planned), num_slots=num_slots)
        slots = make_slots(len(plan.todo), num_slots=at_once)
        plan.write()
    except PlanError as error:
        return refuse(error)
    except runs.RunError as error:  # a manifest that cannot be read, say
        return refuse(PlanError([str(error)]))
    outcomes: list[Outcome] = []
    interrupted = False
    console = make_console()
    if plan.todo:
        counts = f"{len(plan.todo)} to do, {len(plan.finished)} finished before, {len(slots)} at a time"
        print(f"runs: {counts}", flush=True)
        with make_display(console, plan.todo, plan.finished, num_slots=len(slots)) as display:
            outcomes, interrupted = run_all(
                plan.todo, slots=slots, train_module=train_module, preload=preload, display=display
            )
    if outcomes or plan.finished:
        print_summary(console, outcomes, plan.finished)
    ended = [run.status for run in plan.finished] + [outcome.status for outcome in outcomes]
    return exit_code(ended, interrupted=interrupted)


def freeze_of(train_module: str) -> Freeze:
    """Composed config → frozen one. Importing the module also registers its config groups, so this comes first."""
    freeze: Freeze = importlib.import_module(train_module).freeze
    return freeze


def exit_code(statuses: Sequence[str], *, interrupted: bool) -> int:
    """Of a sweep whose runs stand so; says what to do about an interruption."""
    if interrupted:
        print("stopped; the same command continues where it was")
        return INTERRUPTED
    return ALL_DONE if all(status == "done" for status in statuses) else SOME_NOT_DONE


def refuse(error: PlanError, *, launching: bool = True) -> int:
    """Say why the sweep cannot start, one fault a line."""
    for sentence in error.sentences:
        print(sentence, file=sys.stderr)
    if launching:
        print("nothing was started", file=sys.stderr)
    return BAD_PLAN
