"""Terminal output of the command: answers, Pass@k, verdicts, missing data, and the paths of the reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis.claims.verdicts import NO_DATA
from analysis.presentation.table_layout import Block
from analysis.report.headline import headline, skipped
from analysis.report.result import NO_ANSWER, Result, run_state, verdict_line

_PRINTED_KS = ("1", "4", "16", "64", "256")  # a terminal is too narrow for all


def show(results: Sequence[Result], judged: Sequence[Result], out: Path) -> None:
    """Print the results of the studies; `judged` holds the runs of all experiments together, one result per model."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for result in results:
        _show_answer(result, console)
    for union in judged:
        if len(judged) > 1:
            console.print(f"\n{union.study.name}", style="bold")
        _show_union(union, console)
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
    console.print(f"all claims: {out / 'summary.md'}")


def _show_answer(result: Result, console: Console) -> None:
    """Print a study's question and the sentences that answer it."""
    console.print(result.study.question or result.study.name, style="bold")
    for sentence in headline(result) or [NO_ANSWER]:
        console.print(f"  {sentence}")


def _show_union(union: Result, console: Console) -> None:
    if union.passk is not None:
        for block in union.passk.blocks:
            console.print()
            console.print(_passk_table(union.passk.head, block))
    for verdict in union.verdicts:
        if verdict.verdict != NO_DATA:
            console.print(verdict_line(verdict))
    if without := [verdict.claim for verdict in union.verdicts if verdict.verdict == NO_DATA]:
        console.print(f"{', '.join(without)} {NO_DATA.upper()}")
    for run in union.study.unfinished:
        console.print(f"unfinished: {run_state(run)}")
    for note in union.study.settings_differ:
        console.print(f"note: {note}")
    for sentence in union.study.not_started:
        console.print(f"left out: {sentence}")


def _passk_table(head: Sequence[str], block: Block) -> Table:
    """Return the arms and their Pass@k at some k, with each interval below its estimate."""
    table = Table(title=f"Pass@k (%) on {block.title}", box=None, padding=(0, 1, 0, 0), header_style="underline")
    columns = [i for i, k in enumerate(head[1:]) if k in _PRINTED_KS]
    table.add_column("arm", overflow="fold")
    for i in columns:
        table.add_column(head[1:][i], no_wrap=True, overflow="fold")
    for row in block.rows:
        cells = [row.cells[i] for i in columns]
        intervals = [cell.interval.strip("[]").replace(", ", "–") for cell in cells]
        texts = [f"{cell.text}\n{interval}".rstrip() for cell, interval in zip(cells, intervals, strict=True)]
        table.add_row(row.name, *texts)
    return table
