"""Completions of the report: their choice, the files read, and refused files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from analysis_lab import BENCHMARK, samples_frame
from hypothesis import given
from hypothesis import strategies as st

from agrae_lab.runs import list_experiments
from analysis.io.study import Study, View, load_study
from analysis.report.html import completions
from analysis.report.html.choice import OUTCOMES, choose, clip, spread, within
from analysis.report.html.completions import TRAINING, sample_completions

SAMPLED, GREEDY = f"{BENCHMARK}, sampled", f"{BENCHMARK}, greedy"


def study_of(root, **view) -> Study:
    study = load_study(root.path, list_experiments(root.path)[0])
    return Study(study.name, study.question, study.runs, study.not_started, View(**view))


def rows_of(num_prompts: int, right: int, wrong: int) -> pd.DataFrame:
    each = right + wrong
    return pd.DataFrame(
        {
            "prompt": np.repeat([f"p{i}" for i in range(num_prompts)], each),
            "sample": np.tile(np.arange(each), num_prompts),
            "outcome": np.tile(["right"] * right + ["wrong"] * wrong, num_prompts),
        }
    )


def chosen_of(rows: pd.DataFrame, num: int, *, seed: int) -> pd.DataFrame:
    """The rows that `choose` picks."""
    prompt_N, names = pd.factorize(rows["prompt"].astype(object))
    outcome_N = rows["outcome"].map(OUTCOMES.index).to_numpy(dtype=int)
    return rows.iloc[
        choose(np.asarray(names, dtype=object), prompt_N, rows["sample"].to_numpy(), outcome_N, num, seed=seed)
    ]


def test_outcomes_are_as_even_as_the_record_allows() -> None:
    chosen = chosen_of(rows_of(100, right=250, wrong=6), 240, seed=0)
    assert chosen["prompt"].nunique() == 30
    assert chosen["outcome"].value_counts().to_dict() == {"right": 120, "wrong": 120}
    lopsided = chosen_of(rows_of(100, right=254, wrong=2), 240, seed=0)
    assert lopsided["outcome"].value_counts().to_dict() == {"right": 180, "wrong": 60}


def test_where_a_prompt_has_one_completion_many_prompts_are_shown() -> None:
    assert chosen_of(rows_of(500, right=1, wrong=0), 240, seed=0)["prompt"].nunique() == 240


def test_prompts_are_those_of_the_seed_whatever_else_is_recorded() -> None:
    whole, fewer = rows_of(100, right=3, wrong=5), rows_of(100, right=5, wrong=3).iloc[::-1]
    first = chosen_of(whole, 80, seed=0)
    assert set(chosen_of(fewer, 80, seed=0)["prompt"]) == set(first["prompt"])
    assert set(chosen_of(whole, 80, seed=1)["prompt"]) != set(first["prompt"])


@given(st.integers(0, 40), st.integers(0, 5), st.integers(0, 5), st.integers(1, 100), st.integers(0, 2**32))
def test_as_many_are_chosen_as_there_are_and_none_twice(prompts: int, right: int, wrong: int, num: int, seed: int):
    rows = rows_of(prompts, right, wrong)
    chosen = chosen_of(rows, num, seed=seed)
    assert len(chosen) == min(num, len(rows))
    assert not chosen.duplicated(["prompt", "sample"]).any()
    assert list(chosen.columns) == list(rows.columns)


@given(st.text(max_size=60), st.integers(3, 40))
def test_a_clipped_text_keeps_its_beginning_and_its_end(text: str, most: int) -> None:
    start, end, left_out = clip(text, most)
    assert len(start) + left_out + len(end) == len(text)
    assert text.startswith(start)
    assert text.endswith(end)
    assert len(start) + len(end) <= most
    assert (left_out > 0) == (len(text) > most)


def test_what_fits_is_counted_in_bytes_of_json() -> None:
    texts = pd.Series(["é" * 10, "\x00" * 10, "a" * 10])  # 22, 62 and 12 bytes with their quotes
    assert [within(texts, budget) for budget in (1, 22, 83, 84, 95, 96)] == [1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(("items", "chosen"), [(0, []), (1, [0]), (3, [0, 1, 2]), (101, [0, 25, 50, 75, 100])])
def test_spread_reaches_from_end_to_end(items: int, chosen: list[int]) -> None:
    assert spread(items, 5) == chosen


def test_a_study_is_sampled_from_training_evaluation_and_the_base_model(demo_root) -> None:
    sample = sample_completions(study_of(demo_root))
    assert sample.refused == []
    assert not sample.in_part
    rows = sample.rows
    assert set(rows["source"]) == {TRAINING, SAMPLED, GREEDY}
    assert set(rows["arm"]) == {"base", "grpo", "a_grae"}
    training = rows[rows["source"] == TRAINING]
    assert set(training["step"]) == {1, 2, 3}
    assert rows.loc[rows["source"] != TRAINING, "step"].isna().all()
    assert rows.loc[rows["arm"] == "base", "seed"].isna().all()
    shown = {(cell.arm, cell.source): set(group["prompt"]) for cell in sample.cells for group in [
        rows[(rows["arm"] == cell.arm) & (rows["source"] == cell.source)]
    ]}  # fmt: skip
    assert shown["base", SAMPLED] == shown["grpo", SAMPLED] == shown["a_grae", SAMPLED]
    recorded = pd.read_parquet(study_of(demo_root).arms["grpo"][0].samples_path(BENCHMARK))
    recorded = recorded[recorded["decoding"] == "sample"].set_index(["problem_id", "sample"])
    grpo = rows[(rows["arm"] == "grpo") & (rows["source"] == SAMPLED)]
    for row in grpo.itertuples():
        true = recorded.loc[(row.prompt, row.sample)]
        assert (row.start, row.outcome) == (true["completion"], "right" if true["correct"] else "wrong")


def test_invalid_completions_are_a_third_kind(new_root: Callable) -> None:
    root = new_root(num_problems=6, num_samples=8)
    run = root.run("grpo")
    root.experiment("x", [run])
    frame = pd.read_parquet(run.samples_path(BENCHMARK))
    frame["valid"] = frame["sample"] % 2 == 0
    frame.to_parquet(run.samples_path(BENCHMARK))
    rows = sample_completions(study_of(root)).rows
    mine = rows[(rows["arm"] == "grpo") & (rows["source"] == SAMPLED)]
    assert (mine["outcome"] == "invalid").tolist() == (mine["sample"] % 2 == 1).tolist()


def test_seeds_share_what_is_shown_of_an_arm(new_root: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "PER_CELL", 60)
    root = new_root(num_problems=20, num_samples=16)
    root.experiment("x", [root.run("grpo", seed) for seed in (0, 1, 2)])
    sample = sample_completions(study_of(root))
    assert {(cell.seed, cell.shown) for cell in sample.cells if cell.source == SAMPLED} == {
        (0, 20), (1, 20), (2, 20), (None, 60),
    }  # fmt: skip


def test_long_completions_are_clipped_and_the_whole_is_bounded(
    new_root: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions, "BUDGET", 600_000)
    root = new_root(num_problems=20, num_samples=16)
    run = root.run("grpo")
    root.experiment("x", [run])
    for path in (run.samples_path(BENCHMARK), run.base_samples_path(BENCHMARK), *run.rollout_paths()):
        frame = pd.read_parquet(path)
        frame["completion"] = "é" * 10_000 + "end"
        frame.to_parquet(path)
    sample = sample_completions(study_of(root))
    assert set(sample.rows["left_out"]) == {6_003}
    assert sample.rows["end"].str.endswith("end").all()
    size = sum(len((row.start + row.end).encode()) for row in sample.rows.itertuples())
    assert 300_000 < size <= 600_000
    assert {cell.source for cell in sample.cells} == {TRAINING, SAMPLED, GREEDY}
    assert set(sample.rows.loc[sample.rows["source"] == TRAINING, "step"]) == {1, 2, 3}


def in_row_groups(path: Path, size: int) -> pq.FileMetaData:
    frame = pd.read_parquet(path).sort_values(["decoding", "problem_id", "sample"])
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=size)
    return pq.read_metadata(path)


def damage(path: Path, metadata: pq.FileMetaData, group: int) -> None:
    """Overwrite the completions of one row group."""
    names = metadata.schema.names
    column = metadata.row_group(group).column(names.index("completion"))
    start = column.dictionary_page_offset or column.data_page_offset
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * column.total_compressed_size)


def test_of_a_large_file_the_other_row_groups_are_not_read(new_root: Callable, monkeypatch) -> None:
    monkeypatch.setattr(completions, "_ROW_GROUPS", 4)
    root = new_root(num_problems=30, num_samples=16)
    run = root.run("grpo")
    root.experiment("x", [run])
    path = run.samples_path(BENCHMARK)
    metadata = in_row_groups(path, 30)
    assert metadata.num_row_groups == 17  # 0: greedy; 1 to 16: sampled
    read = {0, *(1 + place for place in spread(16, 4))}
    for group in set(range(17)) - read:
        damage(path, metadata, group)
    sample = sample_completions(study_of(root))
    assert sample.refused == []
    assert sample.in_part
    assert "Of large files only a part was read." in completions.describe(sample)
    damage(path, metadata, max(read))
    (refused,) = sample_completions(study_of(root)).refused
    assert refused.startswith(f"completions of grpo, {SAMPLED}: {path}: not a whole Parquet file")


def test_a_row_group_is_left_when_enough_of_it_is_read(new_root: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    root = new_root(num_problems=200, num_samples=32)
    run = root.run("grpo")
    root.experiment("x", [run])
    metadata = in_row_groups(run.samples_path(BENCHMARK), 10**6)
    assert metadata.num_row_groups == 1
    monkeypatch.setattr(completions, "_BYTES_PER_FILE", 1)
    sample = sample_completions(study_of(root))
    rows = sample.rows[(sample.rows["arm"] == "grpo") & (sample.rows["source"] == SAMPLED)]
    assert sample.in_part
    assert rows["prompt"].max() < "problem-030"  # the first 1,024 rows, not the whole file
    (cell,) = [c for c in sample.cells if (c.arm, c.source) == ("grpo", SAMPLED)]
    assert (cell.recorded, cell.shown) == (6400, len(rows))


def test_a_file_that_cannot_be_read_is_named_and_the_rest_is_shown(new_root: Callable) -> None:
    root = new_root(num_problems=6, num_samples=8)
    run = root.run("grpo")
    root.experiment("x", [run])
    samples_frame(np.array([1, 2]), 4).drop(columns="completion").to_parquet(run.samples_path(BENCHMARK))
    run.rollout_paths()[1].write_bytes(b"PAR1 cut off")
    sample = sample_completions(study_of(root))
    assert [text.split(":")[0] for text in sample.refused] == [
        f"completions of grpo, {TRAINING}", f"completions of grpo, {SAMPLED}", f"completions of grpo, {GREEDY}"
    ]  # fmt: skip
    assert "the columns ['completion'] are missing" in sample.refused[1]
    assert set(sample.rows["arm"]) == {"base"}


def test_a_study_without_any_record_has_no_completions(new_root: Callable) -> None:
    root = new_root()
    root.experiment("x", [])
    sample = sample_completions(study_of(root))
    assert (len(sample.rows), sample.cells) == (0, [])
    assert "0 of 0 recorded" in completions.describe(sample)


def test_damaged_text_is_refused_and_the_rest_is_shown(new_root: Callable) -> None:
    """Bytes that are no UTF-8, of a completion alone: its length is right, so nothing else notices."""
    root = new_root(num_problems=6, num_samples=8)
    run = root.run("grpo")
    root.experiment("x", [run])
    path = run.rollout_paths()[0]
    table = pq.read_table(path)
    bad = pa.array([b"\xff\xfe"] * table.num_rows, pa.binary()).view(pa.string())
    pq.write_table(table.set_column(table.schema.get_field_index("completion"), "completion", bad), path)
    sample = sample_completions(study_of(root))
    assert [reason.split(":")[0] for reason in sample.refused] == ["completions of grpo, training"]
    assert ": not a whole Parquet file" in sample.refused[0]
    assert {cell.source for cell in sample.cells} == {SAMPLED, GREEDY}
