"""Differences of arms that share their prompts: what is paired, what is averaged, and what is drawn of them."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from analysis_lab import Root, description
from scipy import stats

from agrae_lab.runs import Run, read_run
from analysis.estimates.step_differences import BLOCKS, step_differences
from analysis.figures import find
from analysis.io.study import Study
from analysis.presentation.render import build
from analysis.presentation.style import STYLE

correct_counts = find("correct_counts")


def study_of(runs: list[Run]) -> Study:
    return Study("x", "?", tuple(read_run(run.path) for run in runs))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """GRPO and A-GRAE with three seeds, Hard-Focused with one; 36 steps."""
    root = Root(tmp_path_factory.mktemp("differences") / "runs", num_problems=5, num_samples=4)
    pairs = [("grpo", 0), ("grpo", 1), ("grpo", 2), ("a_grae", 0), ("a_grae", 1), ("a_grae", 2), ("hard_focused", 1)]
    return study_of([root.run(arm, seed) for arm, seed in pairs])


def recorded(study: Study, arm: str, seed: int) -> np.ndarray:
    (run,) = [run for run in study.arms[arm] if run.seed == seed]
    return pd.read_parquet(run.metrics_path)["correct_count"].to_numpy(dtype=float)


def test_a_block_is_the_mean_of_paired_differences(study: Study) -> None:
    rows = step_differences(study, "correct_count").query("arm == 'a_grae'")
    assert rows["block"].sum() == 36
    assert len(rows) == BLOCKS
    pairs = np.array([recorded(study, "a_grae", seed) - recorded(study, "grpo", seed) for seed in range(3)])
    first = pairs[:, :5].mean(axis=1)  # 36 steps in 8 blocks: the first four have five
    assert (rows["step"].iloc[0], rows["block"].iloc[0]) == (3.0, 5)
    assert rows["value"].iloc[0] == pytest.approx(first.mean())
    half = stats.t.ppf(0.975, 2) * first.std(ddof=1) / np.sqrt(3)
    assert rows[["lo", "hi"]].iloc[0].to_numpy() == pytest.approx([first.mean() - half, first.mean() + half])


def test_pairing_removes_the_noise_of_the_batches(study: Study) -> None:
    """All arms of a seed share the batch noise: in a difference it is gone, in a level it is not."""
    series = recorded(study, "grpo", 0)
    paired = recorded(study, "a_grae", 0) - series
    other = recorded(study, "a_grae", 1) - series
    assert np.diff(paired).std() < 0.9 * np.diff(other).std()


def test_one_pair_has_a_value_and_no_interval(study: Study) -> None:
    rows = step_differences(study, "correct_count").query("arm == 'hard_focused'")
    assert set(rows["seeds"]) == {1}
    assert rows["value"].notna().all()
    assert rows[["lo", "hi"]].isna().all(axis=None)
    paired = recorded(study, "hard_focused", 1) - recorded(study, "grpo", 1)
    assert rows["value"].iloc[0] == pytest.approx(paired[:5].mean())


def test_runs_that_draw_other_prompts_are_no_pair(new_root) -> None:
    """Another seed, another number of prompts, another training file, and an unfinished run."""
    root = new_root(num_problems=5, num_samples=4, num_steps=6)
    train = root.config("grpo", 0)["train"]
    runs = [root.run("grpo", 0), root.run("a_grae", 1), root.run("hard_focused", 0, train={**train, "num_prompts": 8})]
    runs.append(root.run("easy_focused", 0, data_fingerprints={"train": "0a1b"}))
    runs.append(root.run("negative_dominant", 0, status="interrupted", steps=3))
    assert step_differences(study_of(runs), "correct_count").empty
    table = correct_counts.table(study_of(runs))
    assert table["panel"].nunique() == 1
    assert "same prompts" not in description(correct_counts, table)
    both = study_of([*runs, root.run("positive_dominant", 0)])
    assert set(step_differences(both, "correct_count")["arm"]) == {"positive_dominant"}


@pytest.mark.parametrize("setting", [{"sampling_rounds": 3}, {"skip_window": 2}])
def test_prompts_that_the_policy_chooses_are_not_the_same(setting: dict[str, int], new_root) -> None:
    root = new_root(num_problems=5, num_samples=4, num_steps=6)
    train = {**root.config("grpo", 0)["train"], **setting}
    runs = [root.run(arm, train=train) for arm in ("grpo", "a_grae")]
    assert step_differences(study_of(runs), "correct_count").empty


def test_the_panel_below_draws_the_table(study: Study) -> None:
    table = correct_counts.table(study)
    with mpl.rc_context(STYLE):
        figure = build(correct_counts, table)
    above, below = figure.axes
    assert above.get_position().y0 > below.get_position().y1
    rows = table[(table["kind"] == "difference") & (table["arm"] == "a_grae")]
    lines = {line.get_label(): line.get_xydata() for line in below.get_lines()}
    np.testing.assert_allclose(lines["A-GRAE"], rows[["step", "value"]].to_numpy(dtype=float))
    assert set(lines) >= {"A-GRAE", "Hard-Focused"}
    assert "GRPO" not in lines
    text = description(correct_counts, table)
    for words in (
        "minus GRPO's on the same prompts, with 95 % intervals (below)",
        "blocks of 4–5 steps",
        "t over paired seeds",
    ):
        assert words in text
