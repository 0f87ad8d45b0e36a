"""Aggregates over all benchmarks, with training seeds as the unit of resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.estimates.evaluated import evaluated, half_k
from analysis.io.study import BASE, Study
from analysis.presentation.style import label, sort_arms
from analysis.statistics.evaluations import Evaluations
from analysis.statistics.intervals import Interval
from analysis.statistics.seeds import interquartile_mean, probability_of_improvement, seed_scores

MIDDLE, ABOVE = "interquartile mean", "probability of improvement"
TOO_FEW, ITSELF = "fewer than two seeds on all benchmarks", "the reference itself"


def aggregate_table(study: Study) -> pd.DataFrame:
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
            **interval.columns,
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
