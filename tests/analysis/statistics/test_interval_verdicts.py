"""Intervals and p-values of contrasts: no rounding decides, one method gives both, scopes are what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from evaluated import DIFFICULTY_P, binomial, evaluations, rate
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from analysis.claims import c1, c3
from analysis.claims.verdicts import NOT_SUPPORTED, ONE_SEED, UNDECIDED, Part, describe, sign_verdict
from analysis.estimates.passk_curves import curve_table, gain_table
from analysis.io.parquet import FrameError
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import (
    BASE_MODEL,
    BONFERRONI,
    CHECKPOINTS,
    EXACT,
    FEW_SEEDS_NO_BAND,
    METHOD,
    ONE_PROBLEM,
    OVER_BOTH,
    OVER_WELCH,
    SEEDS,
    SIMULATED,
    TOO_FEW,
    WILSON,
    Evaluations,
)
from analysis.statistics.intervals import LEVEL, Interval, summed_t

GAIN = {"grpo": {256: 1.0}, "base": {256: -1.0}}


def lost_and_gained(num_problems: int, *, lost: int, gained: int, n: int = 256) -> Evaluations:
    """The base solves half of the problems; GRPO loses and gains some, at Pass@n."""
    base = np.where(np.arange(num_problems) < num_problems // 2, n // 4, 0)
    grpo = base.copy()
    grpo[:lost] = 0
    grpo[num_problems // 2 : num_problems // 2 + gained] = n // 4
    return evaluations({"base": base, "grpo": grpo}, n)


@pytest.mark.parametrize("lost", range(1, 6))
@pytest.mark.parametrize("num_problems", [30, 40, 128])
def test_a_handful_of_lost_problems_has_no_interval_and_decides_nothing(num_problems: int, lost: int) -> None:
    """At P = 40, n = k = 256 one lost problem was printed as −2.5 pp [−7.5, −0.0], supported; McNemar's p is 1."""
    e = lost_and_gained(num_problems, lost=lost, gained=0)
    interval = contrast_intervals(e, [GAIN])[0]
    assert interval.estimate == pytest.approx(-lost / num_problems)
    assert np.isnan([interval.lo, interval.hi, interval.p_value]).all()
    assert interval.method == TOO_FEW
    verdict = c1([e])
    assert verdict.parts[-1].verdict == UNDECIDED
    assert "no interval: fewer than 6 problems differ" in verdict.text


def test_a_benchmark_with_one_problem_is_the_reason_for_a_missing_interval() -> None:
    many, one = lost_and_gained(200, lost=40, gained=20), lost_and_gained(1, lost=0, gained=0)
    assert np.isfinite(contrast_intervals([many], [GAIN])[0].lo)
    both = contrast_intervals([many, one], [GAIN])[0]
    assert both.estimate == pytest.approx(-20 / 201)
    assert np.isnan([both.lo, both.hi, both.p_value]).all()
    assert (both.method, both.band) == (ONE_PROBLEM, ONE_PROBLEM)


@pytest.mark.parametrize("counts", [[8], [4, 8, 12]])
def test_a_share_of_one_problem_has_wilsons_interval_with_any_number_of_seeds(counts: list[int]) -> None:
    """One draw of a problem and its seeds varies by at most p (1 − p), as a success of one trial does."""
    row = curve_table(evaluations({"grpo": np.array(counts)[:, None]}, 16)).iloc[0]  # k = 1, mean over seeds
    z = scipy_stats.norm.ppf(0.975)
    half = z / 2 / np.sqrt(1 + z**2)  # Wilson's with p = 1/2 and one trial
    assert (row["estimate"], row["method"]) == (0.5, WILSON)
    assert (row["lo"], row["hi"]) == pytest.approx((0.5 - half, 0.5 + half))


def test_the_base_models_spread_is_unknown_where_one_problem_leaves_no_second_draw() -> None:
    counts = {"base": np.array([[0]]), "grpo": np.array([[0], [16], [16]])}
    gain = contrast_intervals(evaluations(counts, 16), [{"grpo": {16: 1.0}, "base": {16: -1.0}}], scope=SEEDS)[0]
    assert (gain.estimate, gain.method) == (pytest.approx(2 / 3), ONE_PROBLEM)


@pytest.mark.parametrize(("lost", "gained"), [(6, 0), (0, 6), (7, 1), (5, 3), (12, 3), (9, 9)])
def test_k_equal_to_n_has_mcnemars_p_and_its_decision(lost: int, gained: int) -> None:
    interval = contrast_intervals(lost_and_gained(60, lost=lost, gained=gained), [GAIN])[0]
    exact = scipy_stats.binomtest(gained, lost + gained).pvalue
    assert interval.method == EXACT
    assert interval.p_value == pytest.approx(exact)
    assert (interval.lo > 0 or interval.hi < 0) == (exact <= 0.05)
    assert (interval.num_below, interval.num_above) == (lost, gained)


def test_a_bound_that_is_zero_is_zero() -> None:
    """(7 lost, 1 gained): t over problems alone would exclude 0, the exact test does not: the bound is 0 itself."""
    interval = contrast_intervals(lost_and_gained(60, lost=7, gained=1), [GAIN])[0]
    assert interval.hi == 0.0
    assert interval.lo < -0.1


def test_no_bound_of_any_table_is_a_rounded_zero() -> None:
    """Differences that cancel exactly but for the order of summation."""
    for seed in range(20):
        base = binomial(DIFFICULTY_P, seed)
        e = evaluations({"base": base, "grpo": np.random.default_rng(seed).permutation(base)})
        bounds = gain_table(e, "base")[["estimate", "lo", "hi"]].to_numpy()
        assert not ((np.abs(bounds) > 0) & (np.abs(bounds) < 1e-9)).any()


counts_at_n = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=8, max_size=60)


@settings(max_examples=150, deadline=None)
@given(counts_at_n, st.sampled_from([1, 2, 8]))
def test_interval_and_p_value_never_contradict_each_other(pairs: list[tuple[int, int]], k: int) -> None:
    base, grpo = (np.array(side) for side in zip(*pairs, strict=True))
    e = evaluations({"base": base, "grpo": grpo}, 8)
    interval = contrast_intervals(e, [{"grpo": {k: 1.0}, "base": {k: -1.0}}])[0]
    assert np.isnan(interval.lo) == np.isnan(interval.p_value)
    if not np.isnan(interval.lo):
        assert (interval.lo > 0 or interval.hi < 0) == (interval.p_value <= 1 - LEVEL)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from([SEEDS, METHOD]), st.booleans())
def test_over_seeds_they_do_not_either(seed: int, num_seeds: int, scope: str, paired: bool) -> None:
    rng = np.random.default_rng(seed)
    arms = {arm: rng.binomial(16, rate(rng.normal(0, 0.4, (num_seeds, 1)) + DIFFICULTY_P[:40])) for arm in "ab"}
    e = evaluations(arms, 16)
    if not paired:
        e = replace(e, seeds={**e.seeds, "b": tuple(range(50, 50 + num_seeds))})
    interval = contrast_intervals(e, [{"a": {4: 1.0}, "b": {4: -1.0}}], scope=scope)[0]
    assert interval.scope == scope
    assert (interval.lo > 0 or interval.hi < 0) == (interval.p_value <= 1 - LEVEL)


def test_one_source_is_students_and_two_add_up() -> None:
    half, p = summed_t(np.array([2.0]), [(np.array([1.0]), np.array([5.0]))])
    assert (half[0], p[0]) == pytest.approx((scipy_stats.t.isf(0.025, 5), 2 * scipy_stats.t.sf(2, 5)))
    both, p_both = summed_t(np.array([2.0]), [(np.array([1.0]), np.array([5.0])), (np.array([0.5]), np.array([2.0]))])
    assert both[0] == pytest.approx(np.hypot(half[0], np.sqrt(0.5) * scipy_stats.t.isf(0.025, 2)))
    at_p, _ = summed_t(
        np.array([2.0]), [(np.array([1.0]), np.array([5.0])), (np.array([0.5]), np.array([2.0]))], level=1 - p_both
    )
    assert at_p[0] == pytest.approx(2.0)  # the interval at level 1 − p ends at 0


def arms(num_seeds: int, *, shift: float = 0.3, spread: float = 0.2, seed: int = 0) -> Evaluations:
    rng = np.random.default_rng(seed)
    correct = {"base": rng.binomial(64, rate(DIFFICULTY_P))}
    for i, arm in enumerate(("grpo", "a_grae")):
        correct[arm] = rng.binomial(64, rate(DIFFICULTY_P + i * shift + rng.normal(0, spread, (num_seeds, 1))))
    return evaluations(correct)


DIFFERENCE = {"a_grae": {1: 1.0}, "grpo": {1: -1.0}}


def test_the_method_on_problems_like_these_covers_seeds_and_problems() -> None:
    """Its interval holds the one over seeds alone; its variance is the sum of both sources'."""
    e = arms(4)
    wide = contrast_intervals(e, [DIFFERENCE])[0]
    seeds = contrast_intervals(e, [DIFFERENCE], scope=SEEDS)[0]
    assert (wide.scope, wide.method, wide.num_seeds) == (METHOD, OVER_BOTH, 4)
    assert wide.lo < seeds.lo < seeds.hi < wide.hi
    assert wide.estimate == pytest.approx(seeds.estimate)
    over_problems = contrast_intervals(e, [DIFFERENCE], scope=CHECKPOINTS)[0]
    assert wide.error**2 == pytest.approx(seeds.error**2 + over_problems.error**2)


def test_base_and_arms_of_one_table_have_one_scope() -> None:
    table = curve_table(arms(4))
    assert set(table.loc[table["arm"] == "base", "scope"]) == {BASE_MODEL}
    assert set(table.loc[(table["arm"] != "base") & (table["seed"] == "mean"), "scope"]) == {METHOD}
    assert METHOD.endswith("on problems like these")
    assert BASE_MODEL.endswith("on problems like these")


def test_arms_are_paired_on_the_seeds_they_share_and_welchs_otherwise() -> None:
    """3 against 10 seeds: the three that both have are compared; on other seeds, all, with 2 degrees of freedom."""
    rng = np.random.default_rng(1)
    correct = {
        arm: rng.binomial(64, rate(DIFFICULTY_P + rng.normal(0, 0.2, (s, 1)))) for arm, s in (("a", 3), ("b", 10))
    }
    difference = {"a": {1: 1.0}, "b": {1: -1.0}}
    nested = contrast_intervals(evaluations(correct), [difference], scope=SEEDS)[0]
    per_seed = [(correct[arm][:3] / 64).mean(axis=1) for arm in "ab"]
    expected = scipy_stats.ttest_rel(*per_seed)
    assert (nested.p_value, nested.num_seeds) == pytest.approx((expected.pvalue, 3))
    apart = replace(evaluations(correct), seeds={"a": (100, 101, 102), "b": tuple(range(10))})
    other = contrast_intervals(apart, [difference], scope=SEEDS)[0]
    values = [(correct[arm] / 64).mean(axis=1) for arm in "ab"]
    error = np.sqrt(sum(v.var(ddof=1) / len(v) for v in values))
    assert other.method == OVER_WELCH
    assert other.hi - other.estimate == pytest.approx(scipy_stats.t.isf(0.025, 2) * error)


def test_two_seeds_have_no_band_three_have_bonferronis() -> None:
    for num_seeds, band in ((2, FEW_SEEDS_NO_BAND), (3, BONFERRONI), (4, SIMULATED)):
        gains = gain_table(arms(num_seeds), "grpo").dropna(subset="estimate")
        assert gains["band"].str.startswith(band).all()
        assert gains["band_lo"].isna().all() == (num_seeds == 2)
        assert gains["lo"].notna().all()


def test_one_seed_never_decides_a_claim() -> None:
    rng = np.random.default_rng(3)
    base, sharp = (
        np.where(np.arange(150) < 150 * s, rng.binomial(512, p, 150), 0) for s, p in ((0.9, 0.05), (0.6, 0.5))
    )
    one = replace(evaluations({"base": base, "grpo": sharp}, 512), num_samples=512)
    verdict = c1([one])
    assert verdict.verdict == ONE_SEED
    assert [part.verdict for part in verdict.parts] == ["supported"] * 3
    assert verdict.text.count("these checkpoints: supported") == 3
    assert "1 seed, 150 problems, n = 512" in verdict.text
    assert "two or more seeds" in verdict.would_change
    three = replace(
        one, correct={"base": base[None], "grpo": np.stack([sharp, sharp[::-1], sharp])}, seeds={"grpo": (0, 1, 2)}
    )
    assert c1([three]).verdict != ONE_SEED


def test_nothing_is_ruled_out_on_a_side_on_which_no_problem_moved() -> None:
    """Six problems of forty are a little worse, none better: the upper bound is near 0, yet nothing shows it."""
    base = np.full(40, 128)
    grpo = base.copy()
    grpo[:6] -= [1, 3, 1, 1, 1, 6]
    interval = contrast_intervals(
        evaluations({"base": base, "grpo": grpo}, 256), [{"grpo": {1: 1.0}, "base": {1: -1.0}}]
    )[0]
    assert interval.lo < 0 < interval.hi < 0.01
    assert interval.num_above == 0
    assert sign_verdict(interval, +1, relevant=0.01) == UNDECIDED
    grpo[7:10] += 2
    seen = contrast_intervals(evaluations({"base": base, "grpo": grpo}, 256), [{"grpo": {1: 1.0}, "base": {1: -1.0}}])[
        0
    ]
    assert sign_verdict(seen, +1, relevant=0.01) == NOT_SUPPORTED


def test_an_undecided_part_says_what_it_could_have_found() -> None:
    interval = Interval(0.01, -0.03, 0.05, "", "", 3, error=0.0125)
    assert interval.detectable == pytest.approx(0.04 + 0.8416 * 0.0125, abs=1e-5)
    assert "(undecided: such an experiment has 80 % power for an effect of 5.1 pp)" in describe(
        Part("gain", interval, "pp", UNDECIDED, "3 seeds")
    )


def benchmarks_of(rng: np.random.Generator, num_seeds: int = 3) -> list[Evaluations]:
    """AIME, AMC and MATH by size. GRPO gains at k = 1, Negative-Dominant loses less at 256, as C1 and C3 claim."""
    found = []
    for name, size, level in (("aime", 30, -4.0), ("amc", 40, -1.5), ("math", 500, 0.5)):
        difficulty_P = rng.normal(level, 2.5, size)

        def run(shift: float, lost: float, seeds: int, difficulty_P: np.ndarray = difficulty_P) -> np.ndarray:
            """`lost` is the chance that a problem is out of the policy's reach."""
            size = len(difficulty_P)
            gone = rng.random((1, size)) < lost
            p = rate(difficulty_P + shift + rng.normal(0, 0.1, (seeds, 1)))
            return rng.binomial(256, np.where(gone, 0.0, p))

        correct = {
            "base": run(0.0, 0.0, 1),
            "grpo": run(1.5, 0.1, num_seeds),
            "negative_dominant": run(0.2, 0.0, num_seeds),
        }
        seeds = {arm: tuple(range(num_seeds)) for arm in ("grpo", "negative_dominant")}
        found.append(Evaluations(name, 256, 0.6, 0.95, correct, seeds))
    return found


def test_strong_effects_on_three_benchmarks_support_c1() -> None:
    """As a conjunction over benchmarks C1 was supported in 0 of 60 such experiments."""
    verdicts = [c1(benchmarks_of(np.random.default_rng([7, i]))) for i in range(20)]
    assert sum(verdict.verdict == "supported" for verdict in verdicts) >= 14
    first = verdicts[0]
    assert [part.name.split(":")[0] for part in first.parts] == ["all 3 benchmarks"] * 3
    assert len(first.details) == 9
    assert "3 seeds, 570 problems, n = 256" in first.parts[0].basis


def test_strong_effects_on_three_benchmarks_support_c3() -> None:
    rising = pd.DataFrame(
        np.linspace(1.0, 1.4, 60)[:, None] + np.random.default_rng(0).normal(0, 0.01, (60, 3)), columns=["0", "1", "2"]
    )
    verdicts = [c3(benchmarks_of(np.random.default_rng([8, i])), {"negative_dominant": rising}) for i in range(20)]
    assert sum(verdict.verdict == "supported" for verdict in verdicts) >= 14


def test_several_benchmarks_count_each_problem_once_and_vary_within_benchmarks() -> None:
    strata = benchmarks_of(np.random.default_rng(0), num_seeds=1)
    contrast = {"grpo": {1: 1.0}, "base": {1: -1.0}}
    pooled = contrast_intervals(strata, [contrast])[0]
    d = [(e.correct["grpo"][0] - e.correct["base"][0]) / 256 for e in strata]
    assert pooled.estimate == pytest.approx(np.concatenate(d).mean())
    variance = sum(len(x) * x.var(ddof=1) for x in d) / 570**2
    assert pooled.error == pytest.approx(np.sqrt(variance))
    assert pooled.scope == CHECKPOINTS


@pytest.mark.parametrize(("short", "long"), [("a", "b"), ("b", "a")])
def test_only_the_arm_with_one_seed_is_named(short: str, long: str) -> None:
    """They share seed 0 alone; the other arm has two more."""
    found = evaluations(
        {short: binomial(DIFFICULTY_P, 0), long: np.stack([binomial(DIFFICULTY_P, i) for i in range(3)])}
    )
    with pytest.raises(FrameError, match=f"bench: {short} has one seed, and one run cannot speak of the method"):
        contrast_intervals(found, [{"a": {1: 1.0}, "b": {1: -1.0}}], scope=METHOD)
    both = evaluations({arm: binomial(DIFFICULTY_P, i) for i, arm in enumerate("ab")})
    with pytest.raises(FrameError, match="bench: a and b have one seed"):
        contrast_intervals(both, [{"a": {1: 1.0}, "b": {1: -1.0}}], scope=METHOD)
