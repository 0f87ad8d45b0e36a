"""Aggregates over all benchmarks, with training seeds as the unit of resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.io.study import BASE, Study
from analysis.presentation.captions import each
from analysis.presentation.style import label, sort_arms
from analysis.presentation.table_layout import NO_VALUE, Block, Layout, Row, share_cell
from analysis.statistics.evaluations import Evaluations
from analysis.statistics.intervals import FEW_SEEDS, Interval
from analysis.statistics.seeds import interquartile_mean, probability_of_improvement, seed_scores
from analysis.tables._evaluated import evaluated, half_k, row_name

NAME = "table_aggregates"
QUESTION = "Which method is better over all benchmarks, and would be again with new seeds?"
PAPER = ""

MIDDLE, ABOVE = "interquartile mean", "probability of improvement"
TOO_FEW, ITSELF = "fewer than two seeds on all benchmarks", "the reference itself"


def table(study: Study) -> pd.DataFrame:
    """Return rows: arm, quantity (MIDDLE or ABOVE), k, estimate, lo, hi (shares); none unless an arm has two seeds.

    k: 1, and the largest k ≤ n/2 of the benchmark with the fewest samples. seeds: number of the arm's seeds that are
    evaluated on all benchmarks; no others are used. benchmarks: names and n. caution: a warning for fewer than five
    seeds on a side. note: the reason for a missing estimate.

    Raises:
        FrameError: an evaluation cannot be read, or two of them cannot be compared.
    """
    evaluations = evaluated(study)
    if not any(len(seeds) > 1 for stratum in evaluations for seeds in stratum.seeds.values()):
        return pd.DataFrame()
    arms = sort_arms(list({arm for stratum in evaluations for arm in stratum.correct if arm != BASE}))
    rows = []
    for k in sorted({1, half_k(min(stratum.num_samples for stratum in evaluations))}):
        scores = {arm: _scores(evaluations, arm, k) for arm in arms}
        rows += [row for arm in arms for row in _rows(scores, arm, study.reference, k, study.view.seed)]
    unfinished = {arm for stratum in evaluations for arm in stratum.unfinished}
    benchmarks = ", ".join(f"{stratum.benchmark} (n = {stratum.num_samples})" for stratum in evaluations)
    return pd.DataFrame([{**row, "benchmarks": benchmarks, "unfinished": row["arm"] in unfinished} for row in rows])


def _scores(evaluations: Sequence[Evaluations], arm: str, k: int) -> np.ndarray:
    """Return Pass@k [S seeds, M benchmarks] of the seeds that are evaluated on all benchmarks."""
    if not set.intersection(*(set(stratum.seeds.get(arm, ())) for stratum in evaluations)):
        return np.empty((0, len(evaluations)))
    return seed_scores(evaluations, arm, k)[0]


def _rows(scores: dict[str, np.ndarray], arm: str, reference: str, k: int, seed: int) -> list[dict[str, Any]]:
    ours, theirs = scores[arm], scores.get(reference, np.empty((0, 0)))
    middle = above = Interval(np.nan, np.nan, np.nan, "", "", len(ours))
    note = "" if len(ours) > 1 else TOO_FEW
    no_reference = f"{label(reference)} has {TOO_FEW}" if len(theirs) < 2 else ""
    note_above = note or (ITSELF if arm == reference else no_reference)
    if not note:
        plain = interquartile_mean(ours, rng=np.random.default_rng(seed))
        lo, hi = np.clip([plain.lo, plain.hi], 0.0, 1.0).tolist()
        middle = replace(plain, lo=lo, hi=hi)
    if not note_above:
        above = probability_of_improvement(ours, theirs, rng=np.random.default_rng(seed))
    return [
        {
            "arm": arm,
            "quantity": quantity,
            "k": k,
            "estimate": interval.estimate,
            "lo": interval.lo,
            "hi": interval.hi,
            "method": interval.method,
            "speaks_of": interval.speaks_of,
            "seeds": len(ours),
            "reference": versus,
            "caution": interval.caution if not why else "",
            "note": why,
        }
        for quantity, interval, versus, why in (
            (MIDDLE, middle, "", note),
            (ABOVE, above, reference, note_above),
        )
    ]


def layout(table: pd.DataFrame) -> Layout:
    """Return arms down; for each k the interquartile mean and the probability of improvement."""
    ks, reference = sorted(table["k"].unique()), _reference(table)
    lines = []
    for arm, own in table.groupby("arm", sort=False):
        by_place = own.set_index(["k", "quantity"])
        places = [by_place.loc[(k, quantity)] for k in ks for quantity in (MIDDLE, ABOVE)]
        cells = tuple(share_cell(row["estimate"], row["lo"], row["hi"]) for row in places)
        lines.append(Row(row_name(str(arm), bool(own["unfinished"].any())), cells))
    return Layout(
        caption="Pass@k over all benchmarks, in percent with 95 % intervals over training seeds. "
        f"Seeds evaluated on all benchmarks: {each(table.drop_duplicates('arm').set_index('arm')['seeds'])}.",
        head=("", *(MIDDLE, f"above {reference}") * len(ks)),
        blocks=(Block(f"over {table['benchmarks'].iloc[0]}", tuple(lines)),),
        notes=_notes(table),
        spans=tuple((f"Pass@{k}", 2) for k in ks),
    )


def _reference(table: pd.DataFrame) -> str:
    return label(table.loc[table["quantity"] == ABOVE, "reference"].iloc[0])


def _notes(table: pd.DataFrame) -> tuple[str, ...]:
    reference = _reference(table)
    notes = [
        "Interquartile mean: mean of the middle half of all seed × benchmark values of Pass@k.",
        f"Above {reference}: probability of improvement, the probability that a run of the arm scores above a "
        f"run of {reference} on a benchmark (a tie counts half), mean over benchmarks; 50 is no difference.",
        "Both follow Agarwal et al. 2021, arXiv 2108.13264.",
    ]
    bounded = table.dropna(subset="lo")
    for method, target in bounded[["method", "speaks_of"]].drop_duplicates().to_numpy():
        notes.append(f"Interval: {method}; scope: {target}.")
    if (table["caution"] != "").any():
        notes.append(f"Fewer than {FEW_SEEDS} seeds: read intervals with care.")
    if len(few := table.loc[table["note"] == TOO_FEW, "arm"].unique()):
        notes.append(f"{NO_VALUE}, {TOO_FEW}: {', '.join(map(label, few))}.")
    if (table["note"] == (no_reference := f"{reference} has {TOO_FEW}")).any():
        notes.append(f"{NO_VALUE}: no comparison, {no_reference}.")
    if (table["estimate"].notna() & table["lo"].isna()).any():
        notes.append("No interval if all seeds are equal, or if all runs of one side are above all runs of the other.")
    notes.append("The base model has no row, since it is one checkpoint without seeds.")
    return tuple(notes)
