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
    instead: str,
) -> Any:
    """The `datasets.Dataset` of one split.

    Args:
        columns: those that must be there.
        instead: what to do where it cannot be loaded.

    Raises:
        ValueError: it cannot be loaded, or lacks a column.
    """
    import datasets  # takes a second, and most runs need none

    where = named(repo, revision)
    try:
        rows = datasets.load_dataset(repo, config, split=split, revision=revision)
    except Exception as error:  # of datasets, huggingface_hub, httpx and the file system
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise ValueError(f"{where} cannot be loaded ({reason}); {instead}") from error
    if missing := [column for column in columns if column not in rows.column_names]:
        raise ValueError(f"{where} has no column {', '.join(missing)}; it has {', '.join(rows.column_names)}")
    return rows


def named(repo: str, revision: str) -> str:
    """What messages call a data set."""
    return f"dataset {repo} at revision {revision}"


def give_a_file(name: str, columns: str) -> str:
    """How to have the set called `name` without the hub."""
    return (
        f"give {name}.jsonl with columns {columns} in the folder hardware.data_dir (or AGRAE_DATA), or a file as "
        "task.train_file or evaluation.benchmarks.<name>.file"
    )
