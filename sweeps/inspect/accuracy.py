"""Pass@1 by arm of finished runs, and the command that analyses them: the end of a sweep."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agrae_lab import runs
from sweeps.execution.names import RunNames


def print_accuracy(console: Console, found: Iterable[runs.Run], *, experiment: str = "") -> None:
    """Print Pass@1 with its interval for every arm on every benchmark, then the next command, for each root.

    Runs that are not done or cannot be read, and roots without an evaluated run, are left out.
    """
    by_root: dict[Path, list[runs.Run]] = {}
    for run in found:
        if run.status == "done":
            with suppress(runs.RunError):  # `status` says so
                by_root.setdefault(run.root, []).append(runs.read_run(run.path))
    for root, done in by_root.items():
        if any(run.benchmarks() for run in done):
            _print_root(console, done)
            named = f" experiment={experiment}" if experiment else ""
            console.print(f"next: agrae-lab analyze runs={root}{named}", markup=False, soft_wrap=True, highlight=False)


def _print_root(console: Console, done: list[runs.Run]) -> None:
    from analysis.estimates.passk_curves import bounded_share, collect
    from analysis.io.parquet import FrameError
    from analysis.io.study import Study
    from analysis.statistics.contrasts import contrast_intervals

    study, names = Study("sweep", "", tuple(done)), RunNames(done)
    for benchmark in study.benchmarks:
        try:
            evaluations = collect(study, benchmark)
            assert evaluations is not None
            arms = list(evaluations.correct)
            intervals = contrast_intervals(evaluations, [{arm: {1: 1.0}} for arm in arms], bands=False)
        except FrameError as error:
            console.print(f"Pass@1 on {benchmark} is not shown: {error}", markup=False, soft_wrap=True)
            continue
        table = Table("arm", "seeds", f"Pass@1 (%) on {escape(benchmark)}", "95 % interval", box=None, pad_edge=False)
        for arm, interval in zip(arms, intervals, strict=True):
            share = bounded_share(interval, evaluations.num_problems)
            bounds = f"[{100 * share.lo:.1f}, {100 * share.hi:.1f}]" if share.lo == share.lo else "–"
            seeds = str(len(evaluations.seeds.get(arm, ())) or "–")
            name = names.cell(study.arms[arm][0]) if arm in study.arms else arm
            table.add_row(escape(name), seeds, f"{100 * share.estimate:.1f}", escape(bounds))
        console.print(table)
