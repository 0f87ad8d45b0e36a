"""summary.md and passk_table.md: what report.py says, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from analysis.claims.verdicts import NO_DATA, RULE, Verdict, describe
from analysis.io.study import Study
from analysis.presentation.render import Rendered
from analysis.report.result import (
    DIVERGED,
    NOT_EVALUATED,
    UNFINISHED,
    Result,
    cells,
    columns,
    has_diverged,
    multiplicity,
    passk_heading,
    passk_notes,
    run_rows,
    run_state,
)


def summary(result: Result) -> str:
    """summary.md of one study: question, verdicts, Pass@k, figures, tables, runs."""
    study = result.study
    sections = [f"# {_line(study.name)}\n\n{_line(study.question)}\n"]
    if result.refused:
        sections.append("## Refused\n\n" + _bullets(result.refused))
    sections.append("## Verdicts\n\n" + _verdicts(result.verdicts))
    sections.append("## Pass@k\n\n" + passk_markdown(result.table))
    if result.figures:
        sections.append("## Figures\n\n" + "\n".join(_figure(figure) for figure in result.figures) + "\n")
    if result.tables:
        sections.append("## Tables\n\n" + "\n".join(_table(table) for table in result.tables) + "\n")
    sections.append("## Runs\n\n" + _runs(study))
    if result.to_know:
        sections.append("## To know\n\n" + _bullets(result.to_know))
    return "\n".join(sections)


def passk_markdown(table: pd.DataFrame) -> str:
    """One Markdown table per benchmark; k > n/2 is marked with *."""
    if table.empty:
        return f"{NOT_EVALUATED}\n"
    blocks = []
    for benchmark, rows in table.groupby("benchmark", sort=True):
        notes = " ".join(passk_notes(rows)).replace("*", "\\*")
        heading = passk_heading(_line(benchmark), rows)
        blocks.append(f"{heading}\n\n{_rows([columns(rows), *cells(rows)])}\n{notes}\n")
    return "\n".join(blocks)


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    lines = []
    for verdict in verdicts:
        lines.append(f"- **{verdict.claim}: {verdict.verdict}.** {verdict.title}.")
        if verdict.verdict == NO_DATA:
            lines.append(f"  - {verdict.text}")
        else:
            lines += [f"  - {describe(part)}" for part in verdict.parts]
            lines += [f"  - in detail, {describe(part)}" for part in verdict.details]
            lines.append(f"  - scope: {verdict.scope}")
            lines.append(f"  - would change it: {verdict.would_change}")
        lines += [f"  - note: {note}" for note in verdict.notes]
    if counted := multiplicity(verdicts):
        lines.append(f"\n{RULE}\n\n{counted}")
    return "\n".join(lines) + "\n"


def _figure(figure: Rendered) -> str:
    return _made(figure, "svg", {"CSV": "csv"}, otherwise="not drawn")


def _table(table: Rendered) -> str:
    return _made(table, "md", {"LaTeX": "tex", "CSV": "csv"}, otherwise="not made")


def _made(one: Rendered, ending: str, others: Mapping[str, str], *, otherwise: str) -> str:
    if one.reason:
        return f"- `{one.name}`: {otherwise}: {_line(one.reason)}"
    files = ", ".join(f"[{kind}]({one.name}.{other})" for kind, other in others.items())
    return f"- [{one.name}]({one.name}.{ending}) ({files}): {_line(one.question)} {_line(one.caption)}"


def _runs(study: Study) -> str:
    text = _rows(run_rows(study))
    if study.unfinished:
        text += f"\n{UNFINISHED}\n\n" + _bullets(map(run_state, study.unfinished))
    if has_diverged(study):
        text += f"\n{DIVERGED}\n"
    return text


def _rows(rows: Sequence[Sequence[str]]) -> str:
    header, *body = rows
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(map(_cell_text, line)) + " |" for line in lines) + "\n"


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {_line(sentence)}" for sentence in sentences) + "\n"


def _line(text: object) -> str:
    """Text that cannot break out of its Markdown line."""
    return " ".join(str(text).split())


def _cell_text(text: object) -> str:
    """Text that cannot break out of its table cell."""
    return _line(text).replace("|", "\\|")
