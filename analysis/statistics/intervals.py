"""Intervals. Each is two-sided at 95 % unless a level is given, and names its scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy import stats as scipy_stats

LEVEL = 0.95
FEW_SEEDS = 5  # below this a t interval over seeds is valid but so wide or so unsure of its width that readers are told


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval; lo and hi are NaN where the data give none, and `method` then says why.

    p_value is two-sided, of the hypothesis that the estimated quantity is 0, and comes from the same method: it is at
    most 1 − LEVEL exactly where the interval excludes 0. band_lo and band_hi hold for all estimates that were asked for
    together, at once; `band` names their method, or why there is none. num_below and num_above count the problems on
    either side of 0 (None where problems are not what varies). error is the standard error.
    """

    estimate: float
    lo: float
    hi: float
    method: str
    speaks_of: str
    num_seeds: int = 1
    p_value: float = np.nan
    band_lo: float = np.nan
    band_hi: float = np.nan
    band: str = ""
    num_below: int | None = None
    num_above: int | None = None
    error: float = np.nan

    @property
    def detectable(self) -> float:
        """The least effect that this design finds with a power of 80 %: half the interval's width + 0.84 errors."""
        return (self.hi - self.lo) / 2 + float(scipy_stats.norm.ppf(0.8)) * self.error

    @property
    def caution(self) -> str:
        """A warning for readers of an interval over few seeds; empty where there is none."""
        if not 1 < self.num_seeds < FEW_SEEDS:
            return ""
        return f"{self.num_seeds} seeds, fewer than {FEW_SEEDS}: read with care"


def varies(values: np.ndarray) -> np.ndarray:
    """True where values differ along the first axis by more than the rounding of sums of numbers near 1."""
    return np.ptp(values, axis=0) > 1e-12


def t_quantile(df: float, level: float = LEVEL) -> float:
    return float(scipy_stats.t.ppf(0.5 + level / 2, df))


def t_interval(values_S: np.ndarray, level: float = LEVEL) -> tuple[float, float, float]:
    """Mean of S independent values with Student's interval; NaN bounds for S = 1 or no spread at all."""
    return welch_interval([values_S], level=level)


def welch_interval(
    groups: Sequence[np.ndarray], *, extra_variance: float = 0.0, level: float = LEVEL
) -> tuple[float, float, float]:
    """Sum of the groups' means with Welch's interval: variance Σ s²/S + extra, df by Welch and Satterthwaite.

    Give the second group of a difference with its sign turned. `extra_variance` is that of a fixed term whose own
    error is known (infinite df). One group is the ordinary t interval. Bounds are NaN if a group has one value or
    nothing varies at all. (Welch 1947, Biometrika 34.)
    """
    estimate, variance, df = welch(groups, extra_variance=extra_variance)
    half = t_quantile(float(df), level) * np.sqrt(variance)
    return float(estimate), float(estimate - half), float(estimate + half)


def welch(
    groups: Sequence[np.ndarray], *, extra_variance: float | np.ndarray = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum of the groups' means, its variance and its degrees of freedom; what welch_interval rests on.

    Groups are [S] or [S, X], S of their own and X shared: then X sums at once, each [X]. Variance and degrees of
    freedom are NaN if a group has one value, or where nothing varies.
    """
    estimate = np.asarray(sum(np.mean(group, axis=0) for group in groups))
    if min(len(group) for group in groups) < 2:
        return estimate, np.full(estimate.shape, np.nan), np.full(estimate.shape, np.nan)
    parts = [np.where(varies(group), np.var(group, axis=0, ddof=1) / len(group), 0.0) for group in groups]
    return estimate, *satterthwaite(parts, [len(group) - 1 for group in groups], extra_variance)


def satterthwaite(
    parts: Sequence[np.ndarray], dofs: Sequence[int], extra_variance: float | np.ndarray = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Σ parts + extra, and its degrees of freedom, where each part is an estimated variance with `dofs` of its own."""
    spread = np.asarray(sum(part**2 / dof for part, dof in zip(parts, dofs, strict=True)))
    variance = np.where(spread > 0, sum(parts) + np.asarray(extra_variance), np.nan)
    return variance, variance**2 / np.where(spread > 0, spread, 1.0)


def t_p_value(estimate: np.ndarray, variance: np.ndarray, df: np.ndarray | float) -> np.ndarray:
    """Two-sided p of estimate / √variance against Student's t; NaN where the variance is."""
    return 2 * special.stdtr(df, -np.abs(estimate) / np.sqrt(variance))


def summed_t(
    estimate_X: np.ndarray, parts: Sequence[tuple[np.ndarray, np.ndarray]], *, level: float | np.ndarray = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """[X]: half-width of an interval whose error has several sources, and the p-value that belongs to it.

    A part is an estimated variance [X] and its degrees of freedom [X]. The half-width is √(Σ t² · variance) with each
    part's own t quantile (Banerjee 1960, Sankhyā 22), which holds its level whatever the true variances are; with one
    part it is Student's. The p-value is 1 − the level at which the interval would end at 0, so that the two agree.
    NaN where a variance is.
    """
    half_X = _half_width(parts, np.broadcast_to((1 - np.asarray(level)) / 2, estimate_X.shape))
    if len(parts) == 1:
        return half_X, t_p_value(estimate_X, *parts[0])
    # Bisection for the log of half of p; 1e-100 is the least p.
    low_X, high_X = np.full(estimate_X.shape, np.log(1e-100)), np.full(estimate_X.shape, np.log(0.5))
    for _ in range(50):
        middle_X = (low_X + high_X) / 2
        inside_X = _half_width(parts, np.exp(middle_X)) >= np.abs(estimate_X)
        low_X, high_X = np.where(inside_X, middle_X, low_X), np.where(inside_X, high_X, middle_X)
    return half_X, np.where(np.isnan(half_X), np.nan, 2 * np.exp(low_X))


def _half_width(parts: Sequence[tuple[np.ndarray, np.ndarray]], tail_X: np.ndarray) -> np.ndarray:
    # A source without variance adds nothing, even where its quantile is beyond the largest number.
    squares = [np.where(v_X == 0, 0.0, v_X * special.stdtrit(df_X, tail_X) ** 2) for v_X, df_X in parts]
    return np.sqrt(np.sum(squares, axis=0))


def wilson_interval(successes: float, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of a proportion; of use where all or none succeed, since resampling then shows no spread."""
    z = float(scipy_stats.norm.ppf(0.5 + level / 2))
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def long_run_variance(series_T: np.ndarray) -> tuple[float, float]:
    """T · Var(mean) of the dependent noise in a series of T steps, and its degrees of freedom.

    The moving-block bootstrap's variance (Künsch 1989), which has a closed form for a mean: the spread of the means
    of all blocks of length b = ⌈√T⌉. It is taken of the residuals of a polynomial of degree 5, since the run's course
    is what is measured, not noise. Dividing by l − 4 instead of l = T/b, with a t quantile of l − 4 degrees of
    freedom, makes up for the fitted numbers. Simulated coverage of the nominal 95 % for the difference of two thirds
    of AR(1) noise, T = 40 … 160: 94–100 % at coefficient 0, 96–99 % at 0.5, 83–94 % at 0.8; sharp bends that the
    polynomial cannot follow widen it. NaN where l ≤ 4.
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


def block_interval(series_T: np.ndarray, weights_T: np.ndarray, *, level: float = LEVEL) -> tuple[float, float, float]:
    """Σ w_t y_t, a difference of window means of one series, with the interval of long_run_variance."""
    estimate = float(weights_T @ series_T)
    variance, df = long_run_variance(series_T)
    if not variance > 1e-24:  # no noise beyond rounding, or too short
        return estimate, np.nan, np.nan
    half = t_quantile(df, level) * np.sqrt(variance * (weights_T @ weights_T))
    return estimate, estimate - half, estimate + half
