"""summary.md: a study's result as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from analysis.claims.verdicts import NO_DATA, RULE, Verdict, describe
from analysis.io.study import Study
from analysis.presentation.render import Rendered
from analysis.presentation.table_layout import markdown
from analysis.report.headline import headline, skipped
from analysis.report.protocol import protocol_sentences
from analysis.report.result import (
    DIVERGED,
    NO_ANSWER,
    NOT_COMPARABLE,
    NOT_EVALUATED,
    UNFINISHED,
    Result,
    claims_line,
    has_diverged,
    multiplicity,
    run_rows,
    run_state,
)


def summary(result: Result) -> str:
    """Return summary.md of one study: question and answer, the paper's claims, Pass@k, figures, tables, runs."""
    study = result.study
    sections = [f"# {_line(study.name)}\n\n{_line(study.question)}\n"]
    sections.append(_answer(result))
    if result.refused:
        sections.append("## Refused\n\n" + _bullets(result.refused))
    if protocol := protocol_sentences(study):
        sections.append("## Protocol\n\n" + _bullets(protocol))
    sections.append(_folded(claims_line(result.verdicts), _verdicts(result.verdicts)))
    sections.append("## Pass@k\n\n" + (markdown(result.passk) if result.passk else f"{_no_passk(study)}\n"))
    for title, rendered, entry in (("Figures", result.figures, _figure), ("Tables", result.tables, _table)):
        if made := [output for output in rendered if not output.reason]:
            sections.append(f"## {title}\n\n" + "\n".join(map(entry, made)) + "\n")
    if line := skipped((*result.figures, *result.tables)):
        sections.append(f"{_line(line)}\n")
    sections.append("## Runs\n\n" + _runs(study))
    if result.remarks:
        sections.append("## Remarks\n\n" + _bullets(result.remarks))
    return "\n".join(sections)


def _answer(result: Result) -> str:
    """Return the headline, the figure of the gain and the table of differences."""
    sentences = headline(result) or [NO_ANSWER]
    parts = [_bullets(sentences)]
    parts += [f"![{_line(figure.question)}]({figure.name}.svg)\n" for figure in result.lead_figures]
    parts += [markdown(table.layout) for table in result.lead_tables if table.layout is not None]
    return "\n".join(parts)


def _no_passk(study: Study) -> str:
    return f"No data: {NOT_COMPARABLE}" if study.benchmarks else NOT_EVALUATED


def _folded(title: str, text: str) -> str:
    return f"<details>\n<summary>{_line(title)}</summary>\n\n{text}\n</details>\n"


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    lines = []
    for verdict in verdicts:
        lines.append(f"- **{verdict.claim}: {verdict.verdict}.** {verdict.title}.")
        if verdict.verdict == NO_DATA:
            lines.append(f"  - {verdict.text}")
        else:
            lines += [f"  - {describe(part)}" for part in verdict.parts]
            lines += [f"  - on one benchmark: {describe(part)}" for part in verdict.details]
            lines.append(f"  - scope: {verdict.scope}")
            lines.append(f"  - would change it: {verdict.would_change}")
        lines += [f"  - note: {note}" for note in verdict.notes]
    if counted := multiplicity(verdicts):
        lines.append(f"\n{RULE}\n\n{counted}")
    return "\n".join(lines) + "\n"


def _figure(figure: Rendered) -> str:
    return _entry(figure, "svg", {"CSV": "csv"})


def _table(table: Rendered) -> str:
    return _entry(table, "md", {"LaTeX": "tex", "CSV": "csv"})


def _entry(rendered: Rendered, ending: str, others: Mapping[str, str]) -> str:
    """Return a list entry with links to the files."""
    name = rendered.name
    files = ", ".join(f"[{kind}]({name}.{other})" for kind, other in others.items())
    return f"- [{name}]({name}.{ending}) ({files}): {_line(rendered.question)} {_line(rendered.caption)}"


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
    """Return text on one line, so that it cannot end its Markdown block."""
    return " ".join(str(text).split())


def _cell_text(text: object) -> str:
    """Return text on one line that cannot end its table cell."""
    return _line(text).replace("|", "\\|")
