"""Evaluations reduced to counts, and which of them may be compared."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from analysis_lab import samples_frame

from analysis.io import parquet
from analysis.io.eval_counts import Counts, check_comparable, intersect_counts, read_counts
from analysis.io.parquet import FrameError


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    path = tmp_path / "samples.parquet"
    samples_frame(np.array([0, 3, 8]), 8).to_parquet(path)
    return path


def test_counts_of_shuffled_rows_with_hostile_completions(samples: Path) -> None:
    counts = read_counts(samples)
    assert counts.problem_ids == ("problem-000", "problem-001", "problem-002")
    assert counts.correct_P.tolist() == [0, 3, 8]  # greedy rows are not counted
    assert (counts.num_samples, counts.temperature, counts.top_p) == (8, 0.6, 0.95)
    assert counts.num_invalid == 0


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
    assert counts.num_invalid == 1


def test_repeated_rows_are_refused(samples: Path) -> None:
    frame = pd.read_parquet(samples)
    pd.concat([frame, frame[frame["sample"] == 5].head(1)]).to_parquet(samples)
    with pytest.raises(FrameError, match=r"sample 5 of problem 'problem-00\d' occurs more than once \(1 repeated"):
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


@pytest.mark.parametrize("unknown", [None, np.nan])
def test_an_unknown_sampling_setting_is_refused(samples: Path, unknown: float | None) -> None:
    table = pq.read_table(samples)
    for values in ([unknown] * len(table), [unknown, *[0.6] * (len(table) - 1)]):
        lacking = table.set_column(table.schema.get_field_index("temperature"), "temperature", [values])
        pq.write_table(lacking, samples)
        with pytest.raises(FrameError, match="some rows have no temperature, so the evaluation cannot be compared"):
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


def mark_some_undecided(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    sampled = frame.index[frame["decoding"] == "sample"]
    some = np.random.default_rng(1).choice(sampled, 5, replace=False)
    frame.loc[some, ["correct", "valid"]] = False
    frame.to_parquet(path)
    return frame[frame["decoding"] == "sample"]


@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
def test_counts_equal_those_of_a_loop(samples: Path, rows_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = mark_some_undecided(samples)
    monkeypatch.setattr(parquet, "_ROWS", rows_at_once)
    counts = read_counts(samples)
    for i, problem in enumerate(counts.problem_ids):
        own = rows[rows["problem_id"] == problem]
        assert counts.correct_P[i] == sum(own["correct"])
        assert counts.invalid_P[i] == sum(~own["valid"])
    assert counts.num_invalid == 5


@pytest.mark.parametrize("first", [1, 3, 8])
def test_the_first_samples_are_those_numbered_so(samples: Path, first: int) -> None:
    rows = mark_some_undecided(samples)
    counts = read_counts(samples, first=first)
    rows = rows[rows["sample"] < first]
    assert counts.num_samples == first
    assert counts.correct_P.tolist() == rows.groupby("problem_id")["correct"].sum().tolist()
    assert counts.invalid_P.tolist() == (~rows["valid"]).groupby(rows["problem_id"]).sum().tolist()


@pytest.mark.parametrize(
    ("numbers", "found"),
    [(lambda sample: sample + 1, "1 to 8"), (lambda sample: sample * 10**12, "0 to 7000000000000"),
     (lambda sample: sample - 8, "-8 to -1")],
)  # fmt: skip
def test_samples_are_numbered_from_0_without_gaps(samples: Path, numbers, found: str) -> None:
    frame = pd.read_parquet(samples)
    sampled = frame["decoding"] == "sample"
    frame.loc[sampled, "sample"] = numbers(frame.loc[sampled, "sample"])
    frame.to_parquet(samples)
    with pytest.raises(FrameError, match=f"samples are numbered {found}, but each problem has 8"):
        read_counts(samples)


def test_categories_that_no_row_has_are_no_problems(samples: Path) -> None:
    frame = pd.read_parquet(samples)
    frame["problem_id"] = pd.Categorical(frame["problem_id"], categories=["unused", *frame["problem_id"].unique()])
    frame.to_parquet(samples)
    assert read_counts(samples).problem_ids == ("problem-000", "problem-001", "problem-002")


def evaluation(path: Path, correct: dict[str, int], num_samples: int, **columns: float) -> Counts:
    frame = samples_frame(np.array(list(correct.values())), num_samples, ids=list(correct))
    frame.assign(**columns).to_parquet(path)
    return read_counts(path)


def test_intersecting_keeps_what_all_have(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a.parquet", {"p": 5, "q": 2, "r": 8}, 8)
    b = evaluation(tmp_path / "b.parquet", {"r": 3, "q": 1, "s": 0}, 4)
    with pytest.raises(FrameError, match=r"cannot be compared: n is 8 in .* but 4 in .*--intersect"):
        check_comparable([("a", a), ("b", b)])
    ((_, cut_a), (_, cut_b)), note = intersect_counts([("a", a), ("b", b)])
    check_comparable([("a", cut_a), ("b", cut_b)])
    assert cut_a.problem_ids == cut_b.problem_ids == ("q", "r")
    assert cut_a.num_samples == cut_b.num_samples == 4
    # samples_frame makes the first ones correct: of q's 8 the first 2 are, of r's 8 all; so are 2 and 4 of the first 4
    assert cut_a.correct_P.tolist() == [2, 4]
    assert cut_b.correct_P.tolist() == [1, 3]
    assert note == (
        "Compared on the 2 problems that all have (of 3) and the first 4 samples of each problem (of 4 to 8) "
        "(--intersect)."
    )


def test_intersecting_says_only_what_was_cut(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a.parquet", {"p": 5, "q": 2}, 8)
    fewer_samples = evaluation(tmp_path / "b.parquet", {"p": 1, "q": 1}, 2)
    fewer_problems = evaluation(tmp_path / "c.parquet", {"p": 8}, 8)
    (_, (_, same)), note = intersect_counts([("a", a), ("a again", a)])
    assert (note, same.num_samples, same.correct_P.tolist()) == ("", 8, [5, 2])
    assert intersect_counts([("a", a), ("b", fewer_samples)])[1] == (
        "Compared on the first 2 samples of each problem (of 2 to 8) (--intersect)."
    )
    assert intersect_counts([("c", fewer_problems), ("a", a)])[1] == (
        "Compared on the 1 problem that all have (of 1 to 2) (--intersect)."
    )


def test_what_cannot_be_intersected_is_refused(tmp_path: Path) -> None:
    a = evaluation(tmp_path / "a.parquet", {"p": 5}, 8)
    other = evaluation(tmp_path / "b.parquet", {"q": 5}, 8)
    warmer = evaluation(tmp_path / "c.parquet", {"p": 5, "q": 1}, 4, temperature=1.0)
    with pytest.raises(FrameError, match=r"no problem is in all of .*a\.parquet, .*b\.parquet"):
        intersect_counts([("a", a), ("b", other)])
    with pytest.raises(FrameError, match=r"temperature is 0\.6 in .* but 1\.0 in .*; evaluate both alike$"):
        intersect_counts([("a", a), ("c", warmer)])
