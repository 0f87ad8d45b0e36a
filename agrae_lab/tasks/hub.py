"""Data sets on the Hugging Face hub (or in its local cache) at a pinned commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def hub_rows(
    repo: str,
    *,
    revision: str,
    split: str,
    config: str | None,
    columns: Sequence[str],
    remedy: str,
) -> Any:
    """Return the `datasets.Dataset` of one split.

    Args:
        columns: the columns that it must have.
        remedy: advice if it cannot be loaded.

    Raises:
        ValueError: the split cannot be loaded, or lacks a column.
    """
    import datasets  # its import takes a second

    where = dataset_name(repo, revision)
    try:
        rows = datasets.load_dataset(repo, config, split=split, revision=revision)
    except Exception as error:  # errors of datasets, huggingface_hub, httpx and the file system
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ValueError(f"{where} cannot be loaded ({reason}). {remedy}") from error
    if missing := [column for column in columns if column not in rows.column_names]:
        raise ValueError(f"{where} has no column {', '.join(missing)}. It has {', '.join(rows.column_names)}")
    return rows


def dataset_name(repo: str, revision: str) -> str:
    """Return the name of a data set in messages."""
    return f"dataset {repo} at revision {revision}"


def file_advice(name: str, columns: str) -> str:
    """Return the advice to give a set as a file."""
    return (
        f"Give {name}.jsonl with columns {columns} in the folder hardware.data_dir (or AGRAE_DATA), or a file as "
        "task.train_file or evaluation.benchmarks.<name>.file"
    )
