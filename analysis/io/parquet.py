"""Reader of the project's Parquet files: checked columns, whole or batch by batch. Damaged files raise FrameError."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from agrae_lab.runs import SCHEMA_VERSION

# Kinds of columns. Identifiers (INTEGER, TEXT) may have no nulls; in the others a null means "not known".
INTEGER, NUMBER, BOOLEAN, TEXT, NUMBERS = "whole numbers", "numbers", "true or false", "text", "lists of numbers"

REMEDY = "copy it again from the machine that wrote it, or delete it and run again"  # remedy for damage
_FOREIGN = "put the run's own file in its place, or name the root of other runs"  # remedy for a file of another kind

_ROWS = 1 << 18  # of a batch: some tens of MB, however large the file


FileState = tuple[Path, int, int]  # path, time of the last change (ns), size (bytes)


class FrameError(ValueError):
    """Data that must not be used or compared. The message names the fault and the remedy.

    `run` is the directory of the run at fault, or None where no single run is.
    """

    run: Path | None = None


@contextmanager
def run_named_in_errors(run: Path) -> Iterator[None]:
    """Set `run` in every FrameError that the block raises."""
    try:
        yield
    except FrameError as error:
        error.run = error.run or run
        raise


def file_state(path: Path) -> FileState:
    """Return path, time of the last change and size of a file: the key under which its content is cached.

    Raises:
        FrameError: there is no such file.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise FrameError(f"{path}: cannot be read ({error.strerror}); {REMEDY}") from error
    return path, stat.st_mtime_ns, stat.st_size


def column_names(path: Path) -> list[str]:
    """Return the names of a file's columns.

    Raises:
        FrameError: the file cannot be read as Parquet.
    """
    with _open_checked(path, {}) as file:
        return list(file.schema_arrow.names)


def read(path: Path, columns: Mapping[str, str]) -> pa.Table:
    """Return all rows of the named columns (name → kind). No other column is read.

    Raises:
        FrameError: the file is damaged or not of this project, its schema version differs, a column is missing or of
            another kind, or an identifier is null.
    """
    with _open_checked(path, columns) as file:
        table = file.read(["schema_version", *columns], use_threads=False)
        _check_rows(path, table, columns)
    return table.select(list(columns)).replace_schema_metadata(None)  # pandas would obey its metadata


def scan(path: Path, columns: Mapping[str, str], *, encoded: tuple[str, ...] = ()) -> Iterator[pa.RecordBatch]:
    """Yield batches of the named columns in the file's order. The `encoded` ones hold each distinct text once.

    Raises:
        FrameError: as `read`.
    """
    with _open_checked(path, columns, encoded) as file:
        # no threads: the columns are few and cheap, and several processes draw figures at once
        for batch in _joined(file.iter_batches(_ROWS, columns=["schema_version", *columns], use_threads=False)):
            _check_rows(path, batch, columns)
            yield batch.select(list(columns))


def _joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the rows in batches of about _ROWS: encoded columns come in one small batch for each row group."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        rows += batch.num_rows
        if held and rows > _ROWS:
            yield pa.concat_batches(held)
            held, rows = [], batch.num_rows
        held.append(batch)
    if held:
        yield pa.concat_batches(held)


def check_marks(path: Path, rows: pa.Table | pa.RecordBatch) -> None:
    """Refuse valid rows without a verdict.

    Raises:
        FrameError: `correct` is null where `valid` is true.
    """
    contradicting = pc.sum(pc.and_(pc.is_null(rows["correct"]), pc.fill_null(rows["valid"], False))).as_py() or 0
    if contradicting:
        raise FrameError(f"{path}: {contradicting} rows are valid but have no verdict (correct is null); {REMEDY}")


def text_codes(texts: pa.DictionaryArray, known: dict[str, int]) -> np.ndarray:
    """Return the number of each row's text in `known`, [rows]. New texts are added to `known`."""
    indices = texts.indices.to_numpy()
    used = np.flatnonzero(np.bincount(indices, minlength=len(texts.dictionary)))  # a dictionary may list unused texts
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


_IS_KIND: dict[str, Callable[[pa.DataType], bool]] = {
    INTEGER: pa.types.is_integer,
    NUMBER: _is_number,
    BOOLEAN: pa.types.is_boolean,
    TEXT: _is_text,
    NUMBERS: _is_numbers,
}


@contextmanager
def _open_checked(path: Path, columns: Mapping[str, str], encoded: tuple[str, ...] = ()) -> Iterator[pq.ParquetFile]:
    try:
        metadata = pq.read_metadata(path)
        _check_columns(path, metadata.schema.to_arrow_schema(), columns)
        settings = {"metadata": metadata, "page_checksum_verification": True}
        with pq.ParquetFile(path, read_dictionary=list(encoded), **settings) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        cause = str(error).partition("\n")[0]
        raise FrameError(
            f"{path}: not a whole Parquet file (cut off, damaged, or another format): {cause}; {REMEDY}"
        ) from error


def _check_columns(path: Path, schema: pa.Schema, columns: Mapping[str, str]) -> None:
    if missing := [name for name in ("schema_version", *columns) if name not in schema.names]:
        raise FrameError(f"{path}: not a file of agrae_lab, the columns {missing} are missing; {_FOREIGN}")
    for name, kind in columns.items():
        found = schema.field(name).type
        if pa.types.is_dictionary(found):
            found = found.value_type
        if not _IS_KIND[kind](found):
            raise FrameError(
                f"{path}: not a file of agrae_lab, its column {name} holds {found} but should hold {kind}; {_FOREIGN}"
            )


def _check_rows(path: Path, rows: pa.Table | pa.RecordBatch, columns: Mapping[str, str]) -> None:
    rows.validate(full=True)  # reading alone checks neither text encoding nor dictionary codes
    versions = pc.unique(rows["schema_version"]).to_pylist()
    if versions not in ([SCHEMA_VERSION], []):
        raise FrameError(
            f"{path}: schema version {versions[0] if len(versions) == 1 else versions}, but this analysis reads "
            f"version {SCHEMA_VERSION}; use the agrae_lab that wrote the file, or name another root"
        )
    for name, kind in columns.items():
        if kind in (INTEGER, TEXT) and rows[name].null_count:
            raise FrameError(f"{path}: some rows have no {name}; {REMEDY}")
