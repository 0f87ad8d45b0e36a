"""Tables and summaries: passk_table.{csv,md}, summary.md and what the command prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from agrae_lab.runs import Run

from .claims import Verdict
from .frames import Study
from .passk import KS
from .render import Rendered
from .stats import LEVEL
from .style import label, sort_arms
from .verdicts import NO_DATA, NOT_SUPPORTED, RULE, SUPPORTED, UNDECIDED, describe

TABLE_COLUMNS = (
    "benchmark", "arm", "seeds", "k", "estimate", "lo", "hi", "method", "speaks_of", "n", "problems",
    "temperature", "top_p", "no_within_variance", "unfinished",
)  # fmt: skip


def passk_table(curves: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tidy Pass@k of every arm, base first: the aggregated rows of curve_table, NaN estimates where k > n."""
    if not curves:
        return pd.DataFrame(columns=list(TABLE_COLUMNS))
    table = pd.concat(curves, ignore_index=True)
    table = table[table["method"] != ""]
    order = {arm: i for i, arm in enumerate(sort_arms(list(table["arm"].unique())))}
    table = table.sort_values(["benchmark", "arm", "k"], key=lambda x: x.map(order) if x.name == "arm" else x)
    return table[list(TABLE_COLUMNS)].reset_index(drop=True)


def cells(table: pd.DataFrame, ks: Sequence[int] = KS) -> list[list[str]]:
    """Rows of text for readers: arm, seeds, then "estimate [lo, hi]" in percent for each k; – where k > n."""
    lines = []
    for arm, rows in table.groupby("arm", sort=False):
        by_k = {row["k"]: row for _, row in rows.iterrows()}
        name = label(str(arm)) + (" (unfinished)" if rows["unfinished"].any() else "")
        seeds = str(rows["seeds"].iloc[0]) if rows["seeds"].iloc[0] else ""
        lines.append([name, seeds, *(_cell(by_k[k]) for k in ks)])
    return lines


def markdown_table(table: pd.DataFrame) -> str:
    """One Markdown table per benchmark; k > n/2 is marked with *."""
    if table.empty:
        return "No data yet: no run has been evaluated.\n"
    blocks = []
    for benchmark, rows in table.groupby("benchmark", sort=True):
        marked = rows.groupby("k")["no_within_variance"].first()
        header = ["arm", "seeds", *(f"{k}*" if marked[k] else str(k) for k in KS)]
        lines = [header, ["---"] * len(header), *cells(rows)]
        first = rows.iloc[0]
        blocks.append(
            f"Pass@k on {_line(benchmark)} in percent with {100 * LEVEL:.0f} % intervals: "
            f"{first['problems']} problems, n = {first['n']}, "
            f"T = {first['temperature']:g}, top_p = {first['top_p']:g}.\n\n"
            + "\n".join("| " + " | ".join(map(_cell_text, line)) + " |" for line in lines)
            + f"\n\n{_table_notes(rows)}\n"
        )
    return "\n".join(blocks)


def verdict_line(verdict: Verdict) -> str:
    """The claim and its verdict, then the deciding part with its interval."""
    head = f"{verdict.claim} {verdict.verdict.upper()}: {verdict.title}"
    if verdict.verdict == NO_DATA:
        return f"{head} ({verdict.text})"
    counts = ", ".join(
        f"{sum(part.verdict == word for part in verdict.parts)} {word}"
        for word in (SUPPORTED, NOT_SUPPORTED, UNDECIDED)
        if any(part.verdict == word for part in verdict.parts)
    )
    decided = f"\n    {describe(verdict.deciding)}" if verdict.deciding else ""
    return f"{head} (parts: {counts}){decided}"


def summary(
    study: Study,
    *,
    verdicts: Sequence[Verdict],
    table: pd.DataFrame,
    figures: Sequence[Rendered] = (),
    refused: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """summary.md of one study: question, verdicts, Pass@k, figures, runs."""
    sections = [f"# {_line(study.name)}\n\n{_line(study.question)}\n"]
    if refused:
        sections.append("## Refused\n\n" + _bullets(refused))
    sections.append("## Verdicts\n\n" + _verdicts(verdicts))
    sections.append("## Pass@k\n\n" + markdown_table(table))
    if figures:
        sections.append("## Figures\n\n" + "\n".join(_figure(figure) for figure in figures) + "\n")
    sections.append("## Runs\n\n" + _runs(study))
    if left := [*study.problems, *study.settings_differ, *notes]:
        sections.append("## To know\n\n" + _bullets(left))
    return "\n".join(sections)


def run_state(run: Run) -> str:
    """`a_grae-1a2b3c4d/seed-0: running (train 12 of 80)`, with the error of a failed run."""
    progress = run.progress()
    at = f" ({progress['phase']} {progress['done']} of {progress['total']})" if progress else ""
    error = f": {run.meta['error']}" if run.meta.get("error") else ""
    return f"{run.key}: {run.status}{at}{error}"


def _cell(row: pd.Series) -> str:
    if np.isnan(row["estimate"]):
        return "–"
    estimate, lo, hi = (100 * row[name] for name in ("estimate", "lo", "hi"))
    return f"{estimate:.1f}" if np.isnan(lo) else f"{estimate:.1f} [{lo:.1f}, {hi:.1f}]"


def _table_notes(rows: pd.DataFrame) -> str:
    notes = [
        f"Intervals: {row['method']}, speaking of {row['speaks_of']}."
        for _, row in rows.dropna(subset="lo").drop_duplicates(["method", "speaks_of"]).iterrows()
    ]
    if rows["no_within_variance"].any():
        notes.append("\\* k > n/2: n samples give no within-problem variance there.")
    if (rows["estimate"].notna() & rows["lo"].isna()).any():
        notes.append("No interval where all seeds are alike.")
    if rows["estimate"].isna().any():
        notes.append("–: k > n has no value.")
    return " ".join(notes)


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    lines = []
    for verdict in verdicts:
        lines.append(f"- **{verdict.claim}: {verdict.verdict}.** {verdict.title}.")
        if verdict.verdict == NO_DATA:
            lines.append(f"  - {verdict.text}")
            lines += [f"  - note: {note}" for note in verdict.notes]
            continue
        lines += [f"  - {describe(part)}" for part in verdict.parts]
        lines.append(f"  - speaks of: {verdict.speaks_of}")
        lines.append(f"  - would change it: {verdict.would_change}")
        lines += [f"  - note: {note}" for note in verdict.notes]
    if any(verdict.parts for verdict in verdicts):
        lines.append(f"\n{RULE}")
    num_parts = sum(len(verdict.parts) for verdict in verdicts)
    judged = sum(verdict.verdict != NO_DATA for verdict in verdicts)
    if num_parts:
        lines.append(
            f"\nMultiplicity: {judged} claims, {num_parts} intervals at {100 * LEVEL:.0f} % each, no correction "
            f"across them; if every effect were zero, about {num_parts * (1 - LEVEL):.1f} would exclude it by chance. "
            "Within a claim, supported asks for all parts at once and needs no correction."
        )
    return "\n".join(lines) + "\n"


def _figure(figure: Rendered) -> str:
    if figure.reason:
        return f"- `{figure.name}`: not drawn: {_line(figure.reason)}"
    return (
        f"- [{figure.name}]({figure.name}.png) ([PDF]({figure.name}.pdf), [CSV]({figure.name}.csv)): "
        f"{_line(figure.question)} {_line(figure.caption)}"
    )


def _runs(study: Study) -> str:
    lines = [["run", "arm", "seed", "status", "config hash"], ["---"] * 5]
    for run in study.runs:
        lines.append([run.key, label(run.arm), str(run.seed), run.status, str(run.meta.get("config_hash", ""))])
    text = "\n".join("| " + " | ".join(map(_cell_text, line)) + " |" for line in lines) + "\n"
    if study.unfinished:
        text += "\nUnfinished, so not part of any mean or verdict:\n\n" + _bullets(map(run_state, study.unfinished))
    if any(run.status == "diverged" for run in study.unfinished):
        text += (
            "\nA diverged run is an outcome too: what is said of its arm holds for the seeds that did not diverge.\n"
        )
    return text


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {_line(sentence)}" for sentence in sentences) + "\n"


def _line(text: object) -> str:
    """Text that cannot break out of its Markdown line."""
    return " ".join(str(text).split())


def _cell_text(text: object) -> str:
    """Text that cannot break out of its table cell."""
    return _line(text).replace("|", "\\|")
