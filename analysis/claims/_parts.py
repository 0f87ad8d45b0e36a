"""Parts of claims from a contrast or a series, and the thresholds of relevant effects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.claims.verdicts import Part, Series, sign_verdict, window_interval
from analysis.io.study import BASE
from analysis.presentation.style import label
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import Contrast, Evaluations, common_seeds
from analysis.statistics.intervals import Interval

RELEVANT_PASSK = 0.01  # one percentage point of Pass@k
RELEVANT_ENTROPY = 0.05  # of the mean entropy over the first quarter of the run

Strata = Sequence[Evaluations]  # one evaluation per benchmark


def difference(arm: str, reference: str, k: int) -> Contrast:
    """Return the contrast: Pass@k of the arm minus the reference's."""
    return {arm: {k: 1.0}, reference: {k: -1.0}}


def growth(arm: str, reference: str, *, high: int, low: int) -> Contrast:
    """Return the contrast: the arm's gain over the reference at k = high minus its gain at k = low."""
    return {arm: {high: 1.0, low: -1.0}, reference: {high: -1.0, low: 1.0}}


def passk_part(strata: Strata, name: str, contrast: Contrast, direction: int) -> Part:
    """Return a part from a contrast of Pass@k. direction: +1 claimed above zero, −1 below."""
    interval = contrast_intervals(strata, [contrast])[0]
    verdict = sign_verdict(interval, direction, relevant=RELEVANT_PASSK)
    return Part(f"{where(strata)}: {name}", interval, "pp", verdict, basis(strata, interval))


def where(strata: Strata) -> str:
    """Return the benchmark's name, or the number of benchmarks."""
    return strata[0].benchmark if len(strata) == 1 else f"all {len(strata)} benchmarks"


def basis(strata: Strata, interval: Interval) -> str:
    """Return the data behind an interval, such as "3 seeds, 128 problems, n = 512"."""
    numbers = sorted({stratum.num_samples for stratum in strata})
    problems = sum(stratum.num_problems for stratum in strata)
    return f"{_seeds(interval)}, {problems} problems, n = {' to '.join(map(str, numbers[:: max(len(numbers) - 1, 1)]))}"


def _seeds(interval: Interval) -> str:
    return f"{interval.num_seeds} seed{'s' * (interval.num_seeds != 1)}"


def largest_k(strata: Strata) -> int:
    """Return the largest k that all benchmarks have samples for."""
    return min(stratum.largest_k for stratum in strata)


def steps_part(name: str, interval: Interval, unit: str, direction: int, relevant: float) -> Part:
    """Return a part from a series of training steps. direction: +1 claimed above zero, −1 below."""
    verdict = sign_verdict(interval, direction, relevant=relevant)
    return Part(name, interval, unit, verdict, f"{_seeds(interval)}, training steps")


def early_mean(series: pd.DataFrame) -> float:
    """Return the mean over the first quarter of the run."""
    return window_interval(series, [(1.0, 0.0, 0.25)]).estimate


def entropy_change(entropy: Series, arm: str, direction: int) -> Part:
    """Return the part: entropy of the last quarter minus entropy of the first quarter of the run."""
    interval = window_interval(entropy[arm], [(1.0, 0.75, 1.0), (-1.0, 0.0, 0.25)])
    sign = ">" if direction > 0 else "<"
    name = f"{label(arm)} entropy, last − first quarter of the run, claimed {sign} 0"
    return steps_part(name, interval, "nats", direction, RELEVANT_ENTROPY * early_mean(entropy[arm]))


def absent(series: Series, arms: Sequence[str]) -> tuple[str, ...]:
    """Return the missing data of the arms without a series."""
    return tuple(f"a finished run of {arm}" for arm in arms if series.get(arm, pd.DataFrame()).empty)


@dataclass(frozen=True)
class Judged:
    """Parts of a claim about evaluations. `parts` decide; `details` are the parts of each of several benchmarks."""

    parts: list[Part]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: tuple[Part, ...] = ()


def on_benchmarks(evaluations: Strata, needed: Sequence[str], parts: Callable[[Strata], list[Part]]) -> Judged:
    """Return the parts over all benchmarks with finished evaluations of the needed arms, missing data, and notes."""
    usable: list[Evaluations] = []
    notes: list[str] = []
    missing_arms: set[str] = set() if evaluations else set(needed)
    for e in evaluations:
        without = [arm for arm in needed if arm not in e.correct or arm in e.unfinished]
        if without or e.largest_k == 1:
            missing_arms.update(without)
            need = f"finished evaluations of {', '.join(without)}" if without else "more than one sample per problem"
            notes.append(f"{e.benchmark}: not judged, needs {need}")
            continue
        usable.append(e)
        notes += describe_largest_k(e)
    if not usable:
        return Judged(
            [], tuple(f"a finished evaluation of {arm}" for arm in needed if arm in missing_arms), tuple(notes)
        )
    apart = [arm for arm in needed if arm != BASE and not common_seeds(usable, {arm: {}})[arm]]
    if apart:
        missing = tuple(f"a seed of {arm} with evaluations on all of {_names(usable)}" for arm in apart)
        return Judged([], missing, tuple(notes))
    details = [part for e in usable for part in parts([e])] if len(usable) > 1 else []
    return Judged(parts(usable), (), tuple(notes), tuple(details))


def _names(strata: Strata) -> str:
    return ", ".join(stratum.benchmark for stratum in strata)


def describe_largest_k(evaluations: Evaluations) -> list[str]:
    """Return notes on K, the largest k: a smaller K than the paper's, and K > n/2."""
    notes = []
    top, n = evaluations.largest_k, evaluations.num_samples
    if top < 256:
        notes.append(f"{evaluations.benchmark}: the largest k is {top}, since n = {n}; the paper's is 256")
    if 2 * top > n:
        notes.append(
            f"{evaluations.benchmark}: k = {top} > n/2 has no within-problem variance, and its estimate is noisy"
        )
    return notes
