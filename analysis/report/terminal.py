"""What the command prints: Pass@k, verdicts, what is missing, and where everything is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis.report.result import Result, cells, run_state, verdict_line

_PRINTED_KS = (1, 4, 16, 64, 256)  # the files have all; these fit a terminal


def show(results: Sequence[Result], judged: Sequence[Result], out: Path) -> None:
    """Print what the studies came to; `judged` are the runs of all experiments together, by model."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for union in judged:
        if len(judged) > 1:
            console.print(f"{union.study.name}\n", style="bold")
        _show_union(union, console)
    sentences: dict[str, list[str]] = {}
    for result in (*results, *judged):
        for reason in result.refused:
            sentences.setdefault(reason, []).append(result.study.name)
    for reason, names in sentences.items():
        console.print(f"refused in {', '.join(names)}: {reason}")
        for made in (*result.figures, *result.tables):
            if made.reason and not made.refused:
                console.print(f"no {made.name} in {result.study.name}: {made.reason}")
    for result in results:
        console.print(f"{result.study.name}: {out / result.study.name / 'report.html'}")
    console.print(f"all claims: {out / 'summary.md'}")


def _show_union(union: Result, console: Console) -> None:
    for benchmark, rows in union.table.groupby("benchmark"):
        first = rows.iloc[0]
        title = f"Pass@k (%) on {benchmark}: {first['problems']} problems, n = {first['n']}"
        table = Table(title=title, box=None, padding=(0, 1, 0, 0), header_style="underline")
        for header in ("arm", "seeds", *map(str, _PRINTED_KS)):
            table.add_column(header, no_wrap=header != "arm", overflow="fold")
        for name, seeds, *values in cells(rows, _PRINTED_KS):
            table.add_row(name, seeds, *(_two_lines(value) for value in values))
        console.print(table)
    for verdict in union.verdicts:
        console.print(verdict_line(verdict))
    for run in union.study.unfinished:
        console.print(f"unfinished: {run_state(run)}")
    for note in union.study.settings_differ:
        console.print(f"note: {note}")
    for problem in union.study.problems:
        console.print(f"left out: {problem}")


def _two_lines(cell: str) -> str:
    """`12.3 [10.1, 14.5]` → 12.3 above 10.1–14.5, to fit a terminal."""
    return cell.replace(" [", "\n").replace(", ", "–").removesuffix("]")
