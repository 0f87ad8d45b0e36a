"""Reader of training records: metrics by step, and groups of rollouts.

A group is the G completions of one prompt at one step. Shapes: N completions of a step in M groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from agrae_lab.runs import Run
from analysis.io import parquet
from analysis.io.parquet import FrameError

_ROLLOUT_COLUMNS = {
    "step": parquet.INTEGER,
    "group": parquet.INTEGER,
    "sample": parquet.INTEGER,
    "correct": parquet.BOOLEAN,
    "valid": parquet.BOOLEAN,
    "advantage": parquet.NUMBER,
    "advantage_grpo": parquet.NUMBER,
}
_INTEGERS = ("step", "group", "size", "correct", "invalid")
_HISTOGRAM = "p_histogram"  # the one metric that is a list; every other is a number
_MASSES = ("adv_positive_mass", "adv_negative_mass", "grpo_positive_mass", "grpo_negative_mass")
GROUP_COLUMNS = (*_INTEGERS, "p", "adv_sum", "adv_abs_sum", "grpo_abs_sum", *_MASSES)


def read_metrics(run: Run, columns: Iterable[str], *, keep_infinite: bool = False) -> pd.DataFrame:
    """Return the named columns of metrics.parquet by step; no rows where nothing is recorded yet.

    Infinite values become NaN unless `keep_infinite`.

    Raises:
        FrameError: the file is unreadable, its schema version differs, a column is missing or of another kind, or a
            step occurs twice.
    """
    columns = tuple(columns)
    if not run.metrics_path.is_file():
        return pd.DataFrame({name: pd.Series(dtype=float) for name in ("step", *columns)})
    with parquet.run_named_in_errors(run.path):
        frame = read_metrics_file(parquet.file_state(run.metrics_path), columns, keep_infinite)
    return frame.copy(deep=False)  # copied on write


@lru_cache(maxsize=2048)  # several figures ask for the same columns
def read_metrics_file(state: parquet.FileState, columns: tuple[str, ...], keep_infinite: bool = False) -> pd.DataFrame:
    """Return the named columns of an existing metrics.parquet, as `read_metrics`; the caller must not change them."""
    path = state[0]
    wanted = {"step": parquet.INTEGER, **dict.fromkeys(columns, parquet.NUMBER)}
    if _HISTOGRAM in wanted:
        wanted[_HISTOGRAM] = parquet.NUMBERS
    frame = parquet.read(path, wanted).to_pandas().sort_values("step", ignore_index=True)
    repeated = frame["step"][frame["step"].duplicated()]
    if len(repeated):
        raise FrameError(
            f"{path}: step {repeated.iloc[0]} is recorded twice, but a run has one row per step; {parquet.REMEDY}"
        )
    if keep_infinite:
        return frame
    numbers = frame.select_dtypes("number")
    return frame.assign(**numbers.replace([np.inf, -np.inf], np.nan))  # gaps.py reports them


def read_groups(run: Run) -> pd.DataFrame:
    """Return every group of a run by step and group; no rows where no rollouts are recorded.

    Columns (GROUP_COLUMNS): size is G; correct and invalid count completions; p is correct / size; adv_sum is ΣA;
    adv_abs_sum is Σ|A|; adv_positive_mass and adv_negative_mass are Σ|A| by sign of A; grpo_* are the same of plain
    GRPO on the same rewards. Where invalid > 0, the success rate is unknown, and p counts those as not correct.

    An unchanged file is read once. Memory grows with the number of groups, not of completions.

    Raises:
        FrameError: a file is unreadable or foreign, its schema version differs, it is empty or holds another step
            than its name says, a completion occurs twice, or group sizes differ.
    """
    with parquet.run_named_in_errors(run.path):
        kept = _read_groups(tuple(map(parquet.file_state, run.rollout_paths())))
    return kept.copy(deep=False)  # copied on write


@lru_cache(maxsize=32)  # several figures ask for the same runs; 140 steps of 1,024 groups take 12 MB
def _read_groups(files: tuple[parquet.FileState, ...]) -> pd.DataFrame:
    parts = [_read_step_groups(path) for path, _, _ in files]
    empty = {name: np.zeros(0, dtype=np.int32 if name in _INTEGERS else np.float64) for name in (*_INTEGERS, *_MASSES)}
    frame = pd.DataFrame(
        {name: np.concatenate([start, *(part[name] for part in parts)]) for name, start in empty.items()}
    )
    frame["p"] = frame["correct"] / frame["size"]
    frame["adv_sum"] = frame["adv_positive_mass"] - frame["adv_negative_mass"]
    frame["adv_abs_sum"] = frame["adv_positive_mass"] + frame["adv_negative_mass"]
    frame["grpo_abs_sum"] = frame["grpo_positive_mass"] + frame["grpo_negative_mass"]
    return frame[list(GROUP_COLUMNS)]


def _read_step_groups(path: Path) -> dict[str, np.ndarray]:
    """Return the columns _INTEGERS and _MASSES of one step's file, [M] each."""
    table = parquet.read(path, _ROLLOUT_COLUMNS)
    step = _check_step(path, table)
    groups_M, group_N = np.unique(table["group"].to_numpy(), return_inverse=True)
    size_M = np.bincount(group_N)
    _check_no_repeats(path, table, group_N)
    if size_M.min() < size_M.max():
        sizes = f"{size_M.min()} to {size_M.max()} completions"
        raise FrameError(f"{path}: groups of {sizes}, but all groups of a step have one size; {parquet.REMEDY}")
    parquet.check_marks(path, table)
    marks = {name: table[name].fill_null(False).to_numpy() for name in ("correct", "valid")}
    counted = {
        "step": np.full(len(groups_M), step),
        "group": groups_M,
        "size": size_M,
        "correct": np.bincount(group_N, weights=marks["correct"]),
        "invalid": size_M - np.bincount(group_N, weights=marks["valid"]),
    }
    columns: dict[str, np.ndarray] = {name: values.astype(np.int32) for name, values in counted.items()}
    for name, prefix in (("advantage", "adv"), ("advantage_grpo", "grpo")):
        advantage_N = table[name].to_numpy().astype(np.float64)
        columns[f"{prefix}_positive_mass"] = np.bincount(group_N, weights=np.maximum(advantage_N, 0.0))
        columns[f"{prefix}_negative_mass"] = np.bincount(group_N, weights=np.maximum(-advantage_N, 0.0))
    return columns


def _check_step(path: Path, table: pa.Table) -> int:
    """Return the step of a file, which its name and all its rows must agree on."""
    steps = np.unique(table["step"].to_numpy())
    named = path.stem.removeprefix("step-")
    if len(steps) != 1 or not named.isdigit() or steps[0] != int(named):
        found = f"rows of step {', '.join(map(str, steps[:5]))}" if len(steps) else "no rows"
        raise FrameError(f"{path}: {found}, but its name says step {named}; {parquet.REMEDY}")
    return int(steps[0])


def _check_no_repeats(path: Path, table: pa.Table, group_N: np.ndarray) -> None:
    if pd.DataFrame({"group": group_N, "sample": table["sample"].to_numpy()}).duplicated().any():
        raise FrameError(f"{path}: a completion (group, sample) occurs more than once; {parquet.REMEDY}")


def read_groups_without_invalid(run: Run) -> pd.DataFrame:
    """Return the groups without invalid completions: columns step, p (share correct), size (G), abs_sum (Σ|A|).

    Raises:
        FrameError: as `read_groups`.
    """
    groups = read_groups(run)
    known = groups[groups["invalid"] == 0].rename(columns={"adv_abs_sum": "abs_sum"})
    return known[["step", "p", "size", "abs_sum"]].reset_index(drop=True)


def read_p_histogram(run: Run) -> pd.DataFrame:
    """Return the number of groups of each step with c of G completions correct; no rows where nothing is recorded.

    Columns: step, correct (c), size (G), groups. Every c from 0 to G has a row. The histogram comes from
    metrics.parquet, with dropped groups, or is counted from the rollouts, without them, where metrics.parquet has none.
    Invalid completions are not correct.

    Raises:
        FrameError: as `read_groups`, or the metrics cannot be read.
    """
    histograms = _recorded_histograms(run) or _counted_histograms(run)
    sizes = [len(groups) - 1 for _, groups in histograms]
    return pd.DataFrame(
        {
            "step": np.repeat([step for step, _ in histograms], [size + 1 for size in sizes]).astype(np.int64),
            "correct": np.concatenate([np.zeros(0, np.int64), *(np.arange(size + 1) for size in sizes)]),
            "size": np.repeat(sizes, [size + 1 for size in sizes]).astype(np.int64),
            "groups": np.concatenate([np.zeros(0, np.int64), *(groups for _, groups in histograms)]),
        }
    )


def _recorded_histograms(run: Run) -> list[tuple[int, np.ndarray]]:
    with parquet.run_named_in_errors(run.path):
        if not run.metrics_path.is_file() or _HISTOGRAM not in parquet.column_names(run.metrics_path):
            return []
    recorded = read_metrics(run, [_HISTOGRAM]).dropna()
    pairs = zip(recorded["step"], recorded[_HISTOGRAM], strict=True)
    return [(int(step), groups.astype(np.int64)) for step, groups in pairs]


def _counted_histograms(run: Run) -> list[tuple[int, np.ndarray]]:
    steps = [groups for _, groups in read_groups(run).groupby("step")]
    return [
        (int(groups["step"].iloc[0]), np.bincount(groups["correct"], minlength=groups["size"].iloc[0] + 1))
        for groups in steps
    ]
