"""Confidence intervals, two-sided at 95 %: Student, Welch, several sources of error, Wilson, and blocks of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special
from scipy import stats as scipy_stats

from analysis.statistics.spread import varies

LEVEL = 0.95
FEW_SEEDS = 5  # with fewer, an interval over seeds is valid but wide, and comes with a warning


@dataclass(frozen=True)
class Interval:
    """Estimate with its interval. Without an interval lo and hi are NaN, and `method` names the reason.

    scope: in words, as contrasts.py lists them. p_value is two-sided for the
    hypothesis that the true value is 0, by the same method: at most 1 − LEVEL exactly where the interval excludes 0.
    band_lo and band_hi hold simultaneously for a family of estimates; `band` names their method, or the reason for
    their lack. num_below and num_above count the problems on either side of 0 (None where problems do not vary). error
    is the standard error.
    """

    estimate: float
    lo: float
    hi: float
    method: str
    scope: str
    num_seeds: int = 1
    p_value: float = np.nan
    band_lo: float = np.nan
    band_hi: float = np.nan
    band: str = ""
    num_below: int | None = None
    num_above: int | None = None
    error: float = np.nan

    @property
    def columns(self) -> dict[str, Any]:
        """Estimate, interval, method and scope, as columns of a table."""
        return {name: getattr(self, name) for name in ("estimate", "lo", "hi", "method", "scope")}

    @property
    def detectable(self) -> float:
        """Smallest effect that this design finds with 80 % power: half the interval's width + 0.84 standard errors."""
        return (self.hi - self.lo) / 2 + float(scipy_stats.norm.ppf(0.8)) * self.error

    @property
    def caution(self) -> str:
        """Warning about an interval over few seeds; empty where none is needed."""
        return few_seeds_caution(self.num_seeds)


def few_seeds_caution(num_seeds: int) -> str:
    """Return the warning about an interval over this number of seeds; empty where none is needed."""
    if not 1 < num_seeds < FEW_SEEDS:
        return ""
    return f"{num_seeds} seeds, fewer than {FEW_SEEDS}: read with care"


def missing_reason(method: str) -> str:
    """Return the reason for a missing interval, which its `method` gives: `none (all seeds alike)`."""
    return method.removeprefix("none").strip(" ()")


def t_quantile(df: float) -> float:
    return float(scipy_stats.t.ppf(0.5 + LEVEL / 2, df))


def t_interval(values_S: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of S independent values and Student's bounds; NaN bounds for S = 1 or no spread."""
    return welch_interval([values_S])


def welch_interval(groups: Sequence[np.ndarray]) -> tuple[float, float, float]:
    """Return the sum of the groups' means and Welch's bounds (Welch 1947, Biometrika 34).

    For a difference, negate the second group. One group gives Student's interval. Bounds are NaN if a group has one
    value or nothing varies.
    """
    estimate, variance, df = welch(groups)
    half = t_quantile(float(df)) * np.sqrt(variance)
    return float(estimate), float(estimate - half), float(estimate + half)


def welch(groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sum of the groups' means, its variance Σ s²/S and its degrees of freedom.

    Groups are [S], or [S, X] for X sums at once (S may differ between groups). Variance and degrees of freedom are NaN
    if a group has one value, or where nothing varies.
    """
    estimate = np.asarray(sum(np.mean(group, axis=0) for group in groups))
    if min(len(group) for group in groups) < 2:
        return estimate, np.full(estimate.shape, np.nan), np.full(estimate.shape, np.nan)
    parts = [np.where(varies(group), np.var(group, axis=0, ddof=1) / len(group), 0.0) for group in groups]
    return estimate, *satterthwaite(parts, [len(group) - 1 for group in groups])


def satterthwaite(parts: Sequence[np.ndarray], dofs: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of estimated variances and its degrees of freedom, from those of each part."""
    spread = np.asarray(sum(part**2 / dof for part, dof in zip(parts, dofs, strict=True)))
    variance = np.where(spread > 0, sum(parts), np.nan)
    return variance, variance**2 / np.where(spread > 0, spread, 1.0)


def t_p_value(estimate: np.ndarray, variance: np.ndarray, df: np.ndarray | float) -> np.ndarray:
    """Return the two-sided p-value of estimate / √variance under Student's t; NaN where the variance is NaN."""
    return 2 * special.stdtr(df, -np.abs(estimate) / np.sqrt(variance))


def summed_t(
    estimate_X: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]], *, level: float | np.ndarray = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Return half-widths of intervals whose error has several sources, and their p-values, [X] each.

    A part is an estimated variance [X] with its degrees of freedom [X]. The half-width is √(Σ t² · variance) with each
    part's own t quantile (Banerjee 1960, Sankhyā 22). It holds its level whatever the true variances are, and is
    Student's for one part. The p-value is 1 − the level at which the interval ends at 0. NaN where a variance is NaN.
    """
    half_X = half_width(parts, np.broadcast_to((1 - np.asarray(level)) / 2, estimate_X.shape))
    if len(parts) == 1:
        return half_X, t_p_value(estimate_X, *parts[0])
    # bisection on log(p / 2); the smallest p is 1e-100
    low_X, high_X = np.full(estimate_X.shape, np.log(1e-100)), np.full(estimate_X.shape, np.log(0.5))
    for _ in range(50):
        middle_X = (low_X + high_X) / 2
        inside_X = half_width(parts, np.exp(middle_X)) >= np.abs(estimate_X)
        low_X, high_X = np.where(inside_X, middle_X, low_X), np.where(inside_X, high_X, middle_X)
    return half_X, np.where(np.isnan(half_X), np.nan, 2 * np.exp(low_X))


def half_width(parts: Sequence[tuple[np.ndarray, np.ndarray]], tail_X: np.ndarray) -> np.ndarray:
    """Return √(Σ t² · variance) of parts as in summed_t, with the t quantiles of an upper tail's probability, [X]."""
    # 0 · ∞ must be 0: a quantile may be infinite where its variance is 0
    squares = [np.where(v_X == 0, 0.0, v_X * special.stdtrit(df_X, tail_X) ** 2) for v_X, df_X in parts]
    return np.sqrt(np.sum(squares, axis=0))


def sign_test_p(above: int, below: int) -> float:
    """Return the two-sided p-value of the exact sign test (McNemar's test of paired outcomes); 1 without a change."""
    return min(1.0, 2 * float(special.bdtr(min(above, below), above + below, 0.5)))


def wilson_interval(successes: float, trials: int) -> tuple[float, float]:
    """Return Wilson's bounds of a proportion, which are proper even where all or none succeed."""
    z = float(scipy_stats.norm.ppf(0.5 + LEVEL / 2))
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    # at 0 and 1 a bound is the share itself, which rounding can miss
    return max(min(centre - half, share), 0.0), min(max(centre + half, share), 1.0)


def long_run_variance(series_T: np.ndarray) -> tuple[float, float]:
    """Return T · Var(mean) of the dependent noise in a series of T steps, and its degrees of freedom.

    The estimate is the moving-block bootstrap's variance (Künsch 1989) in closed form: the spread of the means of all
    blocks of length b = ⌈√T⌉. A polynomial of degree 5 is subtracted first, since the run's trend is signal, not
    noise. With l = T/b blocks, dividing by l − 4 and using t with l − 4 degrees of freedom corrects for that fit.
    Simulated coverage at nominal 95 % of the difference of two thirds of AR(1) noise, T = 40 … 160: 94–100 % at
    coefficient 0, 96–99 % at 0.5, 83–94 % at 0.8. Sharp bends, which the polynomial cannot follow, widen the interval.
    NaN where l ≤ 4.
    """
    num_steps = len(series_T)
    block = int(np.ceil(np.sqrt(num_steps)))
    num_blocks = num_steps / block
    if num_blocks <= 4:
        return np.nan, np.nan
    basis = np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, num_steps), 5)
    residuals = series_T - basis @ np.linalg.lstsq(basis, series_T, rcond=None)[0]
    means = np.lib.stride_tricks.sliding_window_view(residuals, block).mean(axis=1)
    variance = block * np.mean(means**2) * num_blocks / (num_blocks - 4)
    return float(variance), num_blocks - 4


def block_interval(series_T: np.ndarray, weights_T: np.ndarray) -> tuple[float, float, float]:
    """Return Σ w_t y_t, a difference of window means of one series, and its bounds by long_run_variance."""
    estimate = float(weights_T @ series_T)
    variance, df = long_run_variance(series_T)
    if not variance > 1e-24:  # no noise beyond rounding, or too short
        return estimate, np.nan, np.nan
    half = t_quantile(df) * np.sqrt(variance * (weights_T @ weights_T))
    return estimate, estimate - half, estimate + half
