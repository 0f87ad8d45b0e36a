"""What a launch would do, and how long it would take: `python -m sweeps plan`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agrae_lab import runs
from sweeps.execution import eta
from sweeps.execution.display import duration
from sweeps.execution.slots import make_slots
from sweeps.planning.freeze import Freeze, Plan
from sweeps.planning.glance import glance, run_dirs
from sweeps.planning.plan import StudyPlan
from sweeps.planning.study_directory import Frozen, Ledger
from sweeps.search.table import FILE_NAME as TRIALS
from sweeps.search.table import read_table
from sweeps.spec.axes import label
from sweeps.spec.study import Search, Study


def print_study(console: Console, planned: StudyPlan, *, num_slots: int | None) -> None:
    """The cells of a study with the state of their seeds, what is to do, for how long, and what has drifted."""
    print_cells(console, planned.cells, planned.run_of)
    print(f"{planned.num_new} of {len(planned.cells)} were not frozen before")
    _print_counts(planned.planned, num_slots=planned.study.resources.slots if num_slots is None else num_slots)
    for sentence in planned.drift:
        print(f"changed since runs of this study were frozen: {sentence}")


def print_plan(console: Console, plan: Plan, *, num_slots: int | None) -> None:
    """The same of experiments."""
    by_cell: dict[str, list[runs.Run]] = {}
    for run in plan.planned:
        by_cell.setdefault(run.path.parent.name, []).append(run)
    _print_table(console, by_cell)
    _print_counts(plan.planned, num_slots=num_slots)


def print_search(console: Console, study: Study, ledger: Ledger, *, freeze: Freeze, num_slots: int | None) -> None:
    """What a search may choose from, how many of its trials are told, and how long the others take.

    Raises:
        PlanError: the space cannot be searched.
    """
    from sweeps.search.space import make_space

    assert study.search is not None
    ledger.check_same(study, ())
    make_space(study, freeze, root=ledger.root)
    table = Table("searched", "values", box=None, pad_edge=False)
    for key, one in study.search.space.items():
        values = ", ".join(map(str, one.choices)) or f"{one.low} to {one.high}{', log' if one.log else ''}"
        table.add_row(Text(key), Text(f"{one.kind}: {values}"))
    console.print(table)
    states = Counter(trial["status"] for trial in trials_of(ledger))
    told = ", ".join(f"{number} {state}" for state, number in states.items()) or "none asked yet"
    print(f"{study.search.num_trials} trials by {study.search.sampler}, each with seeds {study.seeds}: {told}")
    done = [run for one in ledger.frozen().values() if (run := glance(ledger.root / one.run)).status == "done"]
    left = num_trials_left(study.search, ledger) * len(study.seeds)
    print(_time(left, done, "of this study", num_slots=study.resources.slots if num_slots is None else num_slots))


def trials_of(ledger: Ledger) -> list[dict[str, str]]:
    """The rows of a search's table of trials."""
    return read_table(ledger.path / TRIALS)


def num_trials_left(search: Search, ledger: Ledger, *, failed_too: bool = False) -> int:
    over = ("done", "pruned") if failed_too else ("done", "pruned", "failed")
    told = sum(trial["status"] in over for trial in trials_of(ledger))
    return max(0, search.num_trials - told)


def print_front(console: Console, ledger: Ledger) -> None:
    """The trials that no other beats, and where all are."""
    rows = [trial for trial in trials_of(ledger) if trial["front"] == "yes"]
    shown = [column for column in (rows[0] if rows else ()) if column.startswith(("param ", "maximize ", "minimize "))]
    table = Table("trial", *map(escape, shown), box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["trial"], *(Text(row[column]) for column in shown))
    console.print(table if rows else "no trial has a value yet")
    console.print(f"all trials: {ledger.path / TRIALS}", markup=False, soft_wrap=True)


def print_cells(console: Console, cells: Sequence[Frozen], run_of: Mapping[str, runs.Run]) -> None:
    """One line per cell with the state of its seeds."""
    by_cell: dict[str, list[runs.Run]] = {}
    for cell in cells:
        by_cell.setdefault(label(cell.settings), []).append(run_of[cell.run])
    _print_table(console, by_cell)


def _print_table(console: Console, by_cell: Mapping[str, Sequence[runs.Run]]) -> None:
    table = Table("cell", "arm", "seeds", "state", box=None, pad_edge=False)
    for name, cell_runs in by_cell.items():
        states = Counter(run.status for run in cell_runs)
        seeds = " ".join(str(run.seed) for run in cell_runs)
        told = ", ".join(state if len(states) == 1 else f"{number} {state}" for state, number in states.items())
        table.add_row(Text(name), Text(cell_runs[0].arm), seeds, told)
    console.print(table)


def _print_counts(planned: Sequence[runs.Run], *, num_slots: int | None) -> None:
    """How many runs there are, and how long those that are not finished will take."""
    todo = [run for run in planned if run.status not in runs.FINAL_STATUSES]
    print(f"{len(planned)} runs: {len(planned) - len(todo)} finished, {len(todo)} to do")
    if not todo:
        return
    finished, where = [run for run in planned if run.status == "done"], "of them"
    if not finished:
        finished, where = [run for run in map(glance, run_dirs(todo[0].root)) if run.status == "done"], "in this root"
    print(_time(len(todo), finished, where, num_slots=num_slots))


def _time(num_runs: int, finished: Sequence[runs.Run], where: str, *, num_slots: int | None) -> str:
    typical = eta.typical_seconds(finished)
    if typical is None:
        return "how long they take is not known: no finished run has recorded it"
    at_once = len(make_slots(num_runs, num_slots=num_slots))
    left = eta.sweep_remaining([], num_waiting=num_runs, typical=typical, num_slots=at_once)
    count = f"the {len(finished)} finished {where}" if len(finished) > 1 else f"the one finished {where}"
    return f"about {duration(left)}, {at_once} at a time: a run takes {duration(typical)}, the median of {count}"
