"""Table of all runs of a study, or of a root: a row per run, a column per variable.

run, cell, arm, seed, status, error, failure, attempts, <timings in seconds>
                                 the seed is -1 where the name of an unreadable run's directory has none
setting <key>                    every setting that decides the result, by its config key
pass@<k>/<benchmark>             mean Pass@k over the problems, for k = 1, 2, 4, … up to n; empty before evaluation
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agrae_lab import runs
from sweeps.inspect.status import UNREADABLE
from sweeps.planning.run_dirs import arm_in_name, read_run_meta, seed_in_name, shown_status

if TYPE_CHECKING:
    import pandas as pd


def collect(run_dirs: Sequence[Path], *, cells: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the table, in the order of the run directories.

    Args:
        cells: run key → label of its cell in a study.

    Raises:
        analysis.io.study.FrameError: an evaluation that cannot be read.
    """
    import pandas as pd

    return pd.DataFrame(_one_type_each([_row_or_fault(path, cells or {}) for path in run_dirs]))


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write or replace a .csv or .parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with runs.replacing(path) as temporary:
        if path.suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)


def _row_or_fault(path: Path, cells: Mapping[str, str]) -> dict[str, Any]:
    """Return the row of a run; one whose own files cannot be read has status unreadable and the error."""
    try:
        read_run_meta(path)
        return _row(runs.read_run(path), cells)
    except runs.RunError as error:
        key, arm, seed = f"{path.parent.name}/{path.name}", arm_in_name(path), seed_in_name(path)
        return {"run": key, "cell": cells.get(key), "arm": arm, "seed": seed, "status": UNREADABLE, "error": str(error)}


def _row(run: runs.Run, cells: Mapping[str, str]) -> dict[str, Any]:
    failure = run.meta.get("failure") or {}
    identity = {"run": run.key, "cell": cells.get(run.key), "arm": run.arm, "seed": run.seed}
    identity["status"] = shown_status(run)
    ended = {"error": run.meta.get("error"), "failure": failure.get("class")}
    attempts = {"attempts": len(run.meta.get("attempts", ())), **run.meta.get("timings", {})}
    settings = {f"setting {key}": value for key, value in runs.settings(run.config).items() if value != {}}
    return {**identity, **ended, **attempts, **settings, **_values(run)}


def _one_type_each(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with lists, and values of mixed types, as JSON: a column of Parquet has one type."""
    kinds: dict[str, set[str]] = {}
    for row in rows:
        for column, value in row.items():
            kinds.setdefault(column, set()).add("number" if type(value) in (int, float) else type(value).__name__)
    mixed = {column for column, found in kinds.items() if len(found - {"NoneType"}) > 1 or "list" in found}
    return [
        {key: json.dumps(value) if key in mixed and value is not None else value for key, value in row.items()}
        for row in rows
    ]


def _values(run: runs.Run) -> dict[str, float]:
    from analysis.io.eval_counts import read_counts
    from analysis.statistics.passk import pass_at_k

    values: dict[str, float] = {}
    for benchmark in run.benchmarks():
        counts = read_counts(run.samples_path(benchmark))
        ks = [2**i for i in range(counts.num_samples.bit_length())]
        means = pass_at_k(counts.correct_P, counts.num_samples, ks).mean(axis=0)
        values |= {f"pass@{k}/{benchmark}": float(mean) for k, mean in zip(ks, means, strict=True)}
    return values
