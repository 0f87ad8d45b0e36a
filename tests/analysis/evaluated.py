"""Evaluations made up for the statistics' tests: counts of correct samples drawn from known success rates."""

from __future__ import annotations

import numpy as np

from analysis.statistics.evaluations import Evaluations


def evaluations(correct: dict[str, np.ndarray], num_samples: int = 64, *, seed: int = 0) -> Evaluations:
    """One benchmark of arms' counts [P] or [S, P]; seeds are numbered from 0."""
    shaped = {arm: np.atleast_2d(counts) for arm, counts in correct.items()}
    seeds = {arm: tuple(range(len(c))) for arm, c in shaped.items() if arm != "base"}
    return Evaluations("bench", num_samples, 0.6, 0.95, shaped, seeds, seed=seed)


def rate(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def binomial(logit_P: np.ndarray, seed: int, num_samples: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).binomial(num_samples, rate(logit_P))


DIFFICULTY_P = np.random.default_rng(5).normal(-1.0, 2.0, 200)
