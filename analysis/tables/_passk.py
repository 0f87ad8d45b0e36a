"""Rows, marks, layout and notes of the Pass@k tables."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any, cast

import numpy as np
import pandas as pd

from analysis import published
from analysis.estimates.passk_curves import collect, curve_table
from analysis.io.study import BASE, Study
from analysis.presentation.captions import (
    PUBLISHED,
    RECORDED,
    describe_missing,
    describe_setting,
    published_of,
    stack,
    summarize_setting,
)
from analysis.presentation.style import label, sort_arms
from analysis.presentation.table_layout import BEST, SECOND, Block, Cell, Layout, Row, percent, share_cell
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import Evaluations
from analysis.statistics.intervals import LEVEL
from analysis.statistics.passk import KS

NO_RUN, NOT_EVALUATED, K_ABOVE_N = "no run yet", "not evaluated yet", "k > n"

TIES = (
    "Bold: best; underlined (in Markdown: italic): second best. An arm is behind the best if the 95 % interval of "
    "their paired difference excludes zero, also after Bonferroni's correction for the compared arms. All other arms "
    "are tied with the best and share its mark; if all arms are tied, there is no mark. The second best is the best of "
    "the arms behind, by the same rule."
)


def passk_rows(
    study: Study, arms: Sequence[str] = (), *, ks: Sequence[int] = KS, tables: Sequence[int] = ()
) -> pd.DataFrame:
    """Return the Pass@k of the named arms (of all arms by default) on every benchmark, with marks.

    Rows: the aggregated rows of curve_table, with source, mark ("best", "second" or ""), note (the reason for a missing
    estimate). An arm without a run or an evaluation has rows without an estimate. If published numbers were requested,
    the rows of the paper's `tables` follow, with source "published", model and plus_minus.

    Raises:
        FrameError: an evaluation cannot be read, or two of them cannot be compared.
    """
    frames = []
    for benchmark in benchmarks(study):
        evaluations = collect(study, benchmark) if benchmark in study.benchmarks else None
        frames.append(_recorded(study, benchmark, evaluations, _arms_named(study, arms), ks))
        frames.append(_published(study, benchmark, arms, ks, tables))
    return stack(frames)


def benchmarks(study: Study) -> list[str]:
    """Return every benchmark in the configs or evaluations of the runs."""
    configured = {name for run in study.runs for name in run.config.get("evaluation", {}).get("benchmarks", {})}
    return sorted(configured | set(study.benchmarks))


def _arms_named(study: Study, names: Sequence[str]) -> list[str]:
    """Return the arms in display order; a name stands for all configurations that share it."""
    if not names:
        return sort_arms([BASE, *study.arms])
    found = []
    for name in names:
        found += [arm for arm, runs in study.arms.items() if runs[0].arm == name] or [name]
    return list(dict.fromkeys(found))  # the reference may be an arm of the table too


def _recorded(
    study: Study, benchmark: str, evaluations: Evaluations | None, arms: Sequence[str], ks: Sequence[int]
) -> pd.DataFrame:
    places = pd.DataFrame(list(product(arms, ks)), columns=["arm", "k"])
    if evaluations is None:
        rows = places.assign(estimate=np.nan, lo=np.nan, hi=np.nan, mark="", note=NOT_EVALUATED)
    else:
        curves = curve_table(evaluations)
        rows = places.merge(curves[curves["method"] != ""], on=["arm", "k"], how="left")
        rows = rows.assign(unfinished=rows["arm"].isin(list(evaluations.unfinished)))
        rows = rows.assign(no_within_variance=rows["estimate"].notna() & (2 * rows["k"] > evaluations.num_samples))
        rows["mark"] = _marks(evaluations, rows)
        missing = ~rows["arm"].isin(list(evaluations.correct))
        rows["note"] = np.where(missing, NOT_EVALUATED, np.where(rows["estimate"].isna(), K_ABOVE_N, ""))
    absent = ~rows["arm"].isin([BASE, *study.arms])
    return rows.assign(benchmark=benchmark, source=RECORDED, note=rows["note"].mask(absent, NO_RUN))


def _marks(evaluations: Evaluations, rows: pd.DataFrame) -> list[str]:
    """Return BEST, SECOND or "" for each row; unfinished arms do not compete."""
    competing = rows[rows["estimate"].notna() & ~rows["arm"].isin(list(evaluations.unfinished))]
    estimates = {cast(int, k): column for k, column in competing.set_index("arm").groupby("k", sort=False)["estimate"]}
    best = _leaders(evaluations, estimates)
    second = _leaders(evaluations, {k: column.drop(list(best[k])) for k, column in estimates.items()})
    return [
        BEST if arm in best.get(k, ()) else SECOND if arm in second.get(k, ()) else ""
        for arm, k in zip(rows["arm"], rows["k"], strict=True)
    ]


def _leaders(evaluations: Evaluations, estimates: Mapping[int, pd.Series]) -> dict[int, set[str]]:
    """Return k → the arm with the highest estimate and the arms tied with it; no arm if all are tied.

    At each k, a truly best arm is left out with a probability of at most 1 − LEVEL: it is left out only if another arm
    is above it by a test at (1 − LEVEL) / others.
    """
    pairs = []
    for k, column in estimates.items():
        ranked = column.sort_values(ascending=False, kind="stable").index
        pairs += [(k, ranked[0], other) for other in ranked[1:]]
    contrasts = [{top: {k: 1.0}, other: {k: -1.0}} for k, top, other in pairs]
    behind: dict[int, set[str]] = {k: set() for k in estimates}
    for (k, _, other), interval in zip(pairs, contrast_intervals(evaluations, contrasts), strict=True):
        # a comparison without interval or p-value separates no arms
        if interval.lo > 0 and interval.p_value * (len(estimates[k]) - 1) <= 1 - LEVEL:
            behind[k].add(other)
    return {k: set(column.index) - behind[k] if behind[k] else set() for k, column in estimates.items()}


def _published(
    study: Study, benchmark: str, arms: Sequence[str], ks: Sequence[int], tables: Sequence[int]
) -> pd.DataFrame:
    rows = published.match(study.view.published, benchmark)
    if len(rows) == 0:
        return rows
    model, on = rows[["model", "benchmark"]].iloc[0]
    rows = published.published_rows(model, on)
    kept = rows["table"].isin(list(tables)) & rows["k"].isin(list(ks))
    kept &= rows["arm"].isin(list(arms)) if arms else True
    rows = rows[kept].drop_duplicates(["arm", "k"]).rename(columns={"benchmark": "on"})
    return rows[["arm", "k", "estimate", "plus_minus", "model", "on"]].assign(
        benchmark=benchmark, source=PUBLISHED, mark="", note=""
    )


def has_recorded(rows: pd.DataFrame, arms: Sequence[str]) -> bool:
    """Return True if an arm whose name starts with one of these has a recorded estimate."""
    known = rows[(rows["source"] == RECORDED) & rows["estimate"].notna()] if len(rows) else rows
    return any(str(arm).startswith(tuple(arms)) for arm in known.get("arm", ()))


def by_k(rows: pd.DataFrame, title: str) -> Layout:
    """Return the layout with arms down, k across, and a block for each benchmark."""
    ks = sorted(int(k) for k in rows["k"].unique())
    blocks = []
    for benchmark, part in rows.groupby("benchmark", sort=False):
        blocks.append(Block(_heading(str(benchmark), part), lines(part, "k", ks)))
    return Layout(caption(title, rows), ("k", *map(str, ks)), tuple(blocks), notes(rows))


def caption(title: str, rows: pd.DataFrame) -> str:
    """Return the title, then n, seeds and scope of the recorded estimates."""
    known = rows[(rows["source"] == RECORDED) & rows["estimate"].notna()]
    return f"{title} {summarize_setting(known)}" if len(known) else title


def lines(rows: pd.DataFrame, across: str, values: Sequence[Any]) -> tuple[Row, ...]:
    """Return a row for each arm in display order, its published row beneath; a cell for each value of `across`."""
    found = []
    parts: dict[tuple[str, str], dict[Any, Mapping[Hashable, Any]]] = {}
    for row in rows.to_dict("records"):
        parts.setdefault((row["arm"], row["source"]), {})[row[across]] = row
    for arm in sort_arms(list(rows["arm"].unique())):
        for source in (RECORDED, PUBLISHED):
            if (by_value := parts.get((arm, source))) is None:
                continue
            name = label(arm) + (" (unfinished)" if any(row["unfinished"] is True for row in by_value.values()) else "")
            beneath = source == PUBLISHED and (arm, RECORDED) in parts
            if source == PUBLISHED:
                name = "published" if beneath else f"{name}, published"
            cells = tuple(_cell(by_value.get(value)) for value in values)
            found.append(Row(name, cells, published=source == PUBLISHED, beneath=beneath))
    return tuple(found)


def _cell(row: Mapping[Hashable, Any] | None) -> Cell:
    """Return the cell of a row; – without a row or an estimate."""
    if row is None or np.isnan(row["estimate"]):
        return Cell()
    if row["source"] == PUBLISHED:
        return Cell(percent(row["estimate"]), "" if np.isnan(row["plus_minus"]) else f"± {percent(row['plus_minus'])}")
    return share_cell(row["estimate"], row["lo"], row["hi"], row["mark"])


def _heading(benchmark: str, rows: pd.DataFrame) -> str:
    evaluated = rows.dropna(subset="n") if "n" in rows else rows.iloc[:0]
    if evaluated.empty:
        return benchmark
    n = int(evaluated["n"].iloc[0])
    high = [k for k in sorted(rows["k"].unique()) if 2 * k > n]
    above = f"; k > n/2, without within-problem variance, from k = {high[0]} on" if high and high[0] <= n else ""
    return f"{benchmark} ({int(evaluated['problems'].iloc[0])} problems, n = {n}{above})"


def notes(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return sentences on intervals, marks, missing values and published rows."""
    recorded = rows[rows["source"] == RECORDED]
    found = []
    if len(known := recorded[recorded["estimate"].notna()]):
        found += [describe_setting(known), TIES]
    for note in (NO_RUN, NOT_EVALUATED, K_ABOVE_N):
        if len(missing := recorded[recorded["note"] == note]):
            found.append(f"–, {note}: {_places(missing, note)}.")
    found += describe_missing(recorded)
    if len(theirs := rows[rows["source"] == PUBLISHED]):
        found.append(
            f"Published: the paper's own numbers for {published_of(theirs)}, ± as printed there; marks ignore them."
        )
    return tuple(found)


def _places(rows: pd.DataFrame, note: str) -> str:
    """Return the arms, the k, or the arms by benchmark that a note is about."""
    if note == NO_RUN:
        return ", ".join(map(label, rows["arm"].unique()))
    if note == K_ABOVE_N:
        return ", ".join(f"k = {k}" for k in sorted(rows["k"].unique()))
    by_benchmark = rows.groupby("benchmark", sort=False)["arm"].unique()
    return "; ".join(f"{', '.join(map(label, arms))} on {benchmark}" for benchmark, arms in by_benchmark.items())
