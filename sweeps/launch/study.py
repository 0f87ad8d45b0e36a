"""A study → exit code: plan, refuse what has drifted, freeze, carry through by its engine, sum up."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from agrae_lab import runs
from sweeps import engines
from sweeps.engines.slurm import QUEUED
from sweeps.errors import PlanError
from sweeps.execution.display import LineDisplay, LiveDisplay, make_console, print_summary
from sweeps.execution.event_log import LoggedDisplay
from sweeps.execution.executor import Display
from sweeps.execution.retry_policy import Policy
from sweeps.execution.run_status import Outcome
from sweeps.execution.slots import make_slots, slots_of_sweep
from sweeps.inspect.preview import num_trials_left, print_cells, print_front, trials_of
from sweeps.launch.cells import ALL_DONE, PRELOAD, TRAIN_MODULE, exit_code, freeze_of
from sweeps.planning.drift import Code, code_changes, read_code
from sweeps.planning.freeze import Plan
from sweeps.planning.glance import glance
from sweeps.planning.plan import StudyPlan, code_drift, plan_study
from sweeps.planning.study_directory import Ledger
from sweeps.spec.study import Stop, Study


@dataclass(frozen=True)
class How:
    """How a study is to be carried through, beyond what it says itself."""

    num_slots: int | None = None  # in place of the study's own
    allow_drift: bool = False
    storage: str | None = None  # of a search: an Optuna storage URL; None: a file in the study's directory
    train_module: str = TRAIN_MODULE
    preload: Sequence[str] = PRELOAD


def launch_study(study: Study, ledger: Ledger, how: How, *, again: Sequence[runs.Run] = ()) -> int:
    """Carry through what is not done yet; inside sweeps.spec.compose.config_dir.

    Args:
        again: runs to try again, and nothing else; of a search, all its failed trials are asked again then.

    Returns:
        the exit code (see sweeps.launch.launch).

    Raises:
        PlanError: nothing was started: the study is bad, another controller is at work on it, or code, data or
            config have changed since some of it was frozen and drift is not allowed.
    """
    check_engine(study)
    make_slots(1, num_slots=how.num_slots)
    ledger.check_free()
    code = read_code(how.train_module)
    if study.search is not None:
        return _launch_search(study, ledger, how, code=code, failed_too=bool(again))
    keys = {run.key for run in again}
    planned = plan_study(study, ledger, train_module=how.train_module, code=code, again=keys)
    plan = planned.plan if not again else _confined(planned.plan, keys)
    refuse_drift(planned.drift if plan.todo else (), how)
    with ledger.held():
        _requeue(ledger, again)
        _note_drift(planned, code)
        plan.write()
        ledger.record(study, planned.cells, code)
        with _display(study, ledger, how, num_runs=len(plan.todo), finished=plan.finished) as display:
            carry = _carry(study, how, num_runs=len(planned.planned))
            outcomes, interrupted = carry(plan.todo, display=display) if plan.todo else ([], False)
        now = {one.run.key: replace(one.run, meta={**one.run.meta, "status": one.status}) for one in outcomes}
        print_cells(make_console(), planned.cells, {**planned.run_of, **now})
        _print_what_is_not_done(outcomes, plan.finished)
        ended = [*(run.status for run in plan.finished), *(one.status for one in outcomes if one.status != QUEUED)]
        return _close(ledger, ended, interrupted=interrupted)


def retry_study(study: Study, ledger: Ledger, how: How, *, diverged: bool) -> int:
    """Carry through what failed, and on request what diverged, and nothing else.

    Raises:
        PlanError: as launch_study, or there is nothing to try again.
    """
    if diverged and study.search is not None:
        raise PlanError(["a search takes a trial that diverged for an answer; --diverged is for other studies"])
    wanted = ("failed", "diverged") if diverged else ("failed",)
    found = {one.run: glance(ledger.root / one.run) for one in ledger.frozen().values()}
    again = [run for run in found.values() if run.status in wanted]
    if not again:
        print(f"nothing to try again: no run of {study.name} is {' or '.join(wanted)}")
        return ALL_DONE
    return launch_study(study, ledger, how, again=again)


def check_engine(study: Study) -> None:
    """Raises PlanError unless the study's engine can carry it through here."""
    engine = study.resources.engine
    if study.search is not None and engine != "local":
        raise PlanError([f"resources.engine is {engine}, but trials depend on the last ones; a search takes local"])
    engines.load(engine).check(study.resources.options, policy_of(study.stop))


def policy_of(stop: Stop) -> Policy:
    return Policy(
        retries=stop.retries,
        timeout_seconds=None if stop.timeout_minutes is None else 60 * stop.timeout_minutes,
        fail_fast=stop.fail_fast,
        max_failures=stop.max_failures,
        deadline_seconds=None if stop.wall_hours is None else 3600 * stop.wall_hours,
    )


def refuse_drift(drift: Iterable[str], how: How) -> None:
    """Raises PlanError, with what has changed, unless that is allowed."""
    if (sentences := list(drift)) and not how.allow_drift:
        hint = "restore it, give the study another name, or go on with --allow-drift, which is recorded"
        raise PlanError([*(f"since runs of this study were frozen, {one}" for one in sentences), hint])


def _launch_search(study: Study, ledger: Ledger, how: How, *, code: Code, failed_too: bool) -> int:
    from sweeps.execution import executor
    from sweeps.search.search import run_search
    from sweeps.search.space import make_space

    ledger.check_same(study, ())
    space = make_space(study, freeze_of(how.train_module), root=ledger.root)
    assert study.search is not None
    num_runs = num_trials_left(study.search, ledger, failed_too=failed_too) * len(study.seeds)
    if num_runs:
        refuse_drift(code_drift(ledger.frozen().values(), ledger.codes(), code), how)
    carry = partial(
        executor.run_all,
        slots=make_slots(max(1, num_runs), num_slots=_num_slots(study, how)),
        train_module=how.train_module,
        preload=how.preload,
        policy=policy_of(study.stop),
    )
    with ledger.held():
        ledger.record(study, (), code)
        with _display(study, ledger, how, num_runs=num_runs, finished=()) as display:
            outcomes, interrupted = run_search(
                study,
                space,
                ledger=ledger,
                code=code,
                carry=carry,
                display=display,
                storage=how.storage,
                failed_too=failed_too,
            )
        keys = tuple(dict.fromkeys(cell.run for cell in ledger.frozen().values()))
        runs.Experiment(study.name, study.question, keys).write(ledger.root)
        print_front(make_console(), ledger)
        _print_what_is_not_done([one for one in outcomes if "pruned" not in glance(one.run.path).meta], ())
        return _close(ledger, [trial["status"] for trial in trials_of(ledger)], interrupted=interrupted)


def _requeue(ledger: Ledger, again: Sequence[runs.Run]) -> None:
    """Make runs pending again; without their record of failures, so that they get all their attempts."""
    for run in again:
        with suppress(runs.RunBusyError), runs.lock(run.path):
            runs.update_meta(run.path, status="pending", error=None, failure=None)
    if again:
        ledger.log("requeued", runs=[run.key for run in again])


def _confined(plan: Plan, only: Collection[str]) -> Plan:
    return replace(plan, planned=tuple(r for r in plan.planned if r.status in runs.FINAL_STATUSES or r.key in only))


def _note_drift(planned: StudyPlan, code: Code) -> None:
    """Write to meta.json of what goes on under other code than it was frozen under, and to the events."""
    known, codes = planned.ledger.frozen(), planned.ledger.codes()
    todo = {run.key: run for run in planned.plan.todo}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    noted = []
    for cell in planned.cells:
        before = known.get(cell.cell)
        if before is None or before.code == code.fingerprint or before.run not in todo:
            continue
        note = {"time": now, "changes": code_changes(codes[before.code], code)}
        with suppress(runs.RunBusyError), runs.lock(todo[cell.run].path):
            meta = runs.read_run(todo[cell.run].path).meta
            runs.update_meta(todo[cell.run].path, drift=[*meta.get("drift", []), note])
            noted.append(cell.run)
    if planned.drift:
        planned.ledger.log("drift allowed", changes=planned.drift, runs=noted)


def _num_slots(study: Study, how: How) -> int | None:
    return study.resources.slots if how.num_slots is None else how.num_slots


def _carry(study: Study, how: How, *, num_runs: int) -> Callable[..., tuple[list[Outcome], bool]]:
    """The study's engine with everything but what to run and whom to tell."""
    num_slots = _num_slots(study, how)
    if study.resources.engine == "local":
        num_slots = slots_of_sweep(num_runs, num_slots=num_slots)
    return partial(
        engines.load(study.resources.engine).run_all,
        num_slots=num_slots,
        options=study.resources.options,
        train_module=how.train_module,
        preload=how.preload,
        policy=policy_of(study.stop),
    )


def _print_what_is_not_done(outcomes: Sequence[Outcome], finished: Sequence[runs.Run]) -> None:
    outcomes = [one for one in outcomes if one.status != "done"]
    finished = [run for run in finished if run.status != "done"]
    if outcomes or finished:
        print_summary(make_console(), outcomes, finished)


def _close(ledger: Ledger, ended: Sequence[str], *, interrupted: bool) -> int:
    """The exit code, by how all runs, or all trials, stand."""
    settled = ("pruned", "taken up")  # of trials
    code = exit_code([status for status in ended if status not in settled], interrupted=interrupted)
    ledger.log("closed", exit_code=code)
    return code


@contextmanager
def _display(
    study: Study, ledger: Ledger, how: How, *, num_runs: int, finished: Sequence[runs.Run]
) -> Iterator[Display]:
    """What is shown of a launch, and written to the ledger's events."""
    num_slots = _num_slots(study, how) or len(make_slots(num_runs))
    begun = {"to_do": num_runs, "finished": len(finished), "pid": os.getpid(), "host": platform.node()}
    ledger.log("launched", **begun)
    if num_runs:
        print(f"{study.name}: {num_runs} runs to do, {len(finished)} finished before", flush=True)
    console = make_console()
    shown: LineDisplay | LiveDisplay = LineDisplay(console.file, num_runs=num_runs)
    if console.is_terminal:
        shown = LiveDisplay(console, num_slots=num_slots, finished_before=finished)
    with shown:
        yield LoggedDisplay(shown, ledger)
