"""Series over steps: what is averaged, smoothed, marked; and that the per-step figures draw what their tables say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from analysis_lab import Root, description
from matplotlib.figure import Figure

from agrae_lab.runs import Run, read_run
from analysis.estimates.step_series import metric_by_seed, moving_mean, series_table
from analysis.figures import a_grae_dynamics, collapse, find, greedy, mass_by_sign, p_histogram
from analysis.io.parquet import FrameError
from analysis.io.study import Study, View
from analysis.presentation.render import build, render
from analysis.presentation.style import STYLE, label

entropy, correct_counts, fully_unsolved, omega = map(find, ("entropy", "correct_counts", "fully_unsolved", "omega"))
STEP_FIGURES = (a_grae_dynamics, correct_counts, entropy, fully_unsolved, greedy, mass_by_sign, omega)


def change_metrics(run: Run, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Run:
    change(pd.read_parquet(run.metrics_path)).to_parquet(run.metrics_path)
    return run


def break_down(metrics: pd.DataFrame) -> pd.DataFrame:
    """From step 20 on, hardly a prompt is solved."""
    bad = metrics["step"] >= 20
    return metrics.assign(fully_unsolved=metrics["fully_unsolved"].where(~bad, metrics["num_prompts"] - 1))


def study_of(runs: list[Run], **view: Any) -> Study:
    return Study("x", "?", tuple(read_run(run.path) for run in runs), view=View(**view))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """GRPO with three seeds, one diverged; Negative-Dominant with two, one collapsed; A-GRAE with one. Read only."""
    root = Root(tmp_path_factory.mktemp("series") / "runs", num_problems=5, num_samples=4)
    runs = [root.run("grpo", seed) for seed in (0, 1)] + [root.run("grpo", 2, status="diverged", steps=15)]
    runs += [root.run("negative_dominant", 0), change_metrics(root.run("negative_dominant", 1), break_down)]
    return study_of([*runs, root.run("a_grae")])


def drawn(figure: Figure, panel: int = 0) -> dict[str, np.ndarray]:
    """Label → [N, 2] of the labelled lines of a panel."""
    lines = figure.axes[panel].get_lines()
    return {str(line.get_label()): np.column_stack(line.get_data()).astype(float) for line in lines}


def figure_of(module: ModuleType, table: pd.DataFrame) -> Figure:
    with mpl.rc_context(STYLE):
        return build(module, table)


def csv_of(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return the table as read back from its CSV."""
    table.to_csv(folder / "figure.csv", index=False)
    return pd.read_csv(folder / "figure.csv", keep_default_na=False, na_values={"lo": "", "hi": ""})


def test_a_mean_is_over_the_finished_seeds_at_shared_steps(study: Study) -> None:
    table = series_table(study, "entropy")
    mean = table[(table["arm"] == "grpo") & (table["seed"] == "mean")]
    singles = table[(table["arm"] == "grpo") & table["seed"].isin(["0", "1"])].pivot(
        index="step", columns="seed", values="value"
    )
    assert mean["value"].to_numpy() == pytest.approx(singles.mean(axis=1).to_numpy())
    half = 12.706205 * singles.std(axis=1) / np.sqrt(2)  # t(0.975, 1 df)
    assert mean["hi"].to_numpy() == pytest.approx((singles.mean(axis=1) + half).to_numpy())
    assert mean["lo"].to_numpy() == pytest.approx(np.maximum(singles.mean(axis=1) - half, 0).to_numpy())
    assert not ((table["arm"] == "a_grae") & (table["seed"] == "mean")).any()
    assert list(metric_by_seed(study, "entropy")["grpo"].columns) == ["0", "1"]


def test_bounds_of_what_may_be_negative_are_not_cut(new_root) -> None:
    root = new_root(num_problems=5, num_samples=4)
    runs = [
        change_metrics(root.run("grpo", seed), lambda m, s=seed: m.assign(omega=np.where(s, 0.5, -0.5)))
        for seed in (0, 1)
    ]
    mean = series_table(study_of(runs), "omega").query("seed == 'mean'")
    assert mean["value"].abs().max() == 0
    assert mean["lo"].max() < -1


def test_a_ratio_is_taken_step_by_step_before_the_mean(study: Study) -> None:
    ratio = series_table(study, "correct_count", over="num_completions")
    assert ratio["value"].to_numpy() == pytest.approx(series_table(study, "omega")["value"].to_numpy())


def test_nothing_is_smoothed_unless_asked_for(study: Study) -> None:
    table = entropy.table(study)
    assert table[["smooth", "window"]].isna().all(axis=None)
    assert "Recorded values, no smoothing." in description(entropy, table)


def test_a_moving_mean_is_centred_and_cut_at_the_ends(study: Study) -> None:
    table = entropy.table(replace(study, view=View(smooth=5)))
    line = table[(table["arm"] == "a_grae")]
    assert np.isnan(line["smooth"].to_numpy()[[0, 1, -2, -1]]).all()
    values = line["value"].to_numpy()
    assert line["smooth"].to_numpy()[2:-2] == pytest.approx(np.convolve(values, np.full(5, 0.2), "valid"))
    caption = description(entropy, table)
    assert "Lines: the requested centred moving mean over 5 steps. Thinner lines: the recorded values" in caption


def test_the_smooth_line_lies_over_the_recorded_one_which_is_thinner(study: Study) -> None:
    table = entropy.table(replace(study, view=View(smooth=5)))
    lines = figure_of(entropy, table).axes[0].get_lines()
    row = table[table["arm"] == "a_grae"]
    smooth = next(line for line in lines if line.get_label() == "A-GRAE")
    assert np.column_stack(smooth.get_data()) == pytest.approx(row.dropna(subset="smooth")[["step", "smooth"]].values)
    raw = [line for line in lines if np.array_equal(line.get_ydata(), row["value"])]
    assert len(raw) == 1
    assert raw[0].get_linewidth() < smooth.get_linewidth()
    assert raw[0].get_zorder() <= smooth.get_zorder()
    assert list(lines).index(raw[0]) < list(lines).index(smooth)  # drawn before it


def test_a_window_counts_steps_not_recorded_values() -> None:
    line = pd.DataFrame({"step": [1, 9, 17, 25], "value": [1.0, 2.0, 3.0, 7.0]}, index=[4, 5, 6, 7])
    assert moving_mean(line, 5).dropna().to_dict() == {5: 2.0, 6: 3.0}  # one value to a window: no change
    assert moving_mean(line, 17).dropna().to_dict() == {5: 2.0, 6: 4.0}


@pytest.mark.parametrize("window", [0, 1, 2, 4])
def test_a_window_without_a_centre_is_refused(study: Study, window: int) -> None:
    with pytest.raises(FrameError, match=f"smooth={window}: .* an odd number of at least 3 steps"):
        series_table(replace(study, view=View(smooth=window)), "entropy")


def test_a_run_shorter_than_the_window_says_so(study: Study) -> None:
    table = entropy.table(replace(study, view=View(smooth=101)))
    assert "the runs are too short for the requested centred moving mean over 101 steps" in description(entropy, table)
    assert "A-GRAE" in drawn(figure_of(entropy, table))


def test_unfinished_runs_end_in_a_cross_and_enter_no_mean(study: Study) -> None:
    table = entropy.table(study)
    lines = {line.get_label(): line for line in figure_of(entropy, table).axes[0].get_lines()}
    broken_off = lines["GRPO (diverged)"]
    assert (broken_off.get_marker(), broken_off.get_markevery()) == ("x", [-1])
    assert len(broken_off.get_xdata()) == 15
    assert len(lines["GRPO"].get_xdata()) == 36
    assert "that diverged or is unfinished. No mean includes it" in description(entropy, table)


def test_a_collapse_is_ringed_at_its_step_in_every_step_figure(study: Study) -> None:
    for module in (entropy, correct_counts, fully_unsolved, omega):
        table = module.table(study)
        marks = table[table["collapse"]]
        seeds = set(zip(marks["arm"], marks["seed"], strict=True))
        assert seeds == {("negative_dominant", "1"), ("grpo", "2")}  # the diverged one at its last step
        assert dict(zip(marks["arm"], marks["step"], strict=True)) == {"negative_dominant": 20, "grpo": 15}
        rings = drawn(figure_of(module, table))["collapse"]
        assert rings == pytest.approx(marks[["step", "value"]].to_numpy(dtype=float))
        assert "Collapse: fully unsolved prompts of 5 steps" in description(module, table)
    greedy_marks = greedy.table(study).query("collapse and arm == 'negative_dominant'")
    assert greedy_marks["step"].tolist() == [25, 25]  # the first validation from step 20 on


@pytest.mark.parametrize("module", STEP_FIGURES, ids=lambda module: module.NAME)
def test_picture_and_csv_agree(module: ModuleType, study: Study, tmp_path: Path) -> None:
    """Every arm's labelled line, in every panel, is its mean or its only run in the CSV; intervals are its lo and hi.

    Entropies and masses have intervals at some steps, accuracies at all. Counts have none: their panel of paired
    differences has, and test_step_differences.py reads those differences.
    """
    table = module.table(study)
    csv, figure = csv_of(table, tmp_path), figure_of(module, table)
    assert len(csv["panel"].unique()) == len(figure.axes)
    for i, panel in enumerate(csv["panel"].unique()):
        lines = drawn(figure, i)
        segments = [s[:, 1] for c in figure.axes[i].collections for s in c.get_segments()]
        arms = csv[csv["panel"] == panel].groupby("arm")
        assert len(arms) >= 1 + (i == 0)
        for arm, rows in arms:
            mean = rows[rows["seed"] == "mean"]
            expected = mean if len(mean) else rows
            assert lines[label(arm)] == pytest.approx(expected[["step", "value"]].to_numpy(dtype=float))
            if len(mean) and not getattr(module, "paired", False):
                corners = mean[["lo", "hi"]].to_numpy(dtype=float)
                found = [pair for pair in segments if np.isclose(corners, pair).all(axis=1).any()]
                assert len(found) >= min(len(mean), 5)


def test_the_mass_of_each_sign_is_compared_with_grpo_s_on_the_same_rewards(study: Study) -> None:
    table = mass_by_sign.table(study)
    ratio = table[table["kind"] == "ratio"].groupby(["arm", "panel"])["value"].agg(["min", "max"])
    assert ratio.loc["grpo"].to_numpy() == pytest.approx(1.0)
    assert ratio.loc[("negative_dominant", "Positive advantages, relative")].to_numpy() == pytest.approx(0.1)
    assert ratio.loc[("negative_dominant", "Negative advantages, relative")].to_numpy() == pytest.approx(1.0)


def test_rounding_of_a_ratio_is_no_curve(study: Study) -> None:
    """Recorded masses are sums in single precision, so that a ratio of exactly 1 comes out as 1 ± 1e-7."""
    table = mass_by_sign.table(study)
    rounded = np.random.default_rng(0).normal(1.0, 1e-7, len(table))
    flat = table.assign(**dict.fromkeys(("value", "lo", "hi"), rounded))[table["panel"].str.endswith("relative")]
    with mpl.rc_context(STYLE):
        axes = build(mass_by_sign, flat).axes
    for ax in axes:
        low, high = ax.get_ylim()
        assert low < 0.9
        assert high > 1.1


def test_figure_10_is_of_the_two_arms_and_needs_both(study: Study) -> None:
    table = a_grae_dynamics.table(study)
    assert set(table["arm"]) == {"grpo", "a_grae"}
    assert list(table["panel"].unique()) == ["Training entropy", "Test entropy", "Greedy accuracy"]
    assert a_grae_dynamics.table(replace(study, runs=study.runs[:3])).empty


def test_the_heat_map_is_the_mean_histogram(study: Study, tmp_path: Path) -> None:
    table = p_histogram.table(study)
    assert list(table["panel"].unique()) == ["GRPO", "Negative-Dominant", "A-GRAE"]
    histograms = [
        np.stack(pd.read_parquet(run.metrics_path)["p_histogram"]) for run in study.arms["grpo"] if run.status == "done"
    ]
    mean_TC = np.mean(histograms, axis=0)
    cells = table[table["arm"] == "grpo"].pivot(index="correct", columns="step", values="value")
    assert cells.to_numpy() == pytest.approx(mean_TC.T)
    assert cells.sum().to_numpy() == pytest.approx(16)  # every prompt of the batch is in one cell
    figure = figure_of(p_histogram, table)
    mesh = figure.axes[0].collections[0]
    assert np.asarray(mesh.get_array()) == pytest.approx(mean_TC.T)
    colours = {(ax.collections[0].norm.vmin, ax.collections[0].norm.vmax) for ax in figure.axes[:3]}
    assert colours == {(0.0, table["value"].max())}  # one scale
    assert csv_of(table, tmp_path)["value"].to_numpy() == pytest.approx(table["value"].to_numpy())
    caption = p_histogram.caption(table)
    assert "Mean over seeds (GRPO 2, Negative-Dominant 2, A-GRAE 1); the CSV has the t interval" in caption
    two = table[table["arm"] == "grpo"]
    half = 12.706205 * np.std(histograms, axis=0, ddof=1) / np.sqrt(2)
    assert (two["hi"] - two["value"]).to_numpy() == pytest.approx(half.ravel(), abs=1e-5)
    assert table.loc[table["arm"] == "a_grae", "lo"].isna().all()


def test_long_runs_are_thinned_in_the_heat_map_and_unfinished_arms_named(new_root) -> None:
    root = new_root(num_problems=5, num_samples=4, num_steps=230)
    table = p_histogram.table(study_of([root.run("grpo", status="running")]))
    assert table["step"].unique().tolist() == list(range(1, 231, 3))
    assert list(table["panel"].unique()) == ["GRPO (unfinished)"]
    assert "One step in 3" in description(p_histogram, table)
    assert "without a finished run" in description(p_histogram, table)


def test_figure_9_tells_collapsed_runs_from_stable_ones(study: Study, tmp_path: Path) -> None:
    rendered = render(collapse, study, tmp_path)
    assert (
        "GRPO 1 of 3 [1 %, 91 %]; Negative-Dominant 1 of 2 [1 %, 99 %]; A-GRAE 0 of 1 [0 %, 98 %]" in rendered.caption
    )
    assert "Collapse: fully unsolved prompts" in rendered.details
    csv = pd.read_csv(tmp_path / "collapse.csv")
    figure = figure_of(collapse, collapse.table(study))
    assert [ax.get_title() for ax in figure.axes] == ["Fully unsolved prompts", "Test accuracy"]
    for i, panel in enumerate(csv["panel"].unique()):
        lines, rows = drawn(figure, i), csv[csv["panel"] == panel]
        for name, arm, seed in (
            ("Negative-Dominant", "negative_dominant", 0),
            ("Negative-Dominant (collapsed)", "negative_dominant", 1),
            ("GRPO (collapsed, diverged)", "grpo", 2),
            ("A-GRAE", "a_grae", 0),
        ):
            run = rows[(rows["arm"] == arm) & (rows["seed"] == seed)]
            assert lines[name] == pytest.approx(run[["step", "value"]].to_numpy(dtype=float))
        marks = rows[rows["collapse"]][["step", "value"]].to_numpy(dtype=float)
        assert len(marks) == 2
        assert lines["collapse"] == pytest.approx(marks)
    weights = {line.get_label(): line.get_linewidth() for line in figure.axes[0].get_lines()}
    assert weights["Negative-Dominant (collapsed)"] > weights["Negative-Dominant"]


def test_arms_with_the_same_count_share_a_sentence(new_root) -> None:
    root = new_root(num_problems=5, num_samples=4)
    table = collapse.table(study_of([root.run("grpo"), root.run("a_grae")]))
    assert "each arm 0 of 1 [0 %, 98 %]" in collapse.caption(table)
    assert not table["collapse"].any()
    running = collapse.table(study_of([root.run("hard_focused", status="running", steps=4)]))
    assert "none has ended" in collapse.caption(running)
