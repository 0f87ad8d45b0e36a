"""What a report says of a study, in words and rows. summary.md, report.html and the terminal all take it from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from agrae_lab.runs import Run
from analysis.claims.verdicts import NO_DATA, NOT_SUPPORTED, ONE_SEED, SUPPORTED, UNDECIDED, Verdict, describe
from analysis.io.study import Study
from analysis.presentation.captions import describe_missing, describe_reward
from analysis.presentation.render import Rendered
from analysis.presentation.style import label, sort_arms
from analysis.statistics.intervals import LEVEL
from analysis.statistics.passk import KS

TABLE_COLUMNS = (
    "benchmark", "arm", "seeds", "k", "estimate", "lo", "hi", "method", "speaks_of", "n", "problems",
    "temperature", "top_p", "no_within_variance", "unfinished",
)  # fmt: skip

NOT_EVALUATED = "No data yet: no run has been evaluated."
UNFINISHED = "Unfinished, so not part of any mean or verdict:"
DIVERGED = "A diverged run is an outcome too: what is said of its arm holds for the seeds that did not diverge."


@dataclass
class Result:
    """What a study came to."""

    study: Study
    verdicts: list[Verdict] = field(default_factory=list)
    table: pd.DataFrame = field(default_factory=lambda: passk_table([]))
    figures: list[Rendered] = field(default_factory=list)
    tables: list[Rendered] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def to_know(self) -> list[str]:
        """What was left out, what paid the completions if not accuracy alone, which settings differ, other notes."""
        reward = describe_reward(self.study.runs)
        return [*self.study.problems, *([reward] if reward else []), *self.study.settings_differ, *self.notes]


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


def columns(rows: pd.DataFrame) -> list[str]:
    """The headers over `cells` of one benchmark; k > n/2 is marked with *."""
    marked = rows.groupby("k")["no_within_variance"].first()
    return ["arm", "seeds", *(f"{k}*" if marked[k] else str(k) for k in KS)]


def passk_heading(benchmark: object, rows: pd.DataFrame) -> str:
    """What stands above the Pass@k of one benchmark."""
    first = rows.iloc[0]
    return (
        f"Pass@k on {benchmark} in percent with {100 * LEVEL:.0f} % intervals: {first['problems']} problems, "
        f"n = {first['n']}, T = {first['temperature']:g}, top_p = {first['top_p']:g}."
    )


def passk_notes(rows: pd.DataFrame) -> list[str]:
    """What a reader must know of the Pass@k of one benchmark, a sentence each."""
    notes = [
        f"Intervals: {row['method']}; scope: {row['speaks_of']}."
        for _, row in rows.dropna(subset="lo").drop_duplicates(["method", "speaks_of"]).iterrows()
    ]
    if rows["no_within_variance"].any():
        notes.append("* k > n/2: n samples give no within-problem variance there.")
    notes += describe_missing(rows)
    if rows["estimate"].isna().any():
        notes.append("–: k > n has no value.")
    return notes


def verdict_line(verdict: Verdict) -> str:
    """The claim and its verdict, then the deciding part with its interval."""
    head = f"{verdict.claim} {verdict.verdict.upper()}: {verdict.title}"
    if verdict.verdict == NO_DATA:
        return f"{head} ({verdict.text})"
    whose = "these checkpoints" if verdict.verdict == ONE_SEED else "parts"
    counts = ", ".join(
        f"{sum(part.verdict == word for part in verdict.parts)} {word}"
        for word in (SUPPORTED, NOT_SUPPORTED, UNDECIDED)
        if any(part.verdict == word for part in verdict.parts)
    )
    decided = f"\n    {describe(verdict.deciding)}" if verdict.deciding else ""
    return f"{head} ({whose}: {counts}){decided}"


def multiplicity(verdicts: Sequence[Verdict]) -> str:
    """How many intervals the verdicts rest on, and how many of them chance alone would move; "" without any."""
    num_parts = sum(len(verdict.parts) for verdict in verdicts)
    if not num_parts:
        return ""
    judged = sum(verdict.verdict != NO_DATA for verdict in verdicts)
    return (
        f"Multiplicity: {judged} claims, {num_parts} intervals at {100 * LEVEL:.0f} % each, no correction "
        f"across them; if every effect were zero, about {num_parts * (1 - LEVEL):.1f} would exclude it by chance. "
        "Within a claim, supported asks for all parts at once and needs no correction."
    )


def run_state(run: Run) -> str:
    """`a_grae-1a2b3c4d/seed-0: running (train 12 of 80)`, with the error of a failed run."""
    progress = run.progress()
    at = f" ({progress['phase']} {progress['done']} of {progress['total']})" if progress else ""
    error = f": {run.meta['error']}" if run.meta.get("error") else ""
    return f"{run.key}: {run.status}{at}{error}"


def has_diverged(study: Study) -> bool:
    return any(run.status == "diverged" for run in study.unfinished)


def run_rows(study: Study) -> list[list[str]]:
    """A header and a row for each run: run, arm, seed, status, config hash."""
    rows = [["run", "arm", "seed", "status", "config hash"]]
    for run in study.runs:
        rows.append([run.key, label(run.arm), str(run.seed), run.status, str(run.meta.get("config_hash", ""))])
    return rows


def _cell(row: pd.Series) -> str:
    if np.isnan(row["estimate"]):
        return "–"
    estimate, lo, hi = (100 * row[name] for name in ("estimate", "lo", "hi"))
    return f"{estimate:.1f}" if np.isnan(lo) else f"{estimate:.1f} [{lo:.1f}, {hi:.1f}]"
