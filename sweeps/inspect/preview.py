"""Preview of a launch and its duration: `python -m sweeps plan`."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agrae_lab import runs
from agrae_lab.runs.processes import Layout
from sweeps.execution import eta
from sweeps.execution.display import duration
from sweeps.execution.names import RunNames
from sweeps.execution.slots import check_installed, largest_layout, slots_of_launch, visible_gpus
from sweeps.inspect.trials import num_trials_left, read_trials
from sweeps.planning.freeze import Freeze, Plan
from sweeps.planning.plan import StudyPlan
from sweeps.planning.run_dirs import list_run_dirs, readable_runs, shown_status
from sweeps.planning.study_directory import FrozenCell, StudyDirectory
from sweeps.spec.axes import label
from sweeps.spec.study import Study


def print_study(console: Console, planned: StudyPlan, *, num_slots: int | None) -> None:
    """Print the cells of a study with their seeds' status, the number and duration of unfinished runs, and drift."""
    print_cells(console, planned.cells, planned.run_by_key)
    print(f"{planned.num_new} of {len(planned.cells)} pairs of cell and seed are new")
    resources = planned.study.resources
    num_slots = resources.slots if num_slots is None else num_slots
    _print_counts(planned.all_runs, num_slots=num_slots, engine=resources.engine)
    print_needs(planned.all_runs, engine=resources.engine)
    if planned.warning:
        print(f"warning: {planned.warning}")
    for sentence in planned.drift:
        print(f"changed since the freeze of this study: {sentence}")


def print_plan(console: Console, plan: Plan, *, num_slots: int | None, engine: str = "local") -> None:
    """Print the cells of experiments, the number of unfinished runs, and their duration."""
    by_cell: dict[str, list[runs.Run]] = {}
    for run in plan.planned:
        by_cell.setdefault(run.path.parent.name, []).append(run)
    _print_table(console, by_cell)
    _print_counts(plan.planned, num_slots=num_slots, engine=engine)
    print_needs(plan.planned, engine=engine)
    for sentence in plan.warnings:
        print(f"warning: {sentence}")


def print_needs(planned: Sequence[runs.Run], *, engine: str) -> None:
    """Print processes, memory and hours of the unfinished runs of each model that take several processes."""
    todo = [run for run in planned if run.status not in runs.FINAL_STATUSES and Layout.of(run.config).processes > 1]
    by_kind: dict[tuple[str, Layout], list[runs.Run]] = {}
    for run in todo:
        by_kind.setdefault((str((run.config.get("model") or {}).get("path")), Layout.of(run.config)), []).append(run)
    done = _finished_with_configs(list_run_dirs(todo[0].root)) if by_kind else []
    for (model, layout), some in by_kind.items():
        config = some[0].config
        on_cpu = _on_cpu(config, layout, engine=engine)
        device = "CPU processes" if on_cpu else "GPUs"
        where = f"on {layout.nodes} machines" if layout.nodes > 1 else "of one machine"
        how = f"{layout.strategy}, by {layout.launcher}"
        print(f"{model}: {len(some)} runs, each {layout.processes} {device} {where} ({how})")
        if "model" in config:
            from agrae_lab.training.planned_memory import planned_memory  # torch takes seconds

            print(f"  memory: {planned_memory(config, on_cpu=on_cpu)}")
        expected = [
            seconds
            for run in some
            if (seconds := eta.expected_seconds(run, done, trained=eta.is_trained(run))) is not None
        ]
        if len(expected) < len(some):
            print("  hours: not known; no run of this model has finished in this root")
            continue
        hours = statistics.median(expected) / 3600
        total = sum(expected) / 3600 * layout.processes
        print(f"  hours: about {hours:.1f} a run, {total:.0f} {device.removesuffix(' processes')}-hours in all, by")
        print("    tokens from the finished runs of this model")


def _on_cpu(config: Mapping[str, Any], layout: Layout, *, engine: str) -> bool:
    """Return whether a run will train on CPUs, as far as this machine can tell: a cluster has GPUs."""
    device = config["hardware"].get("device", "auto")
    needs_gpu = device == "cuda" or layout.launcher == "accelerate" or engine != "local"
    return device == "cpu" or not (needs_gpu or visible_gpus())


def print_search(
    console: Console, study: Study, directory: StudyDirectory, *, freeze: Freeze, num_slots: int | None
) -> None:
    """Print the space of a search, the number of its trials by status, and the duration of the others.

    Raises:
        PlanError: the space cannot be searched, or the pruner does not fit the study.
    """
    from sweeps.search.pruning import make_pruner
    from sweeps.search.space import make_space

    assert study.search is not None
    directory.check_same(study, ())
    configs = make_space(study, freeze, root=directory.root).corner_configs
    make_pruner(study, configs[0])
    check_installed(configs)
    table = Table("searched", "values", box=None, pad_edge=False)
    for key, dimension in study.search.space.items():
        values = (
            ", ".join(map(str, dimension.choices))
            or f"{dimension.low} to {dimension.high}{', log' if dimension.log else ''}"
        )
        table.add_row(Text(key), Text(f"{dimension.kind}: {values}"))
    console.print(table)
    states = Counter(trial["status"] for trial in read_trials(directory))
    states_text = ", ".join(f"{number} {state}" for state, number in states.items()) or "none started yet"
    seeds = f"seed{'s' if len(study.seeds) > 1 else ''} {', '.join(map(str, study.seeds))}"
    print(f"{study.search.num_trials} trials by {study.search.sampler}, each with {seeds}: {states_text}")
    slots = study.resources.slots if num_slots is None else num_slots
    print(_trials_sentence(study, directory, num_slots=slots, layout=largest_layout(configs)))


def _trials_sentence(study: Study, directory: StudyDirectory, *, num_slots: int | None, layout: Layout) -> str:
    """Return a sentence about the duration of the trials to come, each as long as the median of those before."""
    assert study.search is not None
    num_seeds = len(study.seeds)
    num_todo = num_trials_left(study.search, directory) * num_seeds
    if num_todo == 0:
        return "no trial is left to run"
    paths = [directory.root / key for key in dict.fromkeys(cell.run for cell in directory.frozen_cells().values())]
    typical = eta.typical_seconds([run for run in readable_runs(paths) if run.status == "done"])
    if typical is None:
        return "duration not known: no run of this study has finished"
    num_runs = study.search.num_trials * num_seeds
    _, num_at_once = slots_of_launch(num_todo, num_runs=num_runs, layout=layout, num_slots=num_slots, engine="local")
    left = eta.in_order_seconds([typical] * num_todo, num_slots=num_at_once)
    return f"about {duration(left)}, {num_at_once} at a time: a run takes {duration(typical)}, the median so far"


def print_cells(console: Console, cells: Sequence[FrozenCell], run_by_key: Mapping[str, runs.Run]) -> None:
    """Print one line per cell with the status of its seeds."""
    by_cell: dict[str, list[runs.Run]] = {}
    for cell in cells:
        by_cell.setdefault(label(cell.settings), []).append(run_by_key[cell.run])
    _print_table(console, by_cell)


def _print_table(console: Console, by_cell: Mapping[str, Sequence[runs.Run]]) -> None:
    table = Table("cell", "arm", "seeds", "state", box=None, pad_edge=False)
    names = RunNames(run for cell_runs in by_cell.values() for run in cell_runs)
    for name, cell_runs in by_cell.items():
        states = Counter(shown_status(run) for run in cell_runs)
        seeds = " ".join(str(run.seed) for run in cell_runs)
        states_text = ", ".join(state if len(states) == 1 else f"{number} {state}" for state, number in states.items())
        table.add_row(Text(name), Text(names.cell(cell_runs[0])), seeds, states_text)
    console.print(table)


def _print_counts(planned: Sequence[runs.Run], *, num_slots: int | None, engine: str) -> None:
    """Print the numbers of finished and unfinished runs, and the duration of the unfinished ones."""
    todo = [run for run in planned if run.status not in runs.FINAL_STATUSES]
    print(f"{len(planned)} runs: {len(planned) - len(todo)} finished, {len(todo)} to do")
    if not todo:
        return
    finished, scope = _finished_with_configs(run.path for run in planned if run.status == "done"), "among these runs"
    if not all(eta.finished_like(run, finished) for run in todo):
        finished, scope = _finished_with_configs(list_run_dirs(todo[0].root)), "in this root"
    print(_duration_sentence(todo, finished, scope, num_runs=len(planned), num_slots=num_slots, engine=engine))


def _finished_with_configs(paths: Iterable[Path]) -> list[runs.Run]:
    """Return the finished runs with the config of their cell's first; unreadable ones are left out."""
    configs: dict[Path, dict[str, Any]] = {}  # read once for each cell, whose seeds have the same work
    found = []
    for run in readable_runs(paths):
        with suppress(runs.RunError):
            if run.status == "done":
                if run.path.parent not in configs:
                    configs[run.path.parent] = runs.read_run(run.path).config
                found.append(replace(run, config=configs[run.path.parent]))
    return found


def _duration_sentence(
    todo: Sequence[runs.Run],
    finished: Sequence[runs.Run],
    scope: str,
    *,
    num_runs: int,
    num_slots: int | None,
    engine: str,
) -> str:
    """Return a sentence about the duration of runs, as scaled from finished runs like them."""
    expected = [eta.expected_seconds(run, finished, trained=eta.is_trained(run)) for run in todo]
    known = [seconds for seconds in expected if seconds is not None]
    if len(known) < len(todo):
        lacking = "" if not known else f" of {len(todo) - len(known)} of the {len(todo)} runs"
        return f"duration{lacking} not known: no run of that model, task and engine has finished {scope}"
    layout = largest_layout(run.config for run in todo)
    _, num_at_once = slots_of_launch(len(todo), num_runs=num_runs, layout=layout, num_slots=num_slots, engine=engine)
    room = "" if engine == "local" else " if the cluster has room"
    left = eta.in_order_seconds(known, num_slots=num_at_once)
    typical = statistics.median(known)
    num_used = len({other.path for run in todo for other in eta.finished_like(run, finished)})
    basis = f"from {num_used} finished {scope}, scaled by steps, completions and samples"
    return f"about {duration(left)}, {num_at_once} at a time{room}: a run takes {duration(typical)} ({basis})"
