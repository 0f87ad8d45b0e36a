"""Trials of a search as trials.csv has them: the ones left to run, their failed runs, and the best."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agrae_lab import runs
from sweeps.planning.run_dirs import read_run_meta
from sweeps.planning.study_directory import StudyDirectory
from sweeps.search.table import FILE_NAME, read_table
from sweeps.spec.study import Search


def read_trials(directory: StudyDirectory) -> list[dict[str, str]]:
    """Return the rows of a search's trials.csv."""
    return read_table(directory.path / FILE_NAME)


def num_trials_left(search: Search, directory: StudyDirectory, *, failed_too: bool = False) -> int:
    """Return the number of trials still to run; with failed_too, those with a failed run are to run again.

    A trial without a failed run, such as a diverged one, has ended whatever its status.
    """
    trials = read_trials(directory)
    num_ended = sum(trial["status"] in ("done", "pruned", "failed") for trial in trials)
    if failed_too:
        failed = {run.key for run in failed_runs(directory)}
        num_ended -= sum(trial["status"] == "failed" and not failed.isdisjoint(_run_keys(trial)) for trial in trials)
    return max(0, search.num_trials - num_ended)


def failed_runs(directory: StudyDirectory) -> list[runs.Run]:
    """Return the failed runs of a search's failed trials, which a retry executes. A diverged run is a result.

    Raises:
        agrae_lab.runs.RunError: a run of a failed trial that cannot be read.
    """
    keys = [key for trial in read_trials(directory) if trial["status"] == "failed" for key in _run_keys(trial)]
    found = [read_run_meta(directory.root / key) for key in dict.fromkeys(keys)]
    return [run for run in found if run.status == "failed"]


def print_front(console: Console, directory: StudyDirectory) -> None:
    """Print the trials on the Pareto front, the failed ones with their reasons, and the path of trials.csv."""
    trials = read_trials(directory)
    rows = [trial for trial in trials if trial["front"] == "yes"]
    shown = [column for column in (rows[0] if rows else ()) if column.startswith(("param ", "maximize ", "minimize "))]
    table = Table("trial", *map(escape, shown), box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["trial"], *(Text(row[column]) for column in shown))
    console.print(table if rows else no_front_sentence(trials))
    by_reason: dict[str, list[str]] = {}
    for trial in trials:
        if trial["status"] == "failed":
            by_reason.setdefault(trial["reason"] or "no reason recorded", []).append(trial["trial"])
    for reason, numbers in by_reason.items():
        named = f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {', '.join(numbers)}"
        console.print(Text(f"{named} failed: {reason}"), soft_wrap=True)
    console.print(f"all trials: {directory.path / FILE_NAME}", markup=False, soft_wrap=True)


def no_front_sentence(trials: list[dict[str, str]]) -> str:
    """Return the reason why no trial is on the front."""
    feasible = [trial["feasible"] for trial in trials if trial["status"] == "done"]
    if feasible and "yes" not in feasible:
        return "no trial satisfies the constraints"
    return "no trial has a value yet"


def _run_keys(trial: dict[str, str]) -> list[str]:
    return trial["runs"].split()
