"""Launch of a study: plan, refuse drift, freeze, execute on its engine, summarise."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from agrae_lab import runs
from agrae_lab.runs.processes import Layout
from sweeps import engines
from sweeps.engines.slurm import QUEUED
from sweeps.errors import PlanError, refusing_disk_errors
from sweeps.execution.display import make_console, make_display, print_summary
from sweeps.execution.event_log import LoggedDisplay
from sweeps.execution.executor import Display
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import Outcome
from sweeps.execution.slots import (
    Slot,
    check_here,
    check_num_slots,
    largest_layout,
    make_slots,
    slots_of_launch,
)
from sweeps.inspect.preview import print_cells
from sweeps.inspect.trials import num_trials_left, print_front, read_trials
from sweeps.launch.cells import ALL_DONE, PRELOAD, STOPPED_HINT, TRAIN_MODULE, exit_code, load_freeze
from sweeps.launch.requeue import only_retries, requeue, runs_with
from sweeps.planning.drift import Code, code_changes, read_code
from sweeps.planning.freeze import Plan
from sweeps.planning.plan import StudyPlan, code_drift, plan_study
from sweeps.planning.run_dirs import check_root, read_run_meta, shown_status
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec.study import Stop, Study


@dataclass(frozen=True)
class LaunchOptions:
    """Options of one launch, from the command line."""

    num_slots: int | None = None  # overrides the study's resources.slots
    allow_drift: bool = False
    storage: str | None = None  # Optuna storage URL of a search; None: a file in the study's directory
    train_module: str = TRAIN_MODULE
    preload: Sequence[str] = PRELOAD
    warns: bool = True  # of arms that differ in several factors; False where that was said or each arm is tuned


def launch_study(
    study: Study, directory: StudyDirectory, options: LaunchOptions, *, retry: Sequence[runs.Run] = ()
) -> int:
    """Execute the unfinished runs of a study; inside sweeps.spec.compose.config_dir.

    Args:
        retry: if given, only these runs are executed; in a search, any value retries all failed trials.

    Returns:
        the exit code (see sweeps.launch.cells.launch).

    Raises:
        PlanError: nothing was started: the study is bad, another controller runs it, or code, data or config have
            drifted since the freeze and drift is not allowed.
    """
    check_engine(study)
    check_options(study, options)
    check_root(directory.root)
    directory.check_no_controller()
    code = read_code(options.train_module)
    if study.search is not None:
        return _launch_search(study, directory, options, code=code, failed_too=bool(retry))
    keys = {run.key for run in retry}
    planned = plan_study(study, directory, train_module=options.train_module, code=code, retry=keys)
    plan = planned.launch_plan if not retry else only_retries(planned, keys)
    check_drift(planned.drift if plan.todo else (), options)
    num_slots, num_at_once = _num_slots(study, options, plan, num_runs=len(planned.all_runs))
    with directory.controller_lock():
        with refusing_disk_errors():
            requeue(directory, [run for run in plan.todo if run.key in keys])
            _record_drift(planned, code)
            plan.write()
            directory.record(study, planned.cells, code)
        if options.warns and planned.warning:
            print(f"warning: {planned.warning}", flush=True)
        facts = (len(plan.todo), num_at_once, plan.finished, plan.planned)
        with _display(directory, *facts) as display:
            run_all = _bind_engine(study, options, num_slots=num_slots)
            outcomes, interrupted = run_all(plan.todo, display=display) if plan.todo else ([], False)
        now = {
            outcome.run.key: replace(outcome.run, meta={**outcome.run.meta, "status": outcome.status})
            for outcome in outcomes
        }
        print_cells(make_console(), planned.cells, {**planned.run_by_key, **now})
        _print_unfinished(outcomes, plan.finished)
        ended = [
            *(run.status for run in plan.finished),
            *(outcome.status for outcome in outcomes if outcome.status != QUEUED),
        ]
        return _log_exit_code(directory, ended, interrupted=interrupted)


def retry_study(study: Study, directory: StudyDirectory, options: LaunchOptions, *, diverged: bool) -> int:
    """Execute the failed runs again, and on request the diverged ones, and no others.

    Raises:
        PlanError: as launch_study.
    """
    check_options(study, options)
    if diverged and study.search is not None:
        raise PlanError(
            ["a diverged trial is a result of a search and is not retried; --diverged is for other studies"]
        )
    statuses = ("failed", "diverged") if diverged else ("failed",)
    retry = runs_with(statuses, study, directory)
    if not retry:
        print(f"nothing to retry: no run of {study.name} is {' or '.join(statuses)}, of the cells and seeds named here")
        return ALL_DONE
    return launch_study(study, directory, options, retry=retry)


def check_options(study: Study, options: LaunchOptions) -> None:
    """Check that the study has a use for all options.

    Raises:
        PlanError: it has none for one of them, or the number of slots is below 1.
    """
    check_num_slots(options.num_slots)
    if options.storage is not None and study.search is None:
        raise PlanError([f"--storage is for searches, and {study.name} is none; leave it out"])


def check_engine(study: Study) -> None:
    """Check that the study's engine can execute it on this machine.

    Raises:
        PlanError: it cannot.
    """
    engine = study.resources.engine
    if study.search is not None and engine != "local":
        raise PlanError(
            [f"resources.engine is {engine}, but a search needs local: each trial depends on the ones before"]
        )
    engines.load(engine).check(study.resources.options, make_retry_policy(study.stop))


def make_retry_policy(stop: Stop) -> RetryPolicy:
    """Return the stop rules of a study as the executor's policy."""
    return RetryPolicy(
        retries=stop.retries,
        timeout_seconds=None if stop.timeout_minutes is None else 60 * stop.timeout_minutes,
        fail_fast=stop.fail_fast,
        max_failures=stop.max_failures,
        deadline_seconds=None if stop.wall_hours is None else 3600 * stop.wall_hours,
    )


def check_drift(drift: Iterable[str], options: LaunchOptions) -> None:
    """Check that there is no drift, unless it is allowed.

    Raises:
        PlanError: a sentence for each change.
    """
    if (sentences := list(drift)) and not options.allow_drift:
        hint = "undo these changes, give the study another name, or run with --allow-drift, which records them"
        raise PlanError([*(f"since runs of this study were frozen, {sentence}" for sentence in sentences), hint])


def _launch_search(
    study: Study, directory: StudyDirectory, options: LaunchOptions, *, code: Code, failed_too: bool
) -> int:
    from sweeps.execution import executor
    from sweeps.search.pruning import make_pruner
    from sweeps.search.search import run_search
    from sweeps.search.space import make_space

    directory.check_same(study, ())
    space = make_space(study, load_freeze(options.train_module), root=directory.root)
    make_pruner(study, space.corner_configs[0])  # one that does not fit is refused before anything is written
    assert study.search is not None
    num_runs = num_trials_left(study.search, directory, failed_too=failed_too) * len(study.seeds)
    if num_runs:
        check_drift(code_drift(directory.frozen_cells().values(), directory.codes(), code), options)
    check_here(space.corner_configs)
    slots = _search_slots(study, options, num_runs, layout=largest_layout(space.corner_configs))
    run_all = partial(
        executor.run_all,
        slots=slots,
        train_module=options.train_module,
        preload=options.preload,
        retry_policy=make_retry_policy(study.stop),
    )
    with directory.controller_lock():
        with refusing_disk_errors():
            directory.record(study, (), code)
        with _display(directory, num_runs, len(slots), ()) as display:
            outcomes, interrupted = run_search(
                study,
                space,
                directory=directory,
                code=code,
                run_all=run_all,
                display=display,
                storage=options.storage,
                failed_too=failed_too,
            )
        keys = tuple(dict.fromkeys(cell.run for cell in directory.frozen_cells().values()))
        runs.Experiment(study.name, study.question, keys, comparison=study.comparison).write(directory.root)
        print_front(make_console(), directory)
        ended = [out for out in outcomes if shown_status(read_run_meta(out.run.path)) != "pruned"]
        _print_unfinished(ended, ())
        return _log_exit_code(directory, [trial["status"] for trial in read_trials(directory)], interrupted=interrupted)


def _search_slots(study: Study, options: LaunchOptions, num_todo: int, *, layout: Layout) -> list[Slot]:
    assert study.search is not None
    num_runs = study.search.num_trials * len(study.seeds)
    requested = _requested_slots(study, options)
    num_slots, _ = slots_of_launch(num_todo, num_runs=num_runs, layout=layout, num_slots=requested, engine="local")
    return make_slots(num_todo, num_slots=num_slots, layout=layout)


def _record_drift(planned: StudyPlan, code: Code) -> None:
    """Record in meta.json and in the events which runs resume under other code than they were frozen under."""
    frozen_by_id, codes = planned.directory.frozen_cells(), planned.directory.codes()
    todo = {run.key: run for run in planned.launch_plan.todo}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    recorded = []
    for cell in planned.cells:
        frozen = frozen_by_id.get(cell.identifier)
        if frozen is None or frozen.code == code.fingerprint or frozen.run not in todo:
            continue
        entry = {"time": now, "changes": code_changes(codes[frozen.code], code)}
        with suppress(runs.RunBusyError), runs.lock(todo[cell.run].path):
            meta = runs.read_run(todo[cell.run].path).meta
            runs.update_meta(todo[cell.run].path, drift=[*meta.get("drift", []), entry])
            recorded.append(cell.run)
    if planned.drift:
        planned.directory.log("drift allowed", changes=planned.drift, runs=recorded)


def _requested_slots(study: Study, options: LaunchOptions) -> int | None:
    return study.resources.slots if options.num_slots is None else options.num_slots


def _num_slots(study: Study, options: LaunchOptions, plan: Plan, *, num_runs: int) -> tuple[int | None, int]:
    """Return the number of slots for the engine, and of runs at a time for the display.

    Raises:
        PlanError: this machine is to start a run's processes and cannot.
    """
    if study.resources.engine == "local":
        check_here(run.config for run in plan.todo)
    return slots_of_launch(
        len(plan.todo),
        num_runs=num_runs,
        layout=largest_layout(run.config for run in plan.todo),
        num_slots=_requested_slots(study, options),
        engine=study.resources.engine,
    )


def _bind_engine(
    study: Study, options: LaunchOptions, *, num_slots: int | None
) -> Callable[..., tuple[list[Outcome], bool]]:
    """Return the run_all of the study's engine, with all arguments but the runs and the display."""
    return partial(
        engines.load(study.resources.engine).run_all,
        num_slots=num_slots,
        options=study.resources.options,
        train_module=options.train_module,
        preload=options.preload,
        retry_policy=make_retry_policy(study.stop),
    )


def _print_unfinished(outcomes: Sequence[Outcome], finished: Sequence[runs.Run]) -> None:
    outcomes = [outcome for outcome in outcomes if outcome.status != "done"]
    finished = [run for run in finished if run.status != "done"]
    if outcomes or finished:
        print_summary(make_console(), outcomes, finished)


def _log_exit_code(directory: StudyDirectory, ended: Sequence[str], *, interrupted: bool) -> int:
    """Return the exit code for these statuses of runs or trials, and log it; print a hint if interrupted."""
    if interrupted:
        print(STOPPED_HINT)
    code = exit_code([status for status in ended if status not in ("pruned", "requeued")], interrupted=interrupted)
    directory.log("closed", exit_code=code)
    return code


@contextmanager
def _display(
    directory: StudyDirectory,
    num_runs: int,
    num_slots: int,
    finished: Sequence[runs.Run],
    planned: Sequence[runs.Run] = (),
) -> Iterator[Display]:
    """Show the events of a launch, and log them in the study's directory."""
    facts = {"to_do": num_runs, "finished": len(finished), "pid": os.getpid(), "host": platform.node()}
    directory.log("launched", **facts)
    if num_runs:
        print(f"{directory.path.name}: {num_runs} runs to do, {len(finished)} finished before", flush=True)
    with make_display(
        make_console(), num_runs=num_runs, finished_before=finished, num_slots=num_slots, planned=planned
    ) as shown:
        yield LoggedDisplay(shown, directory)
