"""Answers to the question of a study: each candidate minus the reference at a few k, and the seeds still needed.

Intervals come from contrasts.py, as in all figures, tables and verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agrae_lab.runs import Comparison
from analysis.estimates.pairwise import seed_spread
from analysis.estimates.passk_curves import collect
from analysis.io.configurations import is_configuration
from analysis.io.parquet import FrameError
from analysis.io.study import BASE, Study, by_setting
from analysis.presentation.style import label, sort_arms
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import CHECKPOINTS, Contrast, Evaluations
from analysis.statistics.intervals import Interval
from analysis.statistics.passk import KS
from analysis.statistics.seeds import seeds_needed

DEFAULT_KS = (1, 16, 256)
BETTER, WORSE, ALIKE, UNDECIDED = "better", "worse", "alike", "undecided"


@dataclass(frozen=True)
class Difference:
    """Pass@k of a candidate minus the reference's.

    word: BETTER or WORSE if the interval excludes 0, ALIKE if all of it is smaller than the smallest effect, else
    UNDECIDED. needed: seeds of each arm that find the smallest effect on these problems with power 0.8; None where it
    is not undecided, or where fewer than two seeds show no spread.
    """

    k: int
    interval: Interval
    word: str
    needed: float | None = None


@dataclass(frozen=True)
class Answer:
    """Differences of one candidate on one benchmark, by k; setting: of both, where the reference has several."""

    benchmark: str
    arm: str
    reference: str
    differences: tuple[Difference, ...]
    num_problems: int
    num_samples: int
    unfinished: tuple[str, ...]  # which of the two have no finished run
    setting: str = ""

    @property
    def num_seeds(self) -> int:
        """The number of seeds behind the differences."""
        return min(one.interval.num_seeds for one in self.differences)

    @property
    def describes_method(self) -> bool:
        """False if a single training run stands for an arm."""
        return all(one.interval.scope != CHECKPOINTS for one in self.differences)


def answers(study: Study, benchmarks: Sequence[str] | None = None) -> list[Answer]:
    """Return the answers of a study on some benchmarks (all by default), in display order of the candidates.

    If the reference has several configurations, each candidate is compared with it under every setting that both have.

    Raises:
        FrameError: an evaluation cannot be read, or two of them cannot be compared.
    """
    if study.reference not in study.in_several_configurations:
        return _answers(study, benchmarks)
    parts = by_setting(study).items()
    return [replace(one, setting=name) for name, part in parts for one in _answers(part, benchmarks)]


def _answers(study: Study, benchmarks: Sequence[str] | None) -> list[Answer]:
    found = []
    for benchmark in study.benchmarks if benchmarks is None else benchmarks:
        evaluations = collect(study, benchmark)
        if evaluations is None or study.reference not in evaluations.correct:
            continue
        if too_few_samples(evaluations, study.comparison):
            continue
        for arm in candidates(evaluations, study.comparison):
            found.append(_answer(evaluations, arm, study.comparison))
    return found


def without_answer(study: Study, found: Sequence[Answer], *, complete: bool) -> list[str]:
    """Return a sentence for the reference or candidate that the answers found lack.

    complete: every benchmark can give an answer; if not, one that lacks may be the benchmark's.
    """
    named = (study.reference, *study.comparison.candidates)
    wanting = [arm for arm in named if arm != BASE and not any(run.arm == arm for run in study.runs)]
    sentences = [f"No comparison with {label(arm)}, which has no run here." for arm in wanting]
    if complete and study.reference in study.in_several_configurations:
        evaluated = dict.fromkeys(run.arm for run in study.runs if run.benchmarks() and run.arm != study.reference)
        chosen = [arm for arm in evaluated if arm in (study.comparison.candidates or evaluated)]
        lacking = [label(arm) for arm in chosen if not any(is_configuration(one.arm, arm) for one in found)]
        if lacking:
            sentences.append(
                f"No comparison of {', '.join(lacking)} with {label(study.reference)}, which has several "
                "configurations here, none of them alone under the same settings."
            )
    return sentences


def too_few_samples(evaluations: Evaluations, comparison: Comparison) -> str:
    """Return a sentence if every k of the question exceeds n, so that a benchmark has no answer; "" otherwise."""
    n = evaluations.num_samples
    if question_ks(n, comparison):
        return ""
    k = min(comparison.ks)
    return f"No answer on {evaluations.benchmark}: Pass@{k} needs {k} samples of each problem, and there are {n}."


def candidates(evaluations: Evaluations, comparison: Comparison) -> list[str]:
    """Return the evaluated arms that are compared with the reference, in display order."""
    named, reference = comparison.candidates, comparison.reference
    known = [arm for arm in evaluations.correct if not is_configuration(arm, reference)]
    if named:
        return sort_arms([arm for arm in known if any(is_configuration(arm, one) for one in named)])
    return sort_arms([arm for arm in known if arm != BASE])


def question_ks(num_samples: int, comparison: Comparison) -> list[int]:
    """Return the k of the question's metrics as far as n allows, else those of DEFAULT_KS up to n/2."""
    if comparison.ks:
        return [k for k in comparison.ks if k <= num_samples]
    ks = [k for k in DEFAULT_KS if k == 1 or 2 * k <= num_samples]
    if len(ks) == 1:  # small n: the largest k ≤ n/2
        ks += [k for k in KS if k > 1 and 2 * k <= num_samples][-1:]
    return ks


def _answer(evaluations: Evaluations, arm: str, comparison: Comparison) -> Answer:
    reference, smallest = comparison.reference, comparison.smallest_share
    ks = question_ks(evaluations.num_samples, comparison)
    contrasts: list[Contrast] = [{arm: {k: 1.0}, reference: {k: -1.0}} for k in ks]
    intervals = contrast_intervals(evaluations, contrasts, bands=False)
    differences = []
    for k, interval in zip(ks, intervals, strict=True):
        word = word_of(interval, smallest)
        needed = _needed(evaluations, arm, reference, k, smallest) if word == UNDECIDED else None
        differences.append(Difference(k, interval, word, needed))
    return Answer(
        benchmark=evaluations.benchmark,
        arm=arm,
        reference=reference,
        differences=tuple(differences),
        num_problems=evaluations.num_problems,
        num_samples=evaluations.num_samples,
        unfinished=tuple(one for one in (arm, reference) if one in evaluations.unfinished),
    )


def word_of(interval: Interval, smallest: float) -> str:
    """Return BETTER, WORSE, ALIKE or UNDECIDED for the interval of a difference, as `Difference` says."""
    if np.isnan(interval.lo):
        return UNDECIDED
    if interval.lo > 0 or interval.hi < 0:
        return BETTER if interval.lo > 0 else WORSE
    return ALIKE if -smallest < interval.lo and interval.hi < smallest else UNDECIDED


def _needed(evaluations: Evaluations, arm: str, reference: str, k: int, smallest: float) -> float | None:
    """Return the seeds per arm that find the smallest effect; None without a spread between seeds."""
    if BASE in (arm, reference):  # the base model has no seeds
        return None
    try:
        spread, _ = seed_spread(evaluations, arm, reference, k)
    except FrameError:
        return None
    return seeds_needed(smallest, spread, seed=evaluations.seed).seeds


def further_seeds(differences: Sequence[Difference], num_seeds: int) -> float | None:
    """Return the largest number of further seeds that an undecided difference needs; None where none is known."""
    known = [one.needed for one in differences if one.needed is not None]
    return max(0.0, max(known) - num_seeds) if known else None
