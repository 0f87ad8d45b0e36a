"""Do nominal 95 % intervals cover 95 % of the time? On synthetic truth, for each level, for tests and for bands.

Every simulation runs as a few experiments of one case with wide limits, and, marked slow, for all cases with enough
for 93–97 % (with 2,000 experiments the binomial error is 0.5 points).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from evaluated import evaluations, rate
from scipy import stats as scipy_stats

from analysis.estimates.pairwise import compare
from analysis.estimates.passk_curves import gain_table
from analysis.statistics import multiplicity, seeds
from analysis.statistics.evaluations import METHOD, SEEDS, Evaluations
from analysis.statistics.multiplicity import holm
from analysis.statistics.passk import KS, pass_at_k
from analysis.statistics.seeds import interquartile_mean, probability_of_improvement
from benchmarks import coverage

NUM_SAMPLES = 128
FULL = 2000


def cases(
    name: str, values: tuple[int, ...], *, smoke: tuple[float, ...], full: tuple[float, ...]
) -> pytest.MarkDecorator:
    """Cases with `smoke` limits for the middle value, and with `full` limits, marked slow, for all."""
    limits = ("least", "most")[2 - len(full) :]
    few = pytest.param(values[len(values) // 2], 40, *smoke, id="smoke")
    many = [pytest.param(value, FULL, *full, id=f"{name}={value}", marks=pytest.mark.slow) for value in values]
    return pytest.mark.parametrize((name, "num_experiments", *limits), [few, *many])


@pytest.fixture(autouse=True)
def _fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiplicity, "NUM_DRAWS", 1000)
    monkeypatch.setattr(seeds, "NUM_RESAMPLES", 400)


def pass_of(p: np.ndarray, k: int) -> np.ndarray:
    return 1 - (1 - p) ** k


def share_within(intervals: Iterator[tuple[float, float, float]]) -> float:
    """Share of (lo, truth, hi) in order; one without bounds would count as a miss."""
    return float(np.mean([lo <= truth <= hi for lo, truth, hi in intervals]))


def draw_problems(rng: np.random.Generator, num_problems: int, shifts: np.ndarray) -> np.ndarray:
    """[arms, P]: success rates; arms share the problems' difficulty, and differ on each problem by 0.5 besides."""
    difficulty_P = rng.normal(-1.5, 2.0, num_problems)
    return rate(difficulty_P + shifts[:, None] + rng.normal(0, 0.5, (len(shifts), num_problems)))


@cache
def true_pass(shifts: tuple[float, ...], ks: tuple[int, ...]) -> np.ndarray:
    """[arms, K]: Pass@k over the population of problems, from 400,000 of them."""
    totals = [
        np.stack([pass_of(p_AP, k).mean(axis=1) for k in ks], axis=1)
        for p_AP in (draw_problems(np.random.default_rng([3, i]), 50_000, np.array(shifts)) for i in range(8))
    ]
    return np.mean(totals, axis=0)


def drawn_evaluations(seed: list[int], num_problems: int, shifts: tuple[float, ...]) -> Evaluations:
    rng = np.random.default_rng(seed)
    counts_AP = rng.binomial(NUM_SAMPLES, draw_problems(rng, num_problems, np.array(shifts)))
    names = ["base", *(f"arm{i}" for i in range(1, len(shifts)))]
    return evaluations(dict(zip(names, counts_AP, strict=True)), NUM_SAMPLES)


@cases("k", (1, 8, 64), smoke=(0.85, 1.0), full=(0.93, 0.97))
def test_level_problems(k: int, num_experiments: int, least: float, most: float) -> None:
    """200 problems drawn from a population; truth: the difference of Pass@k over all of it."""
    shifts = (0.0, 0.4)
    truth = float(np.diff(true_pass(shifts, (k,))[:, 0])[0])

    def experiments() -> Iterator[tuple[float, float, float]]:
        for i in range(num_experiments):
            interval = compare(drawn_evaluations([k, i], 200, shifts), "arm1", "base", k, scope="checkpoints")
            yield interval.lo, truth, interval.hi

    assert least <= share_within(experiments()) <= most


PROBLEMS_P = np.random.default_rng(4).normal(-1.5, 2.0, 60)


def draw_seeds(
    rng: np.random.Generator, num_seeds: int, shift: float, common_S: np.ndarray | float = 0.0
) -> np.ndarray:
    """[S, P]: success rates on fixed problems: a seed shifts all by 0.2 and each by 0.3; common_S is the pair's own."""
    own_S = rng.normal(0, 0.2, num_seeds) + common_S
    return rate(PROBLEMS_P + shift + own_S[:, None] + rng.normal(0, 0.3, (num_seeds, len(PROBLEMS_P))))


def seed_evaluations(seed: list[int], num_seeds: int, shifts: tuple[float, ...], *, paired: float = 0.0) -> Evaluations:
    """Arms a, b, … on the same seed numbers, which share a shift of deviation `paired`."""
    rng = np.random.default_rng(seed)
    common_S = rng.normal(0, paired, num_seeds) if paired else 0.0
    arms = {
        name: rng.binomial(NUM_SAMPLES, draw_seeds(rng, num_seeds, shift, common_S))
        for name, shift in zip("abcdef", shifts, strict=False)
    }
    return evaluations(arms, NUM_SAMPLES)


@cache
def true_seed_pass(shift: float, ks: tuple[int, ...]) -> np.ndarray:
    """[K]: mean Pass@k over 16,000 seeds."""
    draws = [draw_seeds(np.random.default_rng([5, i]), 2000, shift) for i in range(8)]
    return np.mean([[pass_of(p_SP, k).mean() for k in ks] for p_SP in draws], axis=0)


@cases("num_seeds", (3, 5, 10), smoke=(0.85, 1.0), full=(0.93, 0.97))
def test_level_seeds(num_seeds: int, num_experiments: int, least: float, most: float) -> None:
    """Seeds drawn from a population of training runs; truth: the difference of their expected Pass@4. Paired t."""
    truth = float((true_seed_pass(0.4, (4,)) - true_seed_pass(0.0, (4,)))[0])

    def experiments() -> Iterator[tuple[float, float, float]]:
        for i in range(num_experiments):
            interval = compare(seed_evaluations([num_seeds, i], num_seeds, (0.0, 0.4)), "b", "a", 4, scope="seeds")
            yield interval.lo, truth, interval.hi

    assert least <= share_within(experiments()) <= most


def rejections(num_experiments: int, num_seeds: int, p_value: Callable[[Evaluations], float]) -> float:
    """Rejections of a true null by a test at 5 %; seeds of a pair share half their variance."""
    found = [
        p_value(seed_evaluations([6, num_seeds, i], num_seeds, (0.0, 0.0), paired=0.2)) < 0.05
        for i in range(num_experiments)
    ]
    return float(np.mean(found))


@cases("num_seeds", (3, 5, 10), smoke=(0.175,), full=(0.065,))
def test_no_difference_is_found_where_there_is_none(num_seeds: int, num_experiments: int, most: float) -> None:
    """Tests over seeds: paired, Welch's on other seed numbers, and with half as many or twice as many on one side."""

    def apart(e: Evaluations, num: int) -> Evaluations:
        shorter = {**e.correct, "b": e.correct["b"][:num]}
        return replace(e, correct=shorter, seeds={"a": e.seeds["a"], "b": tuple(range(50, 50 + num))})

    paired = rejections(num_experiments, num_seeds, lambda e: compare(e, "b", "a", 1, scope="seeds").p_value)
    assert paired <= most
    for num in (num_seeds, max(2, num_seeds // 2)):
        welch = rejections(
            num_experiments, num_seeds, lambda e, num=num: compare(apart(e, num), "b", "a", 1, scope="seeds").p_value
        )
        assert welch <= most


def test_problems_in_place_of_seeds_find_differences_that_are_not_there() -> None:
    """An interval over problems of means over five seeds is too narrow for a claim about the method."""

    def p_value(e: Evaluations) -> float:
        return compare(e, "b", "a", 1, scope="checkpoints").p_value

    assert rejections(60, 5, p_value) > 0.25


@cases("num_problems", (40, 300), smoke=(0.85, 1.0), full=(0.93, 0.97))
def test_bands_over_problems(num_problems: int, num_experiments: int, least: float, most: float) -> None:
    """32 gains (4 arms, k = 1 … 128) in their bands at once, as far as they have bands; single intervals rarely do."""
    shifts = (0.0, -0.3, 0.2, 0.6, 1.0)
    ks = tuple(k for k in KS if k <= NUM_SAMPLES)
    true_AK = true_pass(shifts, ks)
    truth = (true_AK[1:] - true_AK[0]).ravel()
    banded, pointwise, have = [], [], []
    for i in range(num_experiments):
        gains = gain_table(drawn_evaluations([7, i], num_problems, shifts), "base").dropna(subset="estimate")
        lo, hi, band_lo, band_hi = (gains[name].to_numpy() for name in ("lo", "hi", "band_lo", "band_hi"))
        missing = np.isnan(band_lo)
        banded.append((((band_lo <= truth) & (truth <= band_hi)) | missing).all())
        pointwise.append(((lo <= truth) & (truth <= hi)).all())
        have.append(1 - missing.mean())
    assert least <= np.mean(banded) <= most
    assert np.mean(pointwise) < 0.75
    assert np.mean(have) > 0.5


# on the safe side by design: Bonferroni for three seeds
@cases("num_seeds", (3, 5, 10), smoke=(0.85, 1.0), full=(0.93, 0.995))
def test_bands_over_seeds(num_seeds: int, num_experiments: int, least: float, most: float) -> None:
    """24 gains (3 arms, k = 1 … 128) over a fourth in their bands at once."""
    shifts, ks = (0.0, 0.1, 0.4, 0.8), tuple(k for k in KS if k <= NUM_SAMPLES)
    truth = np.concatenate([true_seed_pass(shift, ks) - true_seed_pass(0.0, ks) for shift in shifts[1:]])
    banded = []
    for i in range(num_experiments):
        gains = gain_table(seed_evaluations([8, num_seeds, i], num_seeds, shifts), "a").dropna(subset="estimate")
        missing = gains["band_lo"].isna()  # hardly a problem differs there
        banded.append((((gains["band_lo"] <= truth) & (truth <= gains["band_hi"])) | missing).all())
    assert least <= np.mean(banded) <= most


@cases("num_seeds", (5,), smoke=(0.175,), full=(0.065,))
def test_a_declared_family_rarely_has_a_false_find(num_seeds: int, num_experiments: int, most: float) -> None:
    """Five arms like GRPO, five seeds each: some Holm-adjusted p below 5 % in at most 5 % of the experiments."""
    found = []
    for i in range(num_experiments):
        e = seed_evaluations([9, i], num_seeds, (0.0,) * 6)
        found.append(holm([compare(e, arm, "a", 1, scope="seeds").p_value for arm in "bcdef"]).min() < 0.05)
    assert np.mean(found) <= most


@cases("num_seeds", (3, 5, 10), smoke=(0.85, 1.0), full=(0.92, 0.99))
def test_aggregates_over_benchmarks(num_seeds: int, num_experiments: int, least: float, most: float) -> None:
    """Four benchmarks that share a seed's error: interquartile mean, and probability of improvement (truth 0.69)."""

    def scores(rng: np.random.Generator, shift: float) -> np.ndarray:
        own_S1 = rng.normal(0, 0.03, (num_seeds, 1))
        return np.array([0.2, 0.5, 0.7, 0.4]) + shift + own_S1 + rng.normal(0, 0.03, (num_seeds, 4))

    middle = np.mean([interquartile_of(scores(np.random.default_rng([10, i]), 0.0)) for i in range(1000)])
    above = scipy_stats.norm.cdf(0.03 / np.sqrt(4 * 0.03**2))
    means, chances = [], []
    for i in range(num_experiments):
        rng = np.random.default_rng([11, num_seeds, i])
        theirs, ours = scores(rng, 0.0), scores(rng, 0.03)
        mean = interquartile_mean(theirs, rng=rng)
        chance = probability_of_improvement(ours, theirs, rng=rng)
        means.append(mean.lo <= middle <= mean.hi)
        chances.append(np.isnan(chance.lo) or chance.lo <= above <= chance.hi)
    assert least <= np.mean(means) <= most
    assert least <= np.mean(chances) <= 1.0


def interquartile_of(scores_SM: np.ndarray) -> float:
    cells = np.sort(scores_SM.ravel())
    cut = len(cells) // 4
    return float(cells[cut : len(cells) - cut].mean())


def test_the_estimator_is_unbiased_for_the_truth_used_here() -> None:
    """Mean of Pass@k over 20,000 draws of c against 1 − (1−p)^k."""
    counts = np.random.default_rng(12).binomial(NUM_SAMPLES, 0.02, 20_000)
    for k in (1, 8, 64):
        assert pass_at_k(counts, NUM_SAMPLES, [k]).mean() == pytest.approx(pass_of(np.float64(0.02), k), abs=0.006)


@pytest.mark.parametrize("case", list(coverage.SHIFTS))
def test_the_printed_simulation_of_problems(case: str) -> None:
    """A few experiments of `python -m benchmarks coverage` at AMC's size: coverage, and no contradiction."""
    cells = coverage.over_problems(40, 256, case, [1, 64, 256], 60)
    assert sum(cell.contradictions for cell in cells.values()) == 0
    assert min(cell.coverage for k, cell in cells.items() if k < 256) >= 0.85


def test_the_printed_simulation_of_runs_that_share_a_random_stream() -> None:
    """Arms of one training seed share stream and luck; over seeds and over both, intervals hold the truth."""
    for scope in (SEEDS, METHOD):
        runs = coverage.Runs((range(3), range(3)), 0.3, coupled=0.6)
        cells = coverage.over_seeds(40, runs, scope, 0.7, [1, 64], 60)
        assert min(cell.coverage for cell in cells.values()) >= 0.85
        assert sum(cell.contradictions for cell in cells.values()) == 0
