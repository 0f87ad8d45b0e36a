"""What is refused, and with which words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_lab import BENCHMARK, samples_frame

from agrae_lab.runs import Experiment, Run
from analysis.frames import (
    FrameError,
    check_comparable,
    load_study,
    merge_studies,
    read_counts,
    read_metrics,
    read_rollout_groups,
)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    path = tmp_path / "samples.parquet"
    samples_frame(np.array([0, 3, 8]), 8).to_parquet(path)
    return path


def rewrite(path: Path, **columns: object) -> None:
    pd.read_parquet(path).assign(**columns).to_parquet(path)


def test_counts_of_shuffled_rows_with_hostile_completions(samples: Path) -> None:
    counts = read_counts(samples)
    assert counts.problem_ids == ("problem-000", "problem-001", "problem-002")
    assert counts.correct_P.tolist() == [0, 3, 8]  # greedy rows are not counted
    assert (counts.num_samples, counts.temperature, counts.top_p) == (8, 0.6, 0.95)
    assert counts.num_undecided == 0


def test_a_rewritten_file_is_read_again(samples: Path) -> None:
    read_counts(samples)
    samples_frame(np.array([1, 1, 1, 1]), 4).to_parquet(samples)
    assert read_counts(samples).num_samples == 4


def test_undecided_samples_count_as_not_correct(samples: Path) -> None:
    frame = pd.read_parquet(samples)
    row = frame.index[(frame["problem_id"] == "problem-002") & (frame["sample"] == 0)][0]
    frame.loc[row, ["valid", "correct"]] = False
    frame.to_parquet(samples)
    counts = read_counts(samples)
    assert counts.correct_P.tolist() == [0, 3, 7]
    assert counts.num_undecided == 1


def test_another_schema_version_is_refused(samples: Path) -> None:
    rewrite(samples, schema_version=2)
    with pytest.raises(FrameError, match="has schema version 2, but this analysis reads version 1"):
        read_counts(samples)


def test_a_file_cut_off_is_refused(samples: Path) -> None:
    samples.write_bytes(samples.read_bytes()[:-50])
    with pytest.raises(FrameError, match=r"samples\.parquet is not a whole Parquet file"):
        read_counts(samples)


def test_a_foreign_file_is_refused(samples: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(samples)
    with pytest.raises(FrameError, match="not a file of agrae_lab's kind: it lacks the columns"):
        read_counts(samples)


def test_repeated_rows_are_refused(samples: Path) -> None:
    frame = pd.read_parquet(samples)
    pd.concat([frame, frame[frame["sample"] == 5].head(1)]).to_parquet(samples)
    with pytest.raises(FrameError, match=r"holds sample 5 of problem 'problem-00\d' more than once \(1 repeated"):
        read_counts(samples)


def test_problems_with_different_n_are_refused(samples: Path) -> None:
    frame = pd.read_parquet(samples)
    frame[~((frame["problem_id"] == "problem-001") & (frame["sample"] == 7))].to_parquet(samples)
    with pytest.raises(FrameError, match="7 samples for problem 'problem-001' but 8"):
        read_counts(samples)


def test_two_sampling_settings_in_one_file_are_refused(samples: Path) -> None:
    frame = pd.read_parquet(samples)
    frame["temperature"] = np.where(frame["sample"] < 4, 0.6, 1.0)
    frame.to_parquet(samples)
    with pytest.raises(FrameError, match=r"mixes temperature = \[0\.6, 1\.0\]"):
        read_counts(samples)


def test_a_file_without_samples_is_refused(samples: Path) -> None:
    frame = pd.read_parquet(samples)
    frame[frame["decoding"] == "greedy"].to_parquet(samples)
    with pytest.raises(FrameError, match="no sampled rows"):
        read_counts(samples)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_samples": 16}, "cannot be compared: n is 8 in .* but 16 in"),
        ({"temperature": 1.0}, "temperature is 0.6 in .* but 1.0 in"),
        ({"top_p": 1.0}, "top_p is 0.95 in .* but 1.0 in"),
        (
            {"problem_ids": ("problem-000", "problem-001", "other")},
            "their problem sets differ .* 2 are in one alone, such as 'other'",
        ),
    ],
)
def test_evaluations_that_differ_are_not_compared(samples: Path, change: dict, message: str) -> None:
    counts = read_counts(samples)
    check_comparable([("a", counts), ("b", counts)])
    with pytest.raises(FrameError, match=message):
        check_comparable([("a", counts), ("b", dataclasses.replace(counts, **change))])


def test_metrics_of_a_run_that_has_none_are_empty(tmp_path: Path) -> None:
    assert read_metrics(Run(tmp_path, {}), ["entropy"]).empty


def test_a_step_recorded_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "metrics.parquet"
    pd.DataFrame({"schema_version": 1, "step": [1, 2, 2], "entropy": [1.0, 0.9, 0.8]}).to_parquet(path)
    with pytest.raises(FrameError, match=r"records step 2 twice"):
        read_metrics(Run(tmp_path, {}), ["entropy"])


def test_groups_with_an_undecided_completion_are_left_out(new_root) -> None:
    run = new_root().run("grpo")
    groups = read_rollout_groups(run)
    path = run.rollout_paths()[0]
    frame = pd.read_parquet(path)
    frame.loc[0, "valid"] = False
    frame.to_parquet(path)
    assert len(read_rollout_groups(run)) == len(groups) - 1
    by_hand = frame[frame["group"] == 1]["advantage"].abs().sum()
    assert read_rollout_groups(run)["abs_sum"].iloc[0] == pytest.approx(by_hand)


def test_missing_and_unreadable_runs_are_named(new_root) -> None:
    root = new_root()
    run, broken = root.run("grpo"), root.run("a_grae")
    (broken.path / "meta.json").write_text('{"schema_version": 7}')
    experiment = Experiment("x", "?", (run.key, broken.key, "hard_focused-00000000/seed-0"))
    study = load_study(root.path, experiment)
    assert [found.key for found in study.runs] == [run.key]
    assert "schema version 7" in study.problems[0]
    assert "hard_focused-00000000/seed-0 has not started" in study.problems[1]


def test_two_configurations_of_an_arm_are_two_arms(new_root) -> None:
    root = new_root()
    a, b = root.run("grpo"), root.run("grpo", world="other")
    study = load_study(root.path, Experiment("x", "?", (a.key, b.key)))
    assert sorted(study.arms) == sorted([a.path.parent.name, b.path.parent.name])
    assert "several configurations of grpo" in study.settings_differ[0]


def test_settings_that_differ_are_named(new_root) -> None:
    root = new_root()
    a = root.run("grpo")
    train = root.config("a_grae", 0)["train"] | {"num_prompts": 99}
    b = root.run("a_grae", train=train)
    study = load_study(root.path, Experiment("x", "?", (a.key, b.key)))
    assert study.settings_differ == [f"train.num_prompts is not the same in all runs: 16 in {a.key}; 99 in {b.key}"]


def test_a_union_holds_each_run_once(demo_root) -> None:
    from agrae_lab.runs import list_experiments

    studies = [load_study(demo_root.path, experiment) for experiment in list_experiments(demo_root.path)]
    union = merge_studies(studies, name="all", question="?")
    assert len(union.runs) == 6
    assert union.benchmarks == [BENCHMARK]
