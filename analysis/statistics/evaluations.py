"""Evaluations of a benchmark's arms, their linear contrasts, and the names of scopes and methods of intervals.

An `Evaluations` is of one benchmark. `strata` is a sequence of them, one entry per benchmark.
Shapes: S seeds, P problems, n samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from analysis.io.study import BASE
from analysis.statistics.passk import KS, fail_table

CHECKPOINTS = "these checkpoints on problems like these"
SEEDS = "the method (its training seeds) on exactly these problems"
METHOD = "the method (its training seeds) on problems like these"
BASE_MODEL = "the base model on problems like these"

OVER_PROBLEMS = "t over problems"
WILSON = "Wilson over problems"
EXACT = "exact McNemar test with t over problems"
OVER_SEEDS, OVER_WELCH = "paired t over seeds", "Welch's t over seeds"
OVER_BOTH, OVER_WELCH_BOTH = "t over paired seeds and over problems", "Welch's t over seeds, and t over problems"
OWN_SEEDS, OWN_BOTH = "t over seeds", "t over seeds and over problems"

MIN_VARYING = 6  # with fewer, not even an exact test can reach 5 %: 2 · 0.5⁵ > 0.05
TOO_FEW = f"none (fewer than {MIN_VARYING} problems differ)"
NO_VARIATION = "none (all problems alike)"
ONE_PROBLEM = "none (a benchmark has one problem)"
NO_SPREAD = "none (all seeds alike)"
ALL_ABOVE = "none (all runs of one side are above all of the other)"

SIMULATED = "min-p simulated from the recorded covariance"
BONFERRONI = "Bonferroni, too few seeds for more"
MIN_BAND_SEEDS, MIN_SIMULATED_SEEDS = 3, 4
FEW_SEEDS_NO_BAND = f"none (fewer than {MIN_BAND_SEEDS} seeds)"

ROUNDING = 1e-12  # error of sums of numbers near 1; a smaller value is 0

# Arm → key → weight: Σ weight · score_key(arm). Keys are k of Pass@k unless other scores are given.
# A gain is {arm: {k: 1}, reference: {k: -1}}.
Contrast = Mapping[str, Mapping[Any, float]]
Scores = Mapping[Any, np.ndarray]


@dataclass(frozen=True)
class Evaluations:
    """Comparable evaluations of one benchmark: `correct[arm]` is [S, P]. The base model, if known, is an arm, S = 1."""

    benchmark: str
    num_samples: int
    temperature: float
    top_p: float
    correct: Mapping[str, np.ndarray]
    seeds: Mapping[str, tuple[int, ...]]
    unfinished: frozenset[str] = frozenset()  # arms of which no run is finished
    notes: tuple[str, ...] = ()
    seed: int = 0  # of every random draw

    @property
    def num_problems(self) -> int:
        return next(iter(self.correct.values())).shape[1]

    @property
    def largest_k(self) -> int:
        return max(k for k in KS if k <= self.num_samples)


def trained_arms(contrast: Contrast) -> list[str]:
    """Return the contrast's arms that have training seeds: all but the base model."""
    return [arm for arm in contrast if arm != BASE]


def is_single_share(contrast: Contrast) -> bool:
    """Return True for one arm's own value, which is a share, and False for a difference."""
    weights = [weight for by_key in contrast.values() for weight in by_key.values()]
    return len(contrast) == 1 and abs(sum(weights) - 1.0) < ROUNDING


def common_seeds(strata: Sequence[Evaluations], contrast: Contrast) -> dict[str, tuple[int, ...]]:
    """Return arm → seeds to compare: those that all trained arms share, else all of the arm's own.

    A seed must be evaluated on every benchmark given.
    """
    own = {arm: set.intersection(*(set(stratum.seeds[arm]) for stratum in strata)) for arm in trained_arms(contrast)}
    shared = set.intersection(*own.values()) if own else set()
    return {arm: tuple(sorted(shared or seeds)) for arm, seeds in own.items()}


def score_by_problem(
    evaluations: Evaluations, contrast: Contrast, seeds: Mapping[str, Sequence[int]], scores: Scores | None = None
) -> dict[str, np.ndarray]:
    """Return arm → the arm's term of the contrast for each seed and problem, [S, P]."""
    values = {}
    for arm, weights in contrast.items():
        if scores is None:
            value_by_count = _pass_by_count(evaluations.num_samples, tuple(weights.items()))
        else:
            value_by_count = np.sum([weight * scores[key] for key, weight in weights.items()], axis=0)
        rows = [0] if arm == BASE else [evaluations.seeds[arm].index(seed) for seed in seeds[arm]]
        values[arm] = value_by_count[evaluations.correct[arm][rows]]
    return values


@lru_cache(maxsize=256)  # all pairs of a dozen arms need the same few tables
def _pass_by_count(num_samples: int, weights: tuple[tuple[int, float], ...]) -> np.ndarray:
    """Return Σ weight · Pass@k for each count of correct samples, [n+1]."""
    pass_KN = 1.0 - fail_table(num_samples, [k for k, _ in weights])
    return np.array([weight for _, weight in weights]) @ pass_KN
