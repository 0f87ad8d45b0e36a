"""Training records: metrics by step, groups of rollouts, histograms of the success rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_lab import rollouts_frame

from agrae_lab.runs import Run
from analysis.io.parquet import FrameError
from analysis.io.training_records import (
    GROUP_COLUMNS,
    read_groups,
    read_groups_without_invalid,
    read_metrics,
    read_p_histogram,
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Three steps of shuffled rollouts, some completions undecided."""
    run = Run(tmp_path, {})
    (tmp_path / "rollouts").mkdir()
    rng = np.random.default_rng(0)
    for step in (1, 2, 11):
        frame = rollouts_frame("a_grae", 0, step, num_prompts=12, group_size=8, share=0.5).sample(frac=1.0)
        undecided = rng.random(len(frame)) < 0.02
        frame.loc[undecided, ["correct", "valid"]] = False
        frame.to_parquet(tmp_path / f"rollouts/step-{step:06d}.parquet")
    return run


def rewrite(path: Path, change) -> None:
    frame = pd.read_parquet(path)
    change(frame).to_parquet(path)


def test_metrics_of_a_run_that_has_none_are_empty(tmp_path: Path) -> None:
    assert read_metrics(Run(tmp_path, {}), ["entropy"]).empty


def test_a_step_recorded_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    pd.DataFrame({"schema_version": 1, "step": [1, 2, 2], "entropy": [1.0, 0.9, 0.8]}).to_parquet(path)
    with pytest.raises(FrameError, match=r"metrics\.parquet: step 2 is recorded twice"):
        read_metrics(Run(tmp_path, {}), ["entropy"])


def test_groups_equal_those_of_a_loop(run: Run) -> None:
    groups = read_groups(run)
    assert tuple(groups.columns) == GROUP_COLUMNS
    assert groups["invalid"].sum() > 0
    rows = pd.concat(pd.read_parquet(path) for path in run.rollout_paths())
    keys = ["step", "group"]
    assert groups[keys].to_numpy().tolist() == rows[keys].drop_duplicates().sort_values(keys).to_numpy().tolist()
    for group in groups.itertuples():
        own = rows[(rows["step"] == group.step) & (rows["group"] == group.group)]
        assert (group.size, group.correct, group.invalid) == (8, sum(own["correct"]), sum(~own["valid"]))
        assert group.p == own["correct"].mean()
        for name, prefix in (("advantage", "adv"), ("advantage_grpo", "grpo")):
            advantages = own[name].tolist()
            positive = sum(a for a in advantages if a > 0)
            negative = -sum(a for a in advantages if a < 0)
            assert getattr(group, f"{prefix}_positive_mass") == pytest.approx(positive)
            assert getattr(group, f"{prefix}_negative_mass") == pytest.approx(negative)
            assert getattr(group, f"{prefix}_abs_sum") == pytest.approx(positive + negative)
        assert group.adv_sum == pytest.approx(own["advantage"].sum())


def test_groups_with_an_undecided_completion_have_no_known_rate(run: Run) -> None:
    groups, known = read_groups(run), read_groups_without_invalid(run)
    decided = groups[groups["invalid"] == 0]
    assert 0 < len(known) == len(decided) < len(groups)
    assert known["abs_sum"].tolist() == decided["adv_abs_sum"].tolist()
    assert list(known.columns) == ["step", "p", "size", "abs_sum"]


def test_a_caller_may_change_its_frame(run: Run) -> None:
    mine = read_groups(run)
    mine["p"] = 7.0
    mine.loc[0, "size"] = 99
    assert read_groups(run)["p"].max() <= 1
    assert set(read_groups(run)["size"]) == {8}


def test_changed_and_added_rollouts_are_read_again(run: Run) -> None:
    before = read_groups(run)
    path = run.rollout_paths()[0]
    rewrite(path, lambda frame: frame[frame["group"] < 5])
    assert len(read_groups(run)) == len(before) - 7
    frame = rollouts_frame("a_grae", 0, 12, num_prompts=12, group_size=8, share=0.5)
    frame.to_parquet(path.with_name("step-000012.parquet"))
    assert read_groups(run)["step"].max() == 12


@pytest.mark.parametrize("make", [True, False])
def test_no_rollouts_are_no_rows(tmp_path: Path, make: bool) -> None:
    if make:
        (tmp_path / "rollouts").mkdir()
    for read in (read_groups, read_groups_without_invalid, read_p_histogram):
        frame = read(Run(tmp_path, {}))
        assert len(frame) == 0
        assert "step" in frame


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda frame: frame.assign(step=[1] * 50 + [2] * 46), "rows of step 1, 2,"),
        (lambda frame: frame.assign(step=3), "rows of step 3,"),
        (lambda frame: frame[:0], "no rows,"),
    ],
)
def test_a_file_holds_the_step_that_it_is_named_for(run: Run, change, found: str) -> None:
    path = run.rollout_paths()[0]
    rewrite(path, change)
    with pytest.raises(FrameError, match=rf"step-000001\.parquet: {found} but its name says step 000001"):
        read_groups(run)


def test_a_name_without_a_step_is_refused(run: Run) -> None:
    path = run.rollout_paths()[0]
    path.rename(path.with_name("step-one.parquet"))
    with pytest.raises(FrameError, match=r"step-one\.parquet: rows of step 1, but its name says step one"):
        read_groups(run)


def test_groups_of_different_sizes_are_refused(run: Run) -> None:
    """Part of a group is lost: p = c/G would be of another G than its neighbours'."""
    rewrite(run.rollout_paths()[0], lambda frame: frame[(frame["group"] != 4) | (frame["sample"] < 5)])
    for read in (read_groups, read_p_histogram):
        with pytest.raises(
            FrameError, match=r"step-000001\.parquet: groups of 5 to 8 completions, but all groups of a"
        ):
            read(run)


def test_a_completion_recorded_twice_is_refused(run: Run) -> None:
    rewrite(run.rollout_paths()[1], lambda frame: pd.concat([frame, frame[3:4]]))
    with pytest.raises(FrameError, match=r"step-000002\.parquet: a completion \(group, sample\) occurs more than once"):
        read_groups(run)


def test_histograms_count_groups_by_correct_completions(run: Run) -> None:
    rows = pd.concat(pd.read_parquet(path) for path in run.rollout_paths())
    solved = rows.groupby(["step", "group"])["correct"].sum()
    expected = [(step, c, 8, int((solved[step] == c).sum())) for step in (1, 2, 11) for c in range(9)]
    histogram = read_p_histogram(run)
    assert list(histogram.columns) == ["step", "correct", "size", "groups"]
    assert [tuple(map(int, row)) for row in histogram.to_numpy()] == expected


def test_recorded_histograms_are_preferred(run: Run) -> None:
    counted = read_p_histogram(run)
    lists = [counted.loc[counted["step"] == step, "groups"].tolist() for step in (1, 2, 11)]
    metrics = pd.DataFrame({"schema_version": 1, "step": [1, 2, 11], "p_histogram": lists})
    metrics.to_parquet(run.metrics_path)
    pd.testing.assert_frame_equal(read_p_histogram(run), counted)
    metrics.loc[2, "p_histogram"] = None  # a step whose metrics were not recorded
    metrics.to_parquet(run.metrics_path)
    assert read_p_histogram(run)["step"].unique().tolist() == [1, 2]
    metrics.drop(columns="p_histogram").to_parquet(run.metrics_path)
    pd.testing.assert_frame_equal(read_p_histogram(run), counted)
