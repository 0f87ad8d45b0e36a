"""Comparisons of one arm with another: declared families with Holm's correction, and all pairs for exploration.

Intervals come from contrasts.py, so a difference has the same interval in all figures, tables and verdicts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd

from analysis.io.parquet import FrameError
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import CHECKPOINTS, METHOD, SEEDS, Contrast, Evaluations, common_seeds
from analysis.statistics.intervals import Interval
from analysis.statistics.multiplicity import benjamini_hochberg, holm
from analysis.statistics.passk import KS
from analysis.statistics.seeds import Spread, recorded_spread, seed_scores

SCOPES = {"checkpoints": CHECKPOINTS, "seeds": SEEDS, "method": METHOD}


def compare(evaluations: Evaluations, arm: str, reference: str, k: int, *, scope: str | None = None) -> Interval:
    """Return Pass@k of an arm minus the reference's, with interval and p-value.

    Args:
        scope: a key of SCOPES. Default: the widest that the data allow.

    Raises:
        ValueError: there is no such arm or scope, or the arm is its own reference.
        FrameError: k > n, or the scope is "seeds" or "method" and an arm has one seed.
    """
    _check(evaluations, arm, reference, k, scope)
    contrast = {arm: {k: 1.0}, reference: {k: -1.0}}
    return contrast_intervals(evaluations, [contrast], scope=SCOPES[scope] if scope else None)[0]


def compare_family(
    evaluations: Evaluations, arms: Sequence[str], reference: str, ks: Sequence[int], *, scope: str
) -> pd.DataFrame:
    """Compare each arm with the reference, Holm-corrected; meant for a family declared beforehand.

    Columns: benchmark, arm, reference, k, estimate, lo, hi (pointwise), p_value, p_holm, method, scope, seeds,
    caution, family.

    Raises:
        ValueError, FrameError: as `compare`, for any of them.
    """
    rows = []
    for arm, k in itertools.product(arms, ks):
        interval = compare(evaluations, arm, reference, k, scope=scope)
        rows.append(_row(evaluations, interval, arm, reference, k) | {"caution": interval.caution})
    table = pd.DataFrame(rows)
    family = f"Holm over {len(arms)} arms × {len(ks)} k against {reference}, scope {scope}"
    return table.assign(p_holm=holm(table["p_value"].to_numpy()), family=family)


def pairwise_differences(evaluations: Evaluations, ks: Sequence[int] = KS, *, bands: bool = False) -> pd.DataFrame:
    """Return every arm minus every earlier arm at every k ≤ n, for exploration.

    Columns: benchmark, arm, reference, k, estimate, lo, hi, p_value, p_bh (Benjamini and Hochberg over all rows),
    method, scope, seeds; with bands: band_lo, band_hi, band.
    """
    ks = [k for k in ks if k <= evaluations.num_samples]
    pairs = [(arm, reference, k) for reference, arm in itertools.combinations(evaluations.correct, 2) for k in ks]
    contrasts: list[Contrast] = [{arm: {k: 1.0}, reference: {k: -1.0}} for arm, reference, k in pairs]
    rows = []
    for interval, pair in zip(contrast_intervals(evaluations, contrasts, bands=bands), pairs, strict=True):
        band = {"band_lo": interval.band_lo, "band_hi": interval.band_hi, "band": interval.band} if bands else {}
        rows.append(_row(evaluations, interval, *pair) | band)
    table = pd.DataFrame(rows)
    return table.assign(p_bh=benjamini_hochberg(table["p_value"].to_numpy())) if rows else table


def seed_spread(evaluations: Evaluations, arm: str, reference: str, k: int) -> tuple[Spread, bool]:
    """Return the spread between seeds of a difference in Pass@k, and True if seeds are paired.

    Raises:
        FrameError: an arm has one seed, or all seeds are equal.
    """
    seeds = common_seeds([evaluations], {arm: {}, reference: {}})
    scores, numbers = zip(*(seed_scores([evaluations], one, k) for one in (arm, reference)), strict=True)
    if seeds[arm] != seeds[reference] or len(seeds[arm]) < 2:
        return recorded_spread(*(one[:, 0] for one in scores)), False
    ours, theirs = (one[[own.index(seed) for seed in seeds[arm]], 0] for one, own in zip(scores, numbers, strict=True))
    return recorded_spread(ours - theirs), True


def _row(evaluations: Evaluations, interval: Interval, arm: str, reference: str, k: int) -> dict[str, object]:
    return {
        "benchmark": evaluations.benchmark,
        "arm": arm,
        "reference": reference,
        "k": k,
        "estimate": interval.estimate,
        "lo": interval.lo,
        "hi": interval.hi,
        "p_value": interval.p_value,
        "method": interval.method,
        "scope": interval.scope,
        "seeds": interval.num_seeds,
    }


def _check(evaluations: Evaluations, arm: str, reference: str, k: int, scope: str | None) -> None:
    n, name = evaluations.num_samples, evaluations.benchmark
    if scope is not None and scope not in SCOPES:
        raise ValueError(f"scope={scope}: there is no such scope; choose from {', '.join(SCOPES)}")
    for given in (arm, reference):
        if given not in evaluations.correct:
            raise ValueError(f"{name}: there is no arm {given!r}; choose from {', '.join(evaluations.correct)}")
    if arm == reference:
        raise ValueError(f"{arm}: cannot be compared with itself; name another reference")
    if not 1 <= k <= n:
        raise FrameError(f"{name}: Pass@{k} does not exist with n = {n} samples a problem; choose k from 1 to {n}")
