"""Parts of claims, made from a contrast or a series, and the sizes of effects that count as relevant."""

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

Strata = Sequence[Evaluations]  # one evaluation for each benchmark


def difference(arm: str, reference: str, k: int) -> Contrast:
    """Pass@k of an arm minus the reference's."""
    return {arm: {k: 1.0}, reference: {k: -1.0}}


def growth(arm: str, reference: str, *, high: int, low: int) -> Contrast:
    """The arm's gain over the reference at k = high, minus that at k = low."""
    return {arm: {high: 1.0, low: -1.0}, reference: {high: -1.0, low: 1.0}}


def passk_part(strata: Strata, name: str, contrast: Contrast, direction: int) -> Part:
    """direction: +1 claimed above zero, −1 below."""
    interval = contrast_intervals(strata, [contrast])[0]
    verdict = sign_verdict(interval, direction, relevant=RELEVANT_PASSK)
    return Part(f"{where(strata)}: {name}", interval, "pp", verdict, basis(strata, interval))


def where(strata: Strata) -> str:
    """The benchmark's name, or how many benchmarks there are."""
    return strata[0].benchmark if len(strata) == 1 else f"all {len(strata)} benchmarks"


def basis(strata: Strata, interval: Interval) -> str:
    """What an interval is from: "3 seeds, 128 problems, n = 512"."""
    numbers = sorted({stratum.num_samples for stratum in strata})
    problems = sum(stratum.num_problems for stratum in strata)
    return f"{_seeds(interval)}, {problems} problems, n = {' to '.join(map(str, numbers[:: max(len(numbers) - 1, 1)]))}"


def _seeds(interval: Interval) -> str:
    return f"{interval.num_seeds} seed{'s' * (interval.num_seeds != 1)}"


def largest_k(strata: Strata) -> int:
    """The largest k that all benchmarks have samples for."""
    return min(stratum.largest_k for stratum in strata)


def steps_part(name: str, interval: Interval, unit: str, direction: int, relevant: float) -> Part:
    """A part from a series of training steps. direction: +1 claimed above zero, −1 below."""
    verdict = sign_verdict(interval, direction, relevant=relevant)
    return Part(name, interval, unit, verdict, f"{_seeds(interval)}, training steps")


def early_mean(series: pd.DataFrame) -> float:
    """Mean over the first quarter of the run."""
    return window_interval(series, [(1.0, 0.0, 0.25)]).estimate


def entropy_change(entropy: Series, arm: str, direction: int) -> Part:
    """Last quarter minus first quarter of the run."""
    interval = window_interval(entropy[arm], [(1.0, 0.75, 1.0), (-1.0, 0.0, 0.25)])
    sign = ">" if direction > 0 else "<"
    name = f"{label(arm)} entropy, last − first quarter of the run, claimed {sign} 0"
    return steps_part(name, interval, "nats", direction, RELEVANT_ENTROPY * early_mean(entropy[arm]))


def absent(series: Series, arms: Sequence[str]) -> tuple[str, ...]:
    """The arms without a series, as what is missing."""
    return tuple(f"a finished run of {arm}" for arm in arms if series.get(arm, pd.DataFrame()).empty)


@dataclass(frozen=True)
class Judged:
    """Parts of a claim about evaluations. `parts` decide; with several benchmarks, `details` are each one's own."""

    parts: list[Part]
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: tuple[Part, ...] = ()


def on_benchmarks(evaluations: Strata, needed: Sequence[str], parts: Callable[[Strata], list[Part]]) -> Judged:
    """Parts over all benchmarks on which the needed arms have finished evaluations; what is missing; what to know."""
    usable: list[Evaluations] = []
    notes: list[str] = []
    lacking: set[str] = set() if evaluations else set(needed)
    for e in evaluations:
        without = [arm for arm in needed if arm not in e.correct or arm in e.unfinished]
        if without or e.largest_k == 1:
            lacking.update(without)
            need = f"finished evaluations of {', '.join(without)}" if without else "more than one sample a problem"
            notes.append(f"{e.benchmark}: not judged, needs {need}")
            continue
        usable.append(e)
        notes += describe_largest_k(e)
    if not usable:
        return Judged([], tuple(f"a finished evaluation of {arm}" for arm in needed if arm in lacking), tuple(notes))
    apart = [arm for arm in needed if arm != BASE and not common_seeds(usable, {arm: {}})[arm]]
    if apart:
        missing = tuple(f"a seed of {arm} that is evaluated on all of {_names(usable)}" for arm in apart)
        return Judged([], missing, tuple(notes))
    details = [part for e in usable for part in parts([e])] if len(usable) > 1 else []
    return Judged(parts(usable), (), tuple(notes), tuple(details))


def _names(strata: Strata) -> str:
    return ", ".join(stratum.benchmark for stratum in strata)


def describe_largest_k(evaluations: Evaluations) -> list[str]:
    """What a reader must know of K, the largest k."""
    notes = []
    top, n = evaluations.largest_k, evaluations.num_samples
    if top < 256:
        notes.append(f"{evaluations.benchmark}: the largest k is {top}, since n = {n}; the paper's is 256")
    if 2 * top > n:
        notes.append(f"{evaluations.benchmark}: k = {top} > n/2 has no within-problem variance; its estimate is noisy")
    return notes
