"""The collapse detector: what it finds, what it leaves alone, and how sure exact counts are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_lab import Root
from scipy.stats import barnard_exact, binom, binomtest

from analysis.io.study import Study
from analysis.statistics.collapse import DIVERGED, GREEDY, UNSOLVED, collapse_table, detect, least_denominator
from analysis.statistics.proportions import difference_interval, share_interval
from tests.public_data import LOGS


def run(unsolved: np.ndarray, prompts: int = 64, greedy: np.ndarray | None = None, every: int = 8) -> pd.DataFrame:
    """Metrics of a run; greedy accuracy at every eighth step."""
    accuracy = np.full(len(unsolved), np.nan)
    if greedy is not None:
        accuracy[::every] = greedy
    steps = np.arange(1, len(unsolved) + 1)
    return pd.DataFrame(
        {"step": steps, "fully_unsolved": unsolved, "num_prompts": prompts, "greedy_accuracy": accuracy}
    )


def jump(low: float, high: float, *, steps: int = 80, at: int = 40, over: int = 1) -> np.ndarray:
    """Share by step: low, then high from step `at` on, reached over so many steps."""
    return low + (high - low) * np.clip((np.arange(1, steps + 1) - at + 1) / over, 0, 1)


def batches(share: np.ndarray, prompts: int = 64, key: int = 0) -> pd.DataFrame:
    return run(np.random.default_rng([7, key]).binomial(prompts, share), prompts)


STABLE = np.full(80, 20)


def test_a_sudden_rise_that_stays_is_found_at_its_step() -> None:
    found = detect(run(np.where(np.arange(1, 81) < 40, 16, 60)))
    assert found is not None
    assert (found.step, found.sign) == (40, UNSOLVED)
    assert (found.before, found.after) == (0.25, 0.9375)
    noisy = detect(batches(jump(0.3, 0.8)))
    assert noisy is not None
    assert abs(noisy.step - 40) <= 1


def test_a_step_without_a_number_hides_no_collapse() -> None:
    unsolved = np.where(np.arange(1, 81) < 40, 16.0, 60.0)
    unsolved[3] = np.nan
    found = detect(run(unsolved))
    assert found is not None
    assert (found.step, found.before, found.after) == (40, 0.25, 0.9375)


def test_a_fall_of_greedy_accuracy_that_stays_is_found_at_its_validation() -> None:
    greedy = np.array([52, 60, 62, 64, 61, 15, 12, 16, 14, 15]) / 128
    found = detect(run(STABLE, greedy=greedy))
    assert found is not None
    assert (found.step, found.sign) == (41, GREEDY)
    assert found.before == pytest.approx((62 + 64 + 61) / 3 / 128)
    assert found.after == pytest.approx((15 + 12 + 16) / 3 / 128)


def test_of_two_signs_the_earlier_counts() -> None:
    greedy = np.array([60, 60, 62, 64, 61, 15, 12, 16, 14, 15]) / 128
    late, early = (np.where(np.arange(1, 81) < at, 16, 60) for at in (50, 30))
    assert detect(run(late, greedy=greedy)).sign == GREEDY
    assert detect(run(early, greedy=greedy)).sign == UNSOLVED


@pytest.mark.parametrize(
    ("share", "why"),
    [
        (np.linspace(0.2, 0.6, 200), "a slow decline"),
        (np.where((np.arange(80) > 30) & (np.arange(80) < 40), 0.9, 0.25), "a bad stretch that ends"),
        (jump(0.25, 0.9, at=77), "hardly a step left"),
        (np.where(np.arange(12) < 6, 0.25, 0.9), "too short to say"),
        (jump(0.25, 0.29), "less than 5 % of the batch"),
        (np.where(np.arange(80) < 8, 0.8, jump(0.2, 0.25)), "worse at the start"),
        (np.concatenate([np.full(20, 0.9), np.full(10, 0.3), np.full(50, 0.31)]), "recovery, then level"),
    ],
)
def test_what_is_no_collapse(share: np.ndarray, why: str) -> None:
    assert detect(run(np.rint(share * 1024), prompts=1024)) is None, why


def test_what_counts_depends_on_the_size_of_the_batch() -> None:
    """From 25 % to 35 %: 4 standard errors of two means of 5 batches are 16 % of 64 prompts, 4.1 % of 1,024."""
    share = jump(0.25, 0.35)
    assert detect(run(np.rint(share * 64), prompts=64)) is None
    assert detect(run(np.rint(share * 1024), prompts=1024)) is not None


@pytest.mark.parametrize("steps", [0, 1, 5, 14])
def test_short_and_empty_runs_have_none(steps: int) -> None:
    assert detect(run(np.where(np.arange(steps) < 7, 0, 64))) is None
    untested = run(STABLE).assign(greedy_accuracy=None)  # never validated
    assert detect(untested) is None


def test_the_number_of_problems_is_the_least_that_fits() -> None:
    assert least_denominator(np.array([0.25, 0.5, 0.75])) == 4
    assert least_denominator(np.array([61, 60, 53]) / 128) == 128
    assert least_denominator(np.array([3663, 3706, 3716]) / 4994) == 4994
    assert least_denominator(np.array([3663, 3706, 3716]) / 4994.0 + 1e-9) == 4994  # as printed with nine digits
    assert least_denominator(np.array([np.pi / 4, 0.5, np.sqrt(0.5), 1 / np.e])) is None
    shaky = run(STABLE, greedy=np.repeat([0.7853981, 0.1234567], 5) + np.sqrt(np.arange(10)) / 977)
    assert detect(shaky) is None  # no share of a number of problems, so not judged


def test_greedy_noise_of_few_problems_is_no_collapse() -> None:
    """One problem of thirty fewer, for good, is a tenth of the accuracy but within the noise of thirty problems."""
    assert detect(run(STABLE, greedy=np.array([10] * 5 + [9] * 5) / 30)) is None
    assert detect(run(STABLE, greedy=np.array([3811, 3809, 3810, 3807, 3813, *[3650] * 5]) / 5000)) is not None


def test_the_table_names_every_run_and_counts_diverged_ones(tmp_path: Path) -> None:
    root = Root(tmp_path / "runs", num_problems=5, num_samples=4)
    runs = (root.run("grpo"), root.run("grpo", 1, status="diverged", steps=12), root.run("a_grae", status="running"))
    table = collapse_table(Study("x", "?", runs)).set_index(["arm", "seed"])
    assert table["collapsed"].to_dict() == {("grpo", 0): False, ("grpo", 1): True, ("a_grae", 0): False}
    assert table.loc[("grpo", 1), ["step", "sign", "steps"]].tolist() == [12, DIVERGED, 12]
    assert table["observable"].all()
    short = (root.run("hard_focused", steps=14), root.run("easy_focused", steps=15))
    assert collapse_table(Study("x", "?", short))["observable"].tolist() == [False, True]  # 5 values, then 10
    assert collapse_table(Study("x", "?", ())).empty


@pytest.mark.parametrize(
    ("share", "prompts"),
    [(0.2 + 0.1 * np.exp(-np.arange(140) / 28), 64), (np.full(140, 0.5), 64), (np.full(140, 0.06), 1024)],
)
def test_stable_runs_hardly_ever_raise_an_alarm(share: np.ndarray, prompts: int) -> None:
    assert sum(detect(batches(share, prompts, key)) is not None for key in range(100)) <= 1


@pytest.mark.parametrize(
    ("low", "high", "over", "prompts", "least"),
    [(0.3, 0.5, 1, 64, 0.97), (0.3, 0.45, 1, 64, 0.75), (0.3, 0.5, 10, 64, 0.8), (0.06, 0.16, 10, 1024, 0.97)],
)
def test_power_and_place(low: float, high: float, over: int, prompts: int, least: float) -> None:
    found = [detect(batches(jump(low, high, steps=140, at=70, over=over), prompts, key)) for key in range(40)]
    steps = np.array([collapse.step for collapse in found if collapse is not None])
    assert len(steps) >= least * 40
    assert abs(np.median(steps) - 70) <= (1 if over == 1 else 7)


@pytest.mark.slow
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.8])
@pytest.mark.parametrize(("num_problems", "rate"), [(30, 0.3), (128, 0.45)])
def test_level_greedy_accuracy_raises_no_alarm(kept: float, num_problems: int, rate: float) -> None:
    rng = np.random.default_rng([9, num_problems, int(10 * kept)])

    def accuracy(validations: int = 20) -> np.ndarray:
        chance_N = rng.beta(0.4, 0.4 * (1 - rate) / rate, num_problems)
        solved_N, values = rng.random(num_problems) < chance_N, []
        for _ in range(validations):
            solved_N = np.where(rng.random(num_problems) < kept, solved_N, rng.random(num_problems) < chance_N)
            values.append(solved_N.mean())
        return np.array(values)

    assert sum(detect(run(np.full(160, 20), greedy=accuracy())) is not None for _ in range(300)) <= 1


def official(name: str) -> pd.DataFrame:
    return pd.read_csv(LOGS / name)


def test_the_authors_stable_series_raise_no_alarm() -> None:
    unsolved = official("train_fully_unsolved_easyfocused_hardfocused_grpo.csv")
    for column in unsolved.columns[1:]:
        assert detect(run(unsolved[column].to_numpy(), prompts=1024)) is None
    for name in (
        "math_test_accuracy_easyfocused_hardfocused_grpo",
        "fig9right_negdom_stable_vs_collapse_math_test_accuracy",
    ):
        accuracy = official(f"{name}.csv")
        for column in [c for c in accuracy.columns[1:] if c != "collapse"]:
            assert detect(on_the_grid(accuracy, column)) is None


def test_the_authors_collapsed_test_accuracy_is_found_where_it_falls() -> None:
    """A reference of shape alone: several of its values are no share of the test set's 4,994 problems as they stand."""
    found = detect(on_the_grid(official("fig9right_negdom_stable_vs_collapse_math_test_accuracy.csv"), "collapse"))
    assert found is not None
    assert (found.step, found.sign) == (84, GREEDY)


def on_the_grid(accuracy: pd.DataFrame, column: str) -> pd.DataFrame:
    """A logged accuracy, to the nearest share of 4,994 problems, in a run of which nothing else is known."""
    shares = (accuracy[column] * 4994).round() / 4994
    return pd.DataFrame({"step": accuracy["Step"], "fully_unsolved": 0, "num_prompts": 1, "greedy_accuracy": shares})


@pytest.mark.parametrize(("count", "trials"), [(0, 10), (3, 10), (10, 10), (0, 1)])
def test_an_exact_share_is_clopper_and_pearson_s(count: int, trials: int) -> None:
    """The bounds are where 2.5 % of either tail is left; all bounds of 3 of 10 and 0 of 10 as in published tables."""
    interval = share_interval(count, trials)
    assert interval.estimate == count / trials
    for bound, tail in (
        (interval.lo, binom.sf(count - 1, trials, interval.lo)),
        (interval.hi, binom.cdf(count, trials, interval.hi)),
    ):
        assert bound in (0.0, 1.0) or tail == pytest.approx(0.025)
    if trials == 10 and count < 10:
        known = {3: (0.0667, 0.6525), 0: (0.0, 0.3085)}[count]
        assert (interval.lo, interval.hi) == pytest.approx(known, abs=1e-4)
    assert interval.num_seeds == trials


def test_without_runs_there_is_no_interval() -> None:
    assert np.isnan(share_interval(0, 0).estimate)
    assert np.isnan(difference_interval(0, 0, 1, 3).lo)


@pytest.mark.parametrize(("trials", "others"), [(3, 3), (5, 4)])
def test_a_difference_excludes_zero_where_barnard_s_test_rejects(trials: int, others: int) -> None:
    """SciPy's test is the oracle; where its p is within 0.005 of the level, its search for the worst rate decides."""
    for count in range(trials + 1):
        for other in range(others + 1):
            interval = difference_interval(count, trials, other, others)
            table = [[count, other], [trials - count, others - other]]
            p_value = barnard_exact(table, alternative="greater").pvalue
            if abs(p_value - 0.025) > 0.005:
                assert (interval.lo > 0) == (p_value < 0.025)
            assert interval.lo <= interval.estimate + 1e-9
            assert interval.hi >= interval.estimate - 1e-9


def test_a_difference_turns_its_sign_with_its_arms() -> None:
    one, two = difference_interval(3, 10, 0, 10), difference_interval(0, 10, 3, 10)
    assert (one.lo, one.hi) == (-two.hi, -two.lo)
    assert one.lo < 0 < one.hi  # the paper's own counts do not tell its two arms apart


@pytest.mark.parametrize(("rate", "other"), [(0.3, 0.0), (0.5, 0.5), (0.8, 0.3)])
def test_an_exact_difference_covers_at_least_as_often_as_it_says(rate: float, other: float) -> None:
    trials, covered = 6, 0.0
    for count in range(trials + 1):
        for other_count in range(trials + 1):
            interval = difference_interval(count, trials, other_count, trials)
            weight = binom.pmf(count, trials, rate) * binom.pmf(other_count, trials, other)
            covered += weight * (interval.lo - 1e-9 <= rate - other <= interval.hi + 1e-9)
    assert covered >= 0.95


def test_scipy_s_interval_is_the_one_we_name() -> None:
    ours = share_interval(2, 7)
    theirs = binomtest(2, 7).proportion_ci(method="exact")
    assert (ours.lo, ours.hi) == (theirs.low, theirs.high)
