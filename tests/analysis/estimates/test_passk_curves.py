"""Curves, gains and contrasts: what is resampled, and what for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from analysis_lab import BENCHMARK
from evaluated import DIFFICULTY_P, binomial, evaluations
from scipy import stats as scipy_stats

from agrae_lab.runs import Experiment
from analysis.estimates.passk_curves import collect, curve_table, gain_table
from analysis.io.parquet import FrameError
from analysis.io.study import View, load_study
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import (
    BASE_MODEL,
    BONFERRONI,
    CHECKPOINTS,
    METHOD,
    NO_VARIATION,
    OVER_BOTH,
    OVER_PROBLEMS,
    SEEDS,
    SIMULATED,
    TOO_FEW,
    WILSON,
)
from analysis.statistics.passk import KS, pass_at_k


def test_estimates_are_means_over_problems() -> None:
    counts = binomial(DIFFICULTY_P, 1)
    table = curve_table(evaluations({"grpo": counts}))
    expected = pass_at_k(counts, 64, KS).mean(axis=0)
    assert table["estimate"].to_numpy() == pytest.approx(expected, nan_ok=True)
    assert table.loc[table["k"] > 64, "estimate"].isna().all()
    assert table.set_index("k")["no_within_variance"].to_dict() == {k: k > 32 for k in KS}
    assert set(table["scope"]) == {CHECKPOINTS}
    assert set(curve_table(evaluations({"base": counts}))["scope"]) == {BASE_MODEL}


def test_differences_are_paired() -> None:
    """On problems of shared difficulty the paired interval is far narrower than two marginal ones would give."""
    e = evaluations({"base": binomial(DIFFICULTY_P, 1), "grpo": binomial(DIFFICULTY_P + 0.2, 2)})
    marginal = curve_table(e).query("k == 1")
    unpaired = np.sqrt((((marginal["hi"] - marginal["lo"]) / 2) ** 2).sum())
    gain = gain_table(e, "base").query("k == 1").iloc[0]
    assert gain["method"] == OVER_PROBLEMS
    assert (gain["hi"] - gain["lo"]) / 2 < unpaired / 3


def test_paired_interval_covers() -> None:
    """The paired interval of a zero mean difference, 300 simulated benchmarks of 60 problems."""
    hits = 0
    for i in range(300):
        logit_P = np.random.default_rng([9, i]).normal(-1.0, 2.0, 60)
        e = evaluations({"base": binomial(logit_P, 2 * i), "grpo": binomial(logit_P, 2 * i + 1)})
        interval = contrast_intervals(e, [{"grpo": {4: 1.0}, "base": {4: -1.0}}])[0]
        hits += interval.lo <= 0 <= interval.hi
    assert 0.90 <= hits / 300 <= 0.985


def test_seeds_are_the_unit_where_there_are_several() -> None:
    grpo = np.stack([binomial(DIFFICULTY_P + shift, i) for i, shift in enumerate((0.0, 0.3, 0.6))])
    ours = np.stack([binomial(DIFFICULTY_P + shift, 9 + i) for i, shift in enumerate((0.5, 0.9, 0.7))])
    e = evaluations({"grpo": grpo, "a_grae": ours})
    per_seed = [(counts / 64).mean(axis=1) for counts in (ours, grpo)]
    expected = scipy_stats.ttest_rel(*per_seed).confidence_interval(0.95)
    fixed = contrast_intervals(e, [{"a_grae": {1: 1.0}, "grpo": {1: -1.0}}], scope=SEEDS)[0]
    assert (fixed.lo, fixed.hi) == pytest.approx((expected.low, expected.high))
    gain = gain_table(e, "grpo").query("k == 1").iloc[0]
    assert (gain["method"], gain["scope"], gain["seeds"]) == (OVER_BOTH, METHOD, 3)
    assert gain["lo"] < fixed.lo < fixed.hi < gain["hi"]


def test_seed_curves_show_every_seed() -> None:
    grpo = np.stack([binomial(DIFFICULTY_P, i) for i in range(3)])
    table = curve_table(evaluations({"grpo": grpo}))
    assert set(table["seed"]) == {"mean", "0", "1", "2"}
    second = table[(table["seed"] == "1") & (table["k"] == 2)]["estimate"].iloc[0]
    assert second == pytest.approx(pass_at_k(grpo[1], 64, [2]).mean())


def test_gain_over_the_base_carries_the_bases_own_error() -> None:
    """Nearly equal seeds: the interval is at least as wide as the base's sampling error, within or bounded."""
    base = binomial(DIFFICULTY_P, 1)
    grpo = np.stack([binomial(DIFFICULTY_P + 0.5, 2), binomial(DIFFICULTY_P + 0.5, 3)])
    e = evaluations({"base": base, "grpo": grpo})
    for k in (1, 32, 64):
        gain = gain_table(e, "base").set_index("k").loc[k]
        half = (gain["hi"] - gain["lo"]) / 2
        true_P = 1 / (1 + np.exp(-DIFFICULTY_P))
        sampled = np.random.default_rng(0).binomial(64, true_P, (400, 200))
        error = np.std([pass_at_k(c, 64, [k]).mean() for c in sampled])
        assert half > 1.6 * error


def test_one_seed_beside_several_speaks_of_checkpoints() -> None:
    grpo, ours = binomial(DIFFICULTY_P, 1), np.stack([binomial(DIFFICULTY_P + 1, i) for i in (2, 3)])
    gain = gain_table(evaluations({"grpo": grpo, "a_grae": ours}), "grpo").query("k == 1").iloc[0]
    assert gain["scope"] == CHECKPOINTS
    assert gain["estimate"] == pytest.approx((ours[0] - grpo).mean() / 64)  # seed 0 against seed 0


def test_no_variation_gives_wilson_bounds_or_none() -> None:
    solved = np.full(40, 64)
    e = evaluations({"base": solved, "grpo": solved})
    curve = curve_table(e).query("arm == 'grpo' and k == 1").iloc[0]
    assert (curve["estimate"], curve["hi"], curve["method"]) == (1.0, 1.0, WILSON)
    assert 0.90 < curve["lo"] < 0.92  # 40 / (40 + 1.96²)
    gain = gain_table(e, "base").query("k == 1").iloc[0]
    assert (gain["estimate"], gain["method"]) == (0.0, NO_VARIATION)
    assert np.isnan(gain["lo"])


def test_bounds_of_a_share_stay_within_it() -> None:
    nearly = np.stack([np.full(40, c) for c in (64, 64, 40)])
    curve = curve_table(evaluations({"grpo": nearly})).query("seed == 'mean' and k == 1").iloc[0]
    assert curve["hi"] == 1.0


def test_curves_and_verdicts_see_the_same_draw() -> None:
    e = evaluations({"base": binomial(DIFFICULTY_P, 1), "grpo": binomial(DIFFICULTY_P + 0.2, 2)})
    alone = contrast_intervals(e, [{"grpo": {8: 1.0}, "base": {8: -1.0}}])[0]
    row = gain_table(e, "base").set_index("k").loc[8]
    assert (row["lo"], row["hi"]) == pytest.approx((alone.lo, alone.hi))


def test_finished_runs_stand_for_an_arm(new_root) -> None:
    root = new_root(num_problems=10, num_samples=8)
    done, diverged = root.run("grpo", 0), root.run("grpo", 1, status="diverged")
    root.samples("grpo", 1, diverged.samples_path(BENCHMARK))
    alone = root.run("a_grae", status="interrupted")
    root.samples("a_grae", 0, alone.samples_path(BENCHMARK))
    study = load_study(root.path, Experiment("x", "?", (done.key, diverged.key, alone.key)))
    e = collect(study, BENCHMARK)
    assert e is not None
    assert e.seeds == {"grpo": (0,), "a_grae": (0,)}
    assert e.unfinished == {"a_grae"}
    assert e.largest_k == 8


def test_arms_with_another_n_are_refused(new_root) -> None:
    root = new_root(num_problems=10, num_samples=8)
    a = root.run("grpo")
    root.num_samples = 16
    b = root.run("a_grae")
    study = load_study(root.path, Experiment("x", "?", (a.key, b.key)))
    with pytest.raises(FrameError, match=r"cannot be compared: n is 8 in .* but 16"):
        collect(study, BENCHMARK)


def test_runs_from_two_bases_have_no_base(new_root) -> None:
    from agrae_lab.runs import update_meta

    root = new_root(num_problems=10, num_samples=8)
    a, b = root.run("grpo"), root.run("a_grae")
    other = f"base/ffff/{BENCHMARK}/samples.parquet"
    root.samples("base", 1, root.path / other)
    update_meta(b.path, base_eval={BENCHMARK: other})
    study = load_study(root.path, Experiment("x", "?", (a.key, b.key)))
    e = collect(study, BENCHMARK)
    assert e is not None
    assert "base" not in e.correct
    assert e.notes == (f"{BENCHMARK}: the runs start from 2 different base models, so none is drawn",)


def test_gains_without_their_reference_are_empty() -> None:
    assert gain_table(evaluations({"grpo": binomial(DIFFICULTY_P, 1)}), "base").equals(pd.DataFrame())


def shifted(*shifts: float, num_seeds: int = 1) -> dict[str, np.ndarray]:
    """The base, and arms whose logits are shifted; seeds differ by 0.1."""
    arms = {"base": binomial(DIFFICULTY_P, 1)}
    for i, shift in enumerate(shifts):
        own_S = np.random.default_rng(i).normal(0, 0.1, num_seeds)
        arms[f"arm{i}"] = np.stack([binomial(DIFFICULTY_P + shift + own, 50 * i + s) for s, own in enumerate(own_S)])
    return arms


def test_bands_hold_for_the_whole_table_and_contain_their_intervals() -> None:
    gains = gain_table(evaluations(shifted(0.1, 0.5, 1.0)), "base").dropna(subset="estimate")
    assert ((gains["band_lo"] <= gains["lo"]) & (gains["hi"] <= gains["band_hi"])).all()
    assert set(gains["band"]) == {f"{SIMULATED}, over 21 cells of 3 arms and 7 k at once"}
    curves = curve_table(evaluations(shifted(0.1)))
    left_out = curves[curves["estimate"].notna() & curves["band_lo"].isna()]
    assert left_out[["k", "band", "method"]].to_numpy().tolist() == [[64, TOO_FEW, WILSON]]  # 5 of 200 unsolved
    assert left_out["estimate"].iloc[0] == pytest.approx(1 - 5 / 200)
    assert left_out["lo"].notna().all()
    assert curves.loc[curves["k"] > 64, ["band_lo", "band_hi"]].isna().all(axis=None)
    assert curves[["band_lo", "band_hi"]].stack().dropna().between(0, 1).all()


def test_more_arms_widen_the_bands() -> None:
    arms = shifted(0.1, 0.5, 1.0, -0.3, 0.8, 1.2)
    alone = gain_table(evaluations({name: arms[name] for name in ("base", "arm0")}), "base").set_index("k")
    among = gain_table(evaluations(arms), "base").query("arm == 'arm0'").set_index("k")
    assert (among["band_hi"] - among["band_lo"]).loc[4] > 1.1 * (alone["band_hi"] - alone["band_lo"]).loc[4]
    assert (among["lo"].loc[4], among["hi"].loc[4]) == pytest.approx((alone["lo"].loc[4], alone["hi"].loc[4]))


def test_what_rests_on_a_handful_of_problems_has_no_band_and_does_not_widen_others() -> None:
    base = binomial(DIFFICULTY_P, 1)
    hardly = base.copy()
    hardly[np.flatnonzero((base > 0) & (base < 64))[:3]] += 1
    e = evaluations({"base": base, "grpo": binomial(DIFFICULTY_P + 0.3, 2), "hardly": hardly})
    gains = gain_table(e, "base").dropna(subset="estimate")
    rare = gains[gains["arm"] == "hardly"]
    assert set(rare["band"]) - {NO_VARIATION} == {TOO_FEW}
    assert rare[["band_lo", "band_hi"]].isna().all(axis=None)
    assert rare["lo"].isna().all()
    without = gain_table(replace(e, correct={arm: e.correct[arm] for arm in ("base", "grpo")}), "base").dropna()
    with_rare = gains[gains["arm"] == "grpo"]
    assert with_rare["band_hi"].to_numpy() == pytest.approx(without["band_hi"].to_numpy(), abs=1e-6)


def test_bands_over_seeds() -> None:
    gains = gain_table(evaluations(shifted(0.1, 0.5, num_seeds=5)), "arm0").dropna(subset="estimate")
    assert set(gains["band"]) == {f"{SIMULATED}, over 7 cells of 1 arm and 7 k at once"}
    assert ((gains["band_lo"] <= gains["lo"]) & (gains["hi"] <= gains["band_hi"])).all()
    few = gain_table(evaluations(shifted(0.1, 0.5, num_seeds=3)), "base").dropna(subset="estimate")
    assert set(few["band"]) == {f"{BONFERRONI}, over 14 cells of 2 arms and 7 k at once"}


def test_no_variation_has_no_band() -> None:
    solved = np.full(40, 64)
    table = curve_table(evaluations({"base": solved, "grpo": np.stack([solved, solved])}))
    assert table[["band_lo", "band_hi"]].isna().all(axis=None)
    assert set(table.loc[(table["arm"] == "base") & (table["k"] <= 64), "band"]) == {NO_VARIATION}
    assert gain_table(evaluations({"base": solved, "grpo": solved}), "base")["band_lo"].isna().all()


def test_bands_take_the_views_seed(demo_root) -> None:
    from agrae_lab.runs import list_experiments

    study = load_study(demo_root.path, list_experiments(demo_root.path)[0])
    e = collect(replace(study, view=View(seed=7)), BENCHMARK)
    default = collect(study, BENCHMARK)
    assert e is not None
    assert default is not None
    assert (e.seed, default.seed) == (7, 0)
    assert curve_table(e)["estimate"].equals(curve_table(default)["estimate"])
    assert curve_table(e)["lo"].equals(curve_table(default)["lo"])
    assert not curve_table(e)["band_lo"].equals(curve_table(default)["band_lo"])


def test_arms_with_another_n_are_cut_to_what_all_have_where_asked(new_root) -> None:
    root = new_root(num_problems=10, num_samples=8)
    a = root.run("grpo")
    root.num_samples = 16
    b = root.run("a_grae")
    study = load_study(root.path, Experiment("x", "?", (a.key, b.key)))
    e = collect(replace(study, view=View(intersect=True)), BENCHMARK)
    assert e is not None
    assert e.num_samples == 8
    assert max(counts.max() for counts in e.correct.values()) <= 8
    assert [note for note in e.notes if "--intersect" in note]


def test_gains_have_p_values_that_agree_with_their_intervals() -> None:
    gains = gain_table(evaluations(shifted(0.02, 0.2, 1.0, num_seeds=5)), "arm0").dropna(subset="p_value")
    assert len(gains) == 14
    assert ((gains["p_value"] < 0.05) == ((gains["lo"] > 0) | (gains["hi"] < 0))).all()
