"""What the claims share: how a part comes from a contrast or a series, and which effects are relevant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from analysis.curves import Contrast, Evaluations, contrast_intervals
from analysis.stats import Interval
from analysis.style import label
from analysis.verdicts import Part, Series, sign_verdict, window_interval

RELEVANT_PASSK = 0.01  # one percentage point of Pass@k
RELEVANT_ENTROPY = 0.05  # of the mean entropy over the first quarter of the run


def difference(arm: str, reference: str, k: int) -> Contrast:
    """Pass@k of an arm minus the reference's."""
    return {arm: {k: 1.0}, reference: {k: -1.0}}


def growth(arm: str, reference: str, *, high: int, low: int) -> Contrast:
    """The arm's gain over the reference at k = high, minus that at k = low."""
    return {arm: {high: 1.0, low: -1.0}, reference: {high: -1.0, low: 1.0}}


def passk_part(evaluations: Evaluations, name: str, contrast: Contrast, direction: int) -> Part:
    interval = contrast_intervals(evaluations, [contrast])[0]
    return signed_part(f"{evaluations.benchmark}: {name}", interval, "pp", direction, RELEVANT_PASSK)


def signed_part(name: str, interval: Interval, unit: str, direction: int, relevant: float) -> Part:
    """direction: +1 claimed above zero, −1 below."""
    return Part(name, interval, unit, sign_verdict(interval, direction, relevant=relevant))


def early_mean(series: pd.DataFrame) -> float:
    """Mean over the first quarter of the run."""
    return window_interval(series, [(1.0, 0.0, 0.25)]).estimate


def entropy_change(entropy: Series, arm: str, direction: int) -> Part:
    """Last quarter minus first quarter of the run."""
    interval = window_interval(entropy[arm], [(1.0, 0.75, 1.0), (-1.0, 0.0, 0.25)])
    sign = ">" if direction > 0 else "<"
    name = f"{label(arm)} entropy, last − first quarter of the run, claimed {sign} 0"
    return signed_part(name, interval, "nats", direction, RELEVANT_ENTROPY * early_mean(entropy[arm]))


def absent(series: Series, arms: Sequence[str]) -> tuple[str, ...]:
    """The arms without a series, as what is missing."""
    return tuple(f"a finished run of {arm}" for arm in arms if series.get(arm, pd.DataFrame()).empty)


def on_benchmarks(
    evaluations: Sequence[Evaluations], needed: Sequence[str], parts: Callable[[Evaluations], list[Part]]
) -> tuple[list[Part], tuple[str, ...], tuple[str, ...]]:
    """Parts of all benchmarks on which the needed arms have finished evaluations; what is missing; what to know."""
    found: list[Part] = []
    notes: list[str] = []
    lacking: set[str] = set() if evaluations else set(needed)
    for e in evaluations:
        without = [arm for arm in needed if arm not in e.correct or arm in e.unfinished]
        if without or e.largest_k == 1:
            lacking.update(without)
            need = f"finished evaluations of {', '.join(without)}" if without else "more than one sample a problem"
            notes.append(f"{e.benchmark}: not judged, needs {need}")
            continue
        found += parts(e)
        notes += describe_largest_k(e)
    missing = tuple(f"a finished evaluation of {arm}" for arm in needed if arm in lacking)
    return found, missing if not found else (), tuple(notes)


def describe_largest_k(evaluations: Evaluations) -> list[str]:
    """What a reader must know of K, the largest k."""
    notes = []
    top, n = evaluations.largest_k, evaluations.num_samples
    if top < 256:
        notes.append(f"{evaluations.benchmark}: the largest k is {top}, since n = {n}; the paper's is 256")
    if 2 * top > n:
        notes.append(f"{evaluations.benchmark}: k = {top} > n/2 has no within-problem variance; its estimate is noisy")
    return notes
