"""Parquet files of ours → checked columns, a piece at a time. What cannot be trusted is refused with one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agrae_lab.runs import SCHEMA_VERSION

# What a column holds. Identifiers (INTEGER, TEXT) may have no nulls; of the others a null is "not known".
INTEGER, NUMBER, BOOLEAN, TEXT, NUMBERS = "whole numbers", "numbers", "true or false", "text", "lists of numbers"

AGAIN = "copy it again from where it was written, or delete it and run again"  # the remedy for damage

_ROWS = 1 << 18  # read at once: some tens of MB, however large the file


class FrameError(ValueError):
    """Data that must not be used or compared as it stands; the message says what is wrong and what would be right.

    `run` is the directory of the run whose file it is; None where no single run is at fault.
    """

    run: Path | None = None


@contextmanager
def file_of(run: Path) -> Iterator[None]:
    """Name the run in every FrameError of the block."""
    try:
        yield
    except FrameError as error:
        error.run = error.run or run
        raise


def state_of(path: Path) -> tuple[Path, int, int]:
    """Path, time of the last change and size: what is read of a file is kept until one of them changes.

    Raises:
        FrameError: there is no such file.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise FrameError(f"{path} cannot be read ({error.strerror}); {AGAIN}") from error
    return path, stat.st_mtime_ns, stat.st_size


def columns_of(path: Path) -> list[str]:
    """Names of the file's columns.

    Raises:
        FrameError: it cannot be read as Parquet.
    """
    with _opened(path, {}) as file:
        return list(file.schema_arrow.names)


def read(path: Path, columns: Mapping[str, str]) -> pa.Table:
    """The named columns (name → what it holds), all rows; nothing else of the file is read.

    Raises:
        FrameError: no whole Parquet file of ours, another schema version, a column missing or holding something else,
            or an identifier that is null.
    """
    with _opened(path, columns) as file:
        table = file.read(["schema_version", *columns], use_threads=False)
        _check_rows(path, table, columns)
    return table.select(list(columns)).replace_schema_metadata(None)  # pandas would act on its own notes there


def scan(path: Path, columns: Mapping[str, str], *, encoded: tuple[str, ...] = ()) -> Iterator[pa.RecordBatch]:
    """Batches of the named columns in the file's order; the `encoded` ones as dictionaries, each distinct text once.

    Raises:
        FrameError: as `read`.
    """
    with _opened(path, columns, encoded) as file:
        # without threads: the columns are few and cheap, and figures are drawn in several processes
        for batch in file.iter_batches(_ROWS, columns=["schema_version", *columns], use_threads=False):
            _check_rows(path, batch, columns)
            yield batch.select(list(columns))


def check_marks(path: Path, rows: pa.Table | pa.RecordBatch) -> None:
    """Refuse rows that are valid and yet have no verdict.

    Raises:
        FrameError: `correct` is null where `valid` is true.
    """
    contradicting = pc.sum(pc.and_(pc.is_null(rows["correct"]), pc.fill_null(rows["valid"], False))).as_py() or 0
    if contradicting:
        raise FrameError(
            f"{path} has {contradicting} rows that are valid and yet have no verdict (correct is null); {AGAIN}"
        )


def codes(texts: pa.DictionaryArray, known: dict[str, int]) -> np.ndarray:
    """[rows]: the number of each text in `known`, which takes up those that it has not met."""
    indices = texts.indices.to_numpy()
    used = np.flatnonzero(np.bincount(indices, minlength=len(texts.dictionary)))  # it may list some that no row has
    numbers = np.zeros(len(texts.dictionary), dtype=np.int64)
    numbers[used] = [known.setdefault(text, len(known)) for text in texts.dictionary.take(used).to_pylist()]
    return numbers[indices]


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_numbers(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return _is_number(kind.value_type) if is_list else pa.types.is_null(kind)


_HOLDS: dict[str, Callable[[pa.DataType], bool]] = {
    INTEGER: pa.types.is_integer,
    NUMBER: _is_number,
    BOOLEAN: pa.types.is_boolean,
    TEXT: _is_text,
    NUMBERS: _is_numbers,
}


@contextmanager
def _opened(path: Path, columns: Mapping[str, str], encoded: tuple[str, ...] = ()) -> Iterator[pq.ParquetFile]:
    try:
        metadata = pq.read_metadata(path)
        _check_columns(path, metadata.schema.to_arrow_schema(), columns)
        # checksums are verified where the writer has left some
        settings = {"metadata": metadata, "page_checksum_verification": True}
        with pq.ParquetFile(path, read_dictionary=list(encoded), **settings) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        cause = str(error).partition("\n")[0]
        raise FrameError(
            f"{path} is not a whole Parquet file (cut off, damaged, or not Parquet at all): {cause}; {AGAIN}"
        ) from error


def _check_columns(path: Path, schema: pa.Schema, columns: Mapping[str, str]) -> None:
    if missing := [name for name in ("schema_version", *columns) if name not in schema.names]:
        raise FrameError(f"{path} is not a file of agrae_lab's kind: it lacks the columns {missing}; name another root")
    for name, kind in columns.items():
        found = schema.field(name).type
        if pa.types.is_dictionary(found):
            found = found.value_type
        if not _HOLDS[kind](found):
            raise FrameError(
                f"{path} is not a file of agrae_lab's kind: its column {name} holds {found}, but should hold {kind}; "
                "name another root"
            )


def _check_rows(path: Path, rows: pa.Table | pa.RecordBatch, columns: Mapping[str, str]) -> None:
    rows.validate(full=True)  # that text is text and codes stand for something: reading alone does not ask
    versions = pc.unique(rows["schema_version"]).to_pylist()
    if versions not in ([SCHEMA_VERSION], []):
        raise FrameError(
            f"{path} has schema version {versions[0] if len(versions) == 1 else versions}, but this analysis reads "
            f"version {SCHEMA_VERSION}; use the agrae_lab that wrote it, or another root"
        )
    for name, kind in columns.items():
        if kind in (INTEGER, TEXT) and rows[name].null_count:
            raise FrameError(f"{path} has rows without {name}; {AGAIN}")
