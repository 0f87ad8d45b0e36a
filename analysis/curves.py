"""Pass@k of the arms of a study: curves, paired differences, any linear contrast of them, with intervals.

Which uncertainty speaks of which claim is decided here, once:
- an arm with one seed supports claims about *this checkpoint* on problems like these: problems are resampled, with
  the same draw for all arms, so that differences are paired;
- arms with two or more seeds support claims about *the method*: the seeds are the unit (Student's t, Welch's for two
  arms). Resampling problems would then reject far too often, however many seeds are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from agrae_lab.runs import Run

from .frames import BASE, Study, check_comparable, read_counts
from .passk import KS, bootstrap_means, fail_table, pass_at_k, within_problem_covariance
from .stats import LEVEL, Interval, varies, welch_interval, wilson_interval

NUM_RESAMPLES = 2000
CHECKPOINTS = "these checkpoints on problems like these"
METHOD = "the method (its training seeds) on these problems"
OVER_PROBLEMS = "paired bootstrap over problems"
OVER_SEEDS = "t over seeds"
WILSON = "Wilson (all problems alike)"
NO_VARIATION = "none (all problems alike)"
NO_SPREAD = "none (all seeds alike)"

# Arm → k → weight: Σ weight · Pass@k(arm). A gain is {arm: {k: 1}, reference: {k: -1}}.
Contrast = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class Evaluations:
    """One benchmark's comparable evaluations: `correct[arm]` is [S, P]; the base model, if known, is an arm, S = 1."""

    benchmark: str
    num_samples: int
    temperature: float
    top_p: float
    correct: Mapping[str, np.ndarray]
    seeds: Mapping[str, tuple[int, ...]]
    unfinished: frozenset[str] = frozenset()  # arms of which no run is finished
    notes: tuple[str, ...] = ()

    @property
    def num_problems(self) -> int:
        return next(iter(self.correct.values())).shape[1]

    @property
    def largest_k(self) -> int:
        return max(k for k in KS if k <= self.num_samples)


def collect(study: Study, benchmark: str) -> Evaluations | None:
    """Counts of all evaluated arms on a benchmark; None where there is none yet.

    Finished runs are used. An arm without any is represented by its unfinished runs and marked.

    Raises:
        FrameError: an evaluation cannot be read, or two of them cannot be compared.
    """
    chosen: dict[str, list[Run]] = {}
    for arm, runs in study.arms.items():
        evaluated = [run for run in runs if run.samples_path(benchmark).is_file()]
        done = [run for run in evaluated if run.status == "done"]
        if evaluated:
            chosen[arm] = done or evaluated
    if not chosen:
        return None
    named = [(run.key, read_counts(run.samples_path(benchmark))) for runs in chosen.values() for run in runs]
    bases, notes = _base_paths(chosen, benchmark)
    named += [("the base model", read_counts(path)) for path in bases]
    check_comparable(named)
    by_key = dict(named)
    correct = {arm: np.stack([by_key[run.key].correct_P for run in runs]) for arm, runs in chosen.items()}
    if bases:
        correct = {BASE: by_key["the base model"].correct_P[None], **correct}
    undecided = [
        f"{name}: the verifier could not decide {counts.num_undecided} samples; they count as not correct"
        for name, counts in named
        if counts.num_undecided
    ]
    first = named[0][1]
    return Evaluations(
        benchmark=benchmark,
        num_samples=first.num_samples,
        temperature=first.temperature,
        top_p=first.top_p,
        correct=correct,
        seeds={arm: tuple(run.seed for run in runs) for arm, runs in chosen.items()},
        unfinished=frozenset(arm for arm, runs in chosen.items() if runs[0].status != "done"),
        notes=(*notes, *undecided),
    )


def _base_paths(chosen: Mapping[str, Sequence[Run]], benchmark: str) -> tuple[list, list[str]]:
    paths = {run.base_samples_path(benchmark) for runs in chosen.values() for run in runs} - {None}
    present = sorted(path for path in paths if path is not None and path.is_file())
    if len(present) > 1:
        return [], [f"{benchmark}: the runs start from {len(present)} different base models, so none is drawn"]
    return present, [] if present else [f"{benchmark}: the base model has no evaluation yet"]


def contrast_intervals(evaluations: Evaluations, contrasts: Sequence[Contrast]) -> list[Interval]:
    """One interval per contrast, all from the same bootstrap draw. NaN estimate where a k exceeds n.

    The draw is the same in every call with the same number of problems, so curve, table and verdict agree.
    """
    values = [_per_problem(evaluations, contrast) for contrast in contrasts]
    intervals: list[Interval | None] = [None] * len(contrasts)
    pending = []
    for i, contrast in enumerate(contrasts):
        trained = [arm for arm in contrast if arm != BASE]
        if trained and all(len(evaluations.seeds[arm]) > 1 for arm in trained):
            intervals[i] = _method_interval(evaluations, contrast, values[i])
        else:
            pending.append(i)
    if pending:
        scores_PX = np.stack([_one_checkpoint_each(evaluations, values[i]) for i in pending], axis=1)
        for i, interval in zip(pending, _checkpoint_intervals(scores_PX), strict=True):
            intervals[i] = interval
    return [interval for interval in intervals if interval is not None]


def _per_problem(evaluations: Evaluations, contrast: Contrast) -> dict[str, np.ndarray]:
    """Arm → [S, P]: the arm's share of the contrast, for each seed and problem."""
    values = {}
    for arm, weights in contrast.items():
        pass_K = 1.0 - fail_table(evaluations.num_samples, tuple(weights))
        values[arm] = (np.array(list(weights.values())) @ pass_K)[evaluations.correct[arm]]
    return values


def _one_checkpoint_each(evaluations: Evaluations, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """[P]: the contrast with one checkpoint per arm: the lowest seed all trained arms share, else each one's first."""
    trained = [arm for arm in values if arm != BASE]
    shared = set.intersection(*(set(evaluations.seeds[arm]) for arm in trained)) if trained else set()
    total_P = np.zeros(evaluations.num_problems)
    for arm, values_SP in values.items():
        row = evaluations.seeds[arm].index(min(shared)) if shared and arm != BASE else 0
        total_P += values_SP[row]
    return total_P


def _checkpoint_intervals(scores_PX: np.ndarray) -> list[Interval]:
    means_BX = bootstrap_means(scores_PX, rng=np.random.default_rng(0), num_resamples=NUM_RESAMPLES)
    lo_X, hi_X = np.quantile(means_BX, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    varies_X = varies(scores_PX)
    return [
        Interval(float(estimate), float(lo), float(hi), OVER_PROBLEMS, CHECKPOINTS)
        if varied
        else Interval(float(estimate), np.nan, np.nan, NO_VARIATION, CHECKPOINTS)
        for estimate, lo, hi, varied in zip(scores_PX.mean(axis=0), lo_X, hi_X, varies_X, strict=True)
    ]


def _method_interval(evaluations: Evaluations, contrast: Contrast, values: Mapping[str, np.ndarray]) -> Interval:
    """Welch's t over the seeds of each arm. The base has one evaluation, so its own error is added as a variance."""
    groups = [values_SP.mean(axis=1) for arm, values_SP in values.items() if arm != BASE]
    base = float(values[BASE].mean()) if BASE in values else 0.0
    extra = _base_variance(evaluations, contrast, values) if BASE in values else 0.0
    estimate, lo, hi = welch_interval(groups, extra_variance=extra)
    num_seeds = min(len(group) for group in groups)
    method = NO_SPREAD if np.isnan(lo) else OVER_SEEDS
    return Interval(estimate + base, lo + base, hi + base, method, METHOD, num_seeds)


def _base_variance(evaluations: Evaluations, contrast: Contrast, values: Mapping[str, np.ndarray]) -> float:
    """Variance of the base's part: within problems where j + k ≤ n, else its upper bound from the paired problems."""
    correct_P, num_problems = evaluations.correct[BASE][0], evaluations.num_problems
    weights = contrast[BASE]
    within_P = sum(
        v * w * within_problem_covariance(correct_P, evaluations.num_samples, j, k)
        for j, v in weights.items()
        for k, w in weights.items()
    )
    variance = float(np.sum(within_P)) / num_problems**2
    if np.isnan(variance):
        difference_P = np.sum([values_SP.mean(axis=0) for values_SP in values.values()], axis=0)
        variance = float(np.var(difference_P, ddof=1)) / num_problems
    return max(variance, 0.0)  # an unbiased estimate of a tiny variance may come out negative


def curve_table(evaluations: Evaluations) -> pd.DataFrame:
    """Pass@k of every arm at every k: rows with seed "mean" (or the only seed) carry intervals, others single seeds.

    Columns: benchmark, arm, seed, seeds, k, estimate, lo, hi, method, speaks_of, n, problems, temperature, top_p,
    no_within_variance (k > n/2), unfinished. Estimates are NaN where k > n.
    """
    arms = list(evaluations.correct)
    intervals = iter(contrast_intervals(evaluations, [{arm: {k: 1.0}} for arm in arms for k in KS]))
    rows = []
    for arm in arms:
        seeds = evaluations.seeds.get(arm, ())
        for k in KS:
            interval = _bounded(next(intervals), evaluations.num_problems)
            seed = "mean" if len(seeds) > 1 else "".join(map(str, seeds))
            rows.append(_row(evaluations, interval, arm, k, seed))
        if len(seeds) > 1:
            pass_SPK = (pass_at_k(c_P, evaluations.num_samples, KS) for c_P in evaluations.correct[arm])
            for seed_number, pass_PK in zip(seeds, pass_SPK, strict=True):
                for k, estimate in zip(KS, pass_PK.mean(axis=0), strict=True):
                    single = Interval(float(estimate), np.nan, np.nan, "", CHECKPOINTS)
                    rows.append(_row(evaluations, single, arm, k, str(seed_number)))
    return pd.DataFrame(rows)


def gain_table(evaluations: Evaluations, reference: str) -> pd.DataFrame:
    """Pass@k of every arm minus the reference's on the same problems; columns as in curve_table, plus reference."""
    arms = [arm for arm in evaluations.correct if arm not in (reference, BASE)]
    if reference not in evaluations.correct:
        return pd.DataFrame()
    pairs = [(arm, k) for arm in arms for k in KS]
    contrasts = [{arm: {k: 1.0}, reference: {k: -1.0}} for arm, k in pairs]
    intervals = contrast_intervals(evaluations, contrasts)
    rows = [
        {**_row(evaluations, interval, arm, k, ""), "reference": reference}
        for (arm, k), interval in zip(pairs, intervals, strict=True)
    ]
    return pd.DataFrame(rows).drop(columns="seed", errors="ignore")


def _bounded(interval: Interval, num_problems: int) -> Interval:
    """Bounds of a share: a t interval is cut at 0 and 1; Wilson's where no problem differs from 0, or none from 1."""
    if interval.method != NO_VARIATION or interval.estimate not in (0.0, 1.0):
        lo, hi = np.clip([interval.lo, interval.hi], 0.0, 1.0)
        return replace(interval, lo=float(lo), hi=float(hi))
    lo, hi = wilson_interval(interval.estimate * num_problems, num_problems)
    return Interval(interval.estimate, lo, hi, WILSON, CHECKPOINTS)


def _row(evaluations: Evaluations, interval: Interval, arm: str, k: int, seed: str) -> dict:
    return {
        "benchmark": evaluations.benchmark,
        "arm": arm,
        "seed": seed,
        "seeds": len(evaluations.seeds.get(arm, ())),
        "k": k,
        "estimate": interval.estimate,
        "lo": interval.lo,
        "hi": interval.hi,
        "method": interval.method,
        "speaks_of": interval.speaks_of,
        "n": evaluations.num_samples,
        "problems": evaluations.num_problems,
        "temperature": evaluations.temperature,
        "top_p": evaluations.top_p,
        "no_within_variance": 2 * k > evaluations.num_samples,
        "unfinished": arm in evaluations.unfinished,
    }
