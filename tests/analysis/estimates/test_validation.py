"""Greedy accuracy has an interval over the validation's problems, for one seed and for several."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_lab import BENCHMARK, Root, description
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy import optimize, stats

from agrae_lab.runs import read_run
from analysis.estimates.validation import BINOMIAL, SEEDS_AND_PROBLEMS, num_validation_problems
from analysis.figures import a_grae_dynamics, greedy
from analysis.io.study import Study, on_sound_runs

NUM_PROBLEMS = 30


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """GRPO with three seeds, A-GRAE with one. Read only."""
    root = Root(tmp_path_factory.mktemp("validation") / "runs", num_problems=NUM_PROBLEMS, num_samples=4)
    runs = [root.run("grpo", seed) for seed in range(3)] + [root.run("a_grae")]
    return Study("x", "?", tuple(read_run(run.path) for run in runs))


def accuracy(study: Study):
    table = greedy.table(study)
    return table[table["panel"] == greedy.ACCURACY]


def test_a_single_run_has_wilsons_interval(study: Study) -> None:
    """The bounds are the two roots of |p − share| = z·√(p(1 − p)/N)."""
    rows = accuracy(study).query("arm == 'a_grae'")
    assert set(rows["method"]) == {BINOMIAL}
    assert set(rows["problems"]) == {NUM_PROBLEMS}
    z = stats.norm.ppf(0.975)
    for share, lo, hi in rows[["value", "lo", "hi"]].to_numpy(dtype=float):

        def excess(p: float, share: float = share) -> float:
            return (p - share) ** 2 - z**2 * p * (1 - p) / NUM_PROBLEMS

        assert lo == pytest.approx(optimize.brentq(excess, 0.0, share))
        assert hi == pytest.approx(optimize.brentq(excess, share, 1.0))


def test_a_mean_over_seeds_has_both_sources_of_error(study: Study) -> None:
    rows = accuracy(study).query("arm == 'grpo'")
    mean = rows[rows["seed"] == "mean"].iloc[-1]
    values = rows[(rows["seed"] != "mean") & (rows["step"] == mean["step"])]["value"].to_numpy(dtype=float)
    of_seeds = stats.t.ppf(0.975, 2) ** 2 * values.var(ddof=1) / 3
    p = values.mean()
    of_problems = stats.t.ppf(0.975, NUM_PROBLEMS - 1) ** 2 * p * (1 - p) / NUM_PROBLEMS
    half = np.sqrt(of_seeds + of_problems)
    assert mean["method"] == SEEDS_AND_PROBLEMS
    assert mean[["lo", "hi"]].to_numpy(dtype=float) == pytest.approx([max(p - half, 0), min(p + half, 1)])


def test_equal_seeds_at_zero_still_have_an_interval(new_root) -> None:
    root = new_root(num_problems=NUM_PROBLEMS, num_samples=4, num_steps=3)
    runs = [root.run("grpo", seed) for seed in (0, 1)]
    for run in runs:
        metrics = pd.read_parquet(run.metrics_path)
        metrics.assign(greedy_accuracy=metrics["greedy_accuracy"] * 0).to_parquet(run.metrics_path)
    mean = accuracy(Study("x", "?", tuple(runs))).query("seed == 'mean'").iloc[0]
    z = stats.norm.ppf(0.975)
    assert (mean["lo"], mean["hi"]) == pytest.approx((0.0, z**2 / (NUM_PROBLEMS + z**2)))


def test_the_number_of_problems_is_the_validated_benchmarks(new_root) -> None:
    root = new_root(num_problems=NUM_PROBLEMS, num_samples=4, num_steps=3)
    run = root.run("grpo")
    train = run.config["train"]
    assert num_validation_problems(run) == NUM_PROBLEMS
    running = root.run("a_grae", status="interrupted")
    assert num_validation_problems(running) == NUM_PROBLEMS  # of the base model's evaluation
    other = root.run("hard_focused", train={**train, "validate_on": "other"})
    assert num_validation_problems(other) is None
    rows = accuracy(Study("x", "?", (other,)))
    assert rows[["lo", "hi"]].isna().all(axis=None)
    assert "problems)" not in description(greedy, greedy.table(Study("x", "?", (other,))))


def test_a_collapse_is_marked_once_a_run(new_root) -> None:
    """Not also at the final policy, whose row is the first of a series of its own."""
    root = new_root(num_problems=NUM_PROBLEMS, num_samples=4)
    run = root.run("grpo")
    metrics = pd.read_parquet(run.metrics_path)
    collapsed = np.where(metrics["step"] < 15, 1, 14)  # of 16 prompts
    final = np.where(metrics["step"] == metrics["step"].max(), 0.5, np.nan)
    last = {"final_greedy_accuracy": final, "final_greedy_entropy": final}
    metrics.assign(fully_unsolved=collapsed, **last).to_parquet(run.metrics_path)
    rows = accuracy(Study("x", "?", (run,)))
    assert rows["collapse"].sum() == 1
    assert not rows.loc[rows["step"].idxmax(), "collapse"]


def test_a_broken_evaluation_leaves_out_its_run_alone(new_root) -> None:
    root = new_root(num_problems=NUM_PROBLEMS, num_samples=4, num_steps=3)
    whole, broken = root.run("grpo"), root.run("a_grae")
    broken.samples_path(BENCHMARK).write_bytes(b"no Parquet")
    rows, left_out = on_sound_runs(greedy.table, Study("x", "?", (whole, broken)))
    assert set(rows["arm"]) == {"grpo"}
    assert len(left_out) == 1


def test_a_broken_evaluation_of_the_base_model_leaves_the_number_of_problems_unknown(new_root) -> None:
    root = new_root(num_problems=NUM_PROBLEMS, num_samples=4, num_steps=3)
    run = root.run("grpo", status="interrupted")
    run.base_samples_path(BENCHMARK).write_bytes(b"no Parquet")
    assert num_validation_problems(run) is None


def test_the_intervals_are_drawn_and_described(study: Study) -> None:
    table = greedy.table(study)
    rows = table[table["panel"] == greedy.ACCURACY]
    ax = greedy.draw(rows, Figure().subplots())
    drawn = np.concatenate([c.get_segments() for c in ax.collections if isinstance(c, LineCollection)])
    main = rows[(rows["arm"] == "a_grae") | (rows["seed"] == "mean")]
    expected = main[["lo", "hi"]].to_numpy(dtype=float)
    np.testing.assert_allclose(np.sort(drawn[:, :, 1], axis=0), np.sort(expected, axis=0))
    low, high = ax.get_ylim()
    assert low <= main["lo"].min() <= main["hi"].max() <= high
    for figure in (greedy, a_grae_dynamics):
        words = f"Intervals of accuracy ({NUM_PROBLEMS} problems): {BINOMIAL}; {SEEDS_AND_PROBLEMS}."
        assert words in description(figure, figure.table(study))
    assert BENCHMARK in study.benchmarks
