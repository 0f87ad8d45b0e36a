"""Files that are cut off, damaged, foreign or of another version are refused by whatever reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from analysis_lab import metrics_frame, rollouts_frame, samples_frame

from agrae_lab.runs import Run
from analysis.io import parquet
from analysis.io.eval_counts import read_counts
from analysis.io.parquet import FrameError
from analysis.io.training_records import read_groups, read_metrics, read_p_histogram

SAMPLES, ROLLOUTS, METRICS = "eval/b/samples.parquet", "rollouts/step-000001.parquet", "metrics.parquet"
ROWS: dict[str, Callable[[], pd.DataFrame]] = {
    SAMPLES: lambda: samples_frame(np.array([0, 3, 8]), 8),
    ROLLOUTS: lambda: rollouts_frame("grpo", 0, 1, num_prompts=4, group_size=8, share=0.5),
    METRICS: lambda: metrics_frame("grpo", 0, num_steps=4, num_prompts=4, group_size=8),
}
READ: dict[str, Callable[[Run], object]] = {
    SAMPLES: lambda run: read_counts(run.samples_path("b")),
    ROLLOUTS: read_groups,
    METRICS: lambda run: read_metrics(run, ["entropy", "p_histogram"]),
}
Recorded = tuple[Path, Callable[[], object]]


def record(folder: Path, name: str) -> Recorded:
    """A whole file with checksums, and a call that reads it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(ROWS[name](), preserve_index=False), path, write_page_checksum=True)
    return path, lambda: READ[name](Run(folder, {}))


@pytest.fixture(params=ROWS)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Recorded:
    return record(tmp_path, request.param)


def refused(path: Path, read: Callable[[], object], match: str) -> None:
    with pytest.raises(FrameError, match=match) as info:
        read()
    text = str(info.value)
    assert str(path) in text
    assert "\n" not in text
    assert ";" in text.rpartition(str(path))[2], "a remedy stands at the end"


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_file_cut_off_is_refused(recorded: Recorded, share: float) -> None:
    path, read = recorded
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, read, "not a whole Parquet file")


@pytest.mark.parametrize("content", [b"problem_id,correct\nx,1\n", b'{"a": 1}\n' * 99, b"\x00" * 4096])
def test_what_is_not_parquet_is_refused(recorded: Recorded, content: bytes) -> None:
    path, read = recorded
    path.write_bytes(content)
    refused(path, read, "not a whole Parquet file")


@pytest.mark.parametrize("name", [SAMPLES, ROLLOUTS])
def test_a_directory_in_a_files_place_is_refused(tmp_path: Path, name: str) -> None:
    path, read = record(tmp_path, name)
    path.unlink()
    path.mkdir()
    refused(path, read, "not a whole Parquet file")


@pytest.mark.parametrize("name", [SAMPLES, ROLLOUTS])
def test_a_link_to_nothing_is_refused(tmp_path: Path, name: str) -> None:
    path, read = record(tmp_path, name)
    path.unlink()
    path.symlink_to(tmp_path / "moved")
    refused(path, read, "cannot be read")


def test_parquet_of_another_kind_is_refused(recorded: Recorded) -> None:
    path, read = recorded
    pd.DataFrame({"a": [1]}).to_parquet(path)
    refused(
        path, read, r"not a file of agrae_lab, the columns \['schema_version', .* are missing; put the run's own file"
    )


@pytest.mark.parametrize("versions", [2, [1, 2], ["1", "1"]])
def test_another_schema_version_is_refused(recorded: Recorded, versions: object) -> None:
    path, read = recorded
    frame = pd.read_parquet(path)
    frame["schema_version"] = np.resize(versions, len(frame))
    frame.to_parquet(path)
    refused(path, read, "schema version .* but this analysis reads version 1")


@pytest.mark.parametrize(
    ("name", "column", "value", "holds"),
    [
        (SAMPLES, "correct", 1.0, "true or false"),
        (SAMPLES, "sample", "0", "whole numbers"),
        (SAMPLES, "problem_id", 7, "text"),
        (ROLLOUTS, "step", 1.5, "whole numbers"),
        (ROLLOUTS, "advantage", "big", "numbers"),
        (METRICS, "entropy", "low", "numbers"),
        (METRICS, "entropy", [[1.0]] * 4, "numbers"),
        (METRICS, "p_histogram", 1.0, "lists of numbers"),
    ],
)
def test_columns_that_hold_something_else_are_refused(
    tmp_path: Path, name: str, column: str, value: object, holds: str
) -> None:
    path, read = record(tmp_path, name)
    pd.read_parquet(path).assign(**{column: value}).to_parquet(path)
    refused(path, read, f"its column {column} holds .* but should hold {holds}")


def test_rows_without_an_identifier_are_refused(recorded: Recorded) -> None:
    path, read = recorded
    frame = pd.read_parquet(path)
    name = "sample" if "sample" in frame else "step"
    frame[name] = frame[name].astype("Int64")
    frame.loc[1, name] = pd.NA
    frame.to_parquet(path)
    refused(path, read, f"some rows have no {name}")


def test_bits_that_have_turned_are_noticed(recorded: Recorded) -> None:
    """Every file is whole, refused, or reads as it was written; never as something else, nor with another error."""
    path, read = recorded
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    before = repr(read())
    outcomes = set()
    for _ in range(80):
        damaged = bytearray(whole)
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        path.write_bytes(bytes(damaged))
        try:
            assert repr(read()) == before
            outcomes.add("as written")
        except FrameError:
            outcomes.add("refused")
    assert outcomes == {"as written", "refused"}


def test_metrics_that_are_damaged_are_not_replaced_by_rollouts(tmp_path: Path) -> None:
    record(tmp_path, ROLLOUTS)
    path, _ = record(tmp_path, METRICS)
    path.write_bytes(path.read_bytes()[:-9])
    refused(path, lambda: read_p_histogram(Run(tmp_path, {})), "not a whole Parquet file")


def test_codes_of_texts_that_no_row_has_are_not_given_out() -> None:
    known = {"b": 0}
    texts = pa.DictionaryArray.from_arrays(pa.array([2, 0, 2]), pa.array(["a", "unused", "b"]))
    assert parquet.text_codes(texts, known).tolist() == [0, 1, 0]
    assert known == {"b": 0, "a": 1}
