"""Terminal output of the command: answers, the paper's claims in one line, missing data, and where the reports are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from analysis.report.headline import headline, skipped
from analysis.report.result import NO_ANSWER, Result, claims_line, run_state


def show(results: Sequence[Result], judged: Sequence[Result], out: Path) -> None:
    """Print the results of the studies; `judged` holds the runs of all experiments together, one result per model."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for result in results:
        console.print(result.study.question or result.study.name, style="bold")
        for sentence in headline(result) or [NO_ANSWER]:
            console.print(f"  {sentence}")
    for union in judged:
        _show_union(union, console, named=len(judged) > 1)
    sentences: dict[str, list[str]] = {}
    for result in (*results, *judged):
        for reason in result.refused:
            sentences.setdefault(reason, []).append(result.study.name)
    for reason, names in sentences.items():
        console.print(f"refused in {', '.join(names)}: {reason}")
    if line := skipped(
        output for result in results for output in (*result.figures, *result.tables) if not output.refused
    ):
        console.print(line)
    for result in results:
        console.print(f"{result.study.name}: {out / result.study.name / 'report.html'}")
    console.print(f"Pass@k, all claims: {out / 'summary.md'}")


def _show_union(union: Result, console: Console, *, named: bool) -> None:
    console.print(f"{union.study.name}. {claims_line(union.verdicts)}" if named else claims_line(union.verdicts))
    for run in union.study.unfinished:
        console.print(f"unfinished: {run_state(run)}")
    for note in union.study.settings_differ:
        console.print(f"note: {note}")
    for sentence in union.study.not_started:
        console.print(f"left out: {sentence}")
