"""One arm against another: the scope decides the interval; data that cannot speak are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluated import DIFFICULTY_P, binomial, evaluations
from scipy import stats as scipy_stats

from analysis.estimates.pairwise import compare, compare_family, pairwise_differences
from analysis.estimates.passk_curves import gain_table
from analysis.io.parquet import FrameError
from analysis.statistics.evaluations import (
    CHECKPOINTS,
    METHOD,
    NO_SPREAD,
    NO_VARIATION,
    OVER_BOTH,
    OVER_PROBLEMS,
    OVER_SEEDS,
    OVER_WELCH,
    OWN_BOTH,
    OWN_SEEDS,
    SEEDS,
    Evaluations,
)
from analysis.statistics.multiplicity import benjamini_hochberg, holm
from analysis.statistics.passk import pass_at_k


def arms(num_seeds: int = 4, **shifts: float) -> Evaluations:
    """The base, and arms of several seeds: each shifts all logits, and each seed by a little of its own."""
    correct = {"base": binomial(DIFFICULTY_P, 0)}
    for i, (arm, shift) in enumerate(shifts.items()):
        own_S = np.random.default_rng(i).normal(0, 0.1, num_seeds)
        seeds = enumerate(DIFFICULTY_P + shift + own_S[:, None])
        correct[arm] = np.stack([binomial(logit_P, 100 * (i + 1) + seed) for seed, logit_P in seeds])
    return evaluations(correct)


def test_seeds_of_an_arm_are_averaged_where_checkpoints_are_compared() -> None:
    e = arms(4, grpo=0.0, a_grae=0.3)
    interval = compare(e, "a_grae", "grpo", 2, scope="checkpoints")
    means = [pass_at_k(e.correct[arm].ravel(), 64, [2]).mean() for arm in ("a_grae", "grpo")]
    assert interval.estimate == pytest.approx(means[0] - means[1])


def test_checkpoints_are_compared_on_the_seeds_that_both_have() -> None:
    e = replace(arms(3, grpo=0.0, a_grae=0.3), seeds={"grpo": (0, 1, 2), "a_grae": (2, 5, 6)})
    difference = (e.correct["a_grae"][0] - e.correct["grpo"][2]).mean() / 64
    assert compare(e, "a_grae", "grpo", 1, scope="checkpoints").estimate == pytest.approx(difference)


def test_problems_are_compared_in_pairs() -> None:
    e = arms(1, grpo=0.2)
    interval = compare(e, "grpo", "base", 4, scope="checkpoints")
    row = gain_table(e, "base").set_index("k").loc[4]
    assert (interval.method, interval.scope) == (OVER_PROBLEMS, CHECKPOINTS)
    assert (interval.lo, interval.hi) == pytest.approx((row["lo"], row["hi"]))
    scores = [pass_at_k(e.correct[arm][0], 64, [4])[:, 0] for arm in ("grpo", "base")]
    expected = scipy_stats.ttest_rel(*scores)
    differences = scores[0] - scores[1]
    centred = differences - np.median(differences)
    effective = min((x @ x) ** 2 / (x**4).sum() for x in (differences, centred))
    assert interval.p_value == pytest.approx(2 * scipy_stats.t.sf(abs(expected.statistic), min(199, 1.5 * effective)))


def test_seeds_with_the_same_numbers_are_paired() -> None:
    e = arms(4, grpo=0.0, a_grae=0.3)
    interval = compare(e, "a_grae", "grpo", 1, scope="seeds")
    per_seed = [(e.correct[arm] / 64).mean(axis=1) for arm in ("a_grae", "grpo")]
    expected = scipy_stats.ttest_rel(*per_seed)
    bounds = expected.confidence_interval(0.95)
    assert (interval.method, interval.scope, interval.num_seeds) == (OVER_SEEDS, SEEDS, 4)
    assert (interval.lo, interval.hi) == pytest.approx((bounds.low, bounds.high))
    assert interval.p_value == pytest.approx(expected.pvalue)
    turned = replace(e, seeds={**e.seeds, "grpo": (3, 2, 1, 0)})  # pairs are made by number, not by place
    expected = scipy_stats.ttest_rel(per_seed[0], per_seed[1][::-1])
    assert compare(turned, "a_grae", "grpo", 1, scope="seeds").p_value == pytest.approx(expected.pvalue)


def test_seeds_with_other_numbers_are_welchs() -> None:
    e = replace(arms(3, grpo=0.0, a_grae=0.3), seeds={"grpo": (0, 1, 2), "a_grae": (2, 3, 4)})  # one shared is no pair
    interval = compare(e, "a_grae", "grpo", 1, scope="seeds")
    per_seed = [(e.correct[arm] / 64).mean(axis=1) for arm in ("a_grae", "grpo")]
    expected = scipy_stats.ttest_ind(*per_seed, equal_var=False)
    assert interval.method == OVER_WELCH
    assert interval.p_value == pytest.approx(expected.pvalue)


def test_figure_table_and_comparison_give_one_interval_for_one_difference() -> None:
    e = arms(4, grpo=0.0, a_grae=0.3)
    row = gain_table(e, "grpo").set_index(["arm", "k"]).loc[("a_grae", 8)]
    family = compare_family(e, ["a_grae"], "grpo", [8], scope="method").iloc[0]
    pair = pairwise_differences(e, [8]).set_index(["arm", "reference"]).loc[("a_grae", "grpo")]
    one = compare(e, "a_grae", "grpo", 8)
    for other in (row, family, pair):
        assert (other["lo"], other["hi"]) == pytest.approx((one.lo, one.hi))
        assert other["scope"] == METHOD


def test_against_the_base_seeds_stand_on_one_side() -> None:
    e = arms(4, grpo=0.5)
    interval = compare(e, "grpo", "base", 1, scope="seeds")
    row = gain_table(e, "base").set_index("k").loc[1]
    assert interval.method == OWN_SEEDS
    assert row["lo"] < interval.lo < interval.hi < row["hi"]  # the table's covers problems too


def test_few_seeds_are_warned_of() -> None:
    few, enough = (compare(arms(s, grpo=0.0, a_grae=0.3), "a_grae", "grpo", 1, scope="seeds") for s in (4, 5))
    assert few.caution == "4 seeds, fewer than 5: read with care"
    assert enough.caution == ""
    assert compare(arms(1, grpo=0.0), "grpo", "base", 1, scope="checkpoints").caution == ""


def test_data_that_cannot_speak_are_refused() -> None:
    e = arms(1, grpo=0.0, a_grae=0.3)
    with pytest.raises(FrameError, match=r"bench: Pass@65 does not exist with n = 64 samples a problem; choose k"):
        compare(e, "a_grae", "grpo", 65, scope="checkpoints")
    with pytest.raises(FrameError, match=r"bench: a_grae and grpo have one seed, .* run two or more"):
        compare(e, "a_grae", "grpo", 1, scope="seeds")
    with pytest.raises(FrameError, match="bench: grpo has one seed"):
        compare(e, "grpo", "base", 1, scope="seeds")


def test_what_makes_no_sense_is_refused() -> None:
    e = arms(1, grpo=0.0)
    with pytest.raises(ValueError, match="bench: there is no arm 'dapo'; choose from base, grpo"):
        compare(e, "dapo", "grpo", 1, scope="checkpoints")
    with pytest.raises(ValueError, match="cannot be compared with itself"):
        compare(e, "grpo", "grpo", 1, scope="checkpoints")
    with pytest.raises(
        ValueError, match="scope=samples: there is no such scope; choose from checkpoints, seeds, method"
    ):
        compare(e, "grpo", "base", 1, scope="samples")


def test_without_variation_there_is_no_interval() -> None:
    e = evaluations({"grpo": np.full((3, 40), 64), "a_grae": np.full((3, 40), 64)})
    for scope, method in (("checkpoints", NO_VARIATION), ("method", NO_VARIATION), ("seeds", NO_SPREAD)):
        interval = compare(e, "a_grae", "grpo", 1, scope=scope)
        assert (interval.estimate, interval.method) == (0.0, method)
        assert np.isnan([interval.lo, interval.hi, interval.p_value]).all()


def test_a_declared_family_is_corrected_by_holm() -> None:
    e = arms(5, grpo=0.0, a_grae=0.1, hard_focused=0.3)
    table = compare_family(e, ["a_grae", "hard_focused"], "grpo", [1, 8], scope="seeds")
    assert table[["arm", "k"]].to_numpy().tolist() == [
        ["a_grae", 1], ["a_grae", 8], ["hard_focused", 1], ["hard_focused", 8]
    ]  # fmt: skip
    assert table["p_holm"].to_numpy() == pytest.approx(holm(table["p_value"].to_numpy()))
    assert (table["p_holm"] >= table["p_value"]).all()
    assert set(table["family"]) == {"Holm over 2 arms × 2 k against grpo, scope seeds"}


def test_all_pairs_agree_with_the_gains_and_are_corrected_by_bh() -> None:
    e = arms(1, grpo=0.1, a_grae=0.4, hard_focused=-0.2)
    pairs = pairwise_differences(e)
    assert len(pairs) == 6 * 7  # pairs of 4 arms × the k ≤ 64
    gains = gain_table(e, "base").dropna(subset="estimate").set_index(["arm", "k"])
    ours = pairs[pairs["reference"] == "base"].set_index(["arm", "k"])
    for name in ("estimate", "lo", "hi", "p_value"):
        assert ours[name].to_numpy() == pytest.approx(gains.loc[ours.index, name].to_numpy(), nan_ok=True)
    assert pairs["p_bh"].to_numpy() == pytest.approx(benjamini_hochberg(pairs["p_value"].to_numpy()))


def test_all_pairs_over_seeds_use_the_seeds() -> None:
    pairs = pairwise_differences(arms(5, grpo=0.1, a_grae=0.4), ks=[1, 8], bands=True)
    assert set(pairs["method"]) == {OVER_BOTH, OWN_BOTH}
    assert (pairs["band_lo"] <= pairs["lo"]).all()


def test_the_seed_of_resampling_moves_bands_and_nothing_else() -> None:
    counts = {"base": binomial(DIFFICULTY_P, 1), "grpo": binomial(DIFFICULTY_P + 0.2, 2)}
    rows = [gain_table(evaluations(counts, seed=seed), "base").query("k == 4").iloc[0] for seed in (0, 0, 1)]
    first, again, other = rows
    assert first.equals(again)
    assert (first["lo"], first["hi"]) == (other["lo"], other["hi"])
    assert first["band_lo"] != other["band_lo"]
    assert first["band_lo"] == pytest.approx(other["band_lo"], abs=0.1 * (first["hi"] - first["lo"]))
