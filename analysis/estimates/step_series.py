"""Per-step metrics of a study's arms: one line per run, and the mean over seeds of arms with several."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from agrae_lab.runs import Run
from analysis.io.parquet import FrameError
from analysis.io.study import Study
from analysis.io.training_records import read_metrics
from analysis.statistics.collapse import collapse_table
from analysis.statistics.intervals import t_quantile

COLUMNS = (
    "arm", "seed", "step", "value", "lo", "hi", "smooth", "window", "collapse", "seeds", "status", "method",
)  # fmt: skip
MEAN = "mean"


def series_table(study: Study, column: str, *, over: str | None = None) -> pd.DataFrame:
    """Return a metric by step, or its ratio to the metric `over`. Columns: COLUMNS.

    Rows with seed "mean" are the mean over an arm's finished seeds that recorded the metric (two or more), at steps
    common to them, with the t interval of that step. Other rows are single runs without interval. Steps where the
    metric is null are left out. `smooth` is the centred moving mean of `value` over `window` steps; both are missing
    unless study.view.smooth is set. `collapse` is true at the first recorded step from a run's collapse on, or at its
    last row where none follows.

    Raises:
        FrameError: a run's metrics cannot be read, or study.view.smooth is not an odd number of at least 3.
    """
    return with_means(study, recorded(study, column, over=over))


def with_means(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Return rows of single runs (columns arm, seed, status, step, value) as series_table does, with means over seeds.

    Raises:
        FrameError: as `series_table`.
    """
    means = [
        _mean_over_seeds(wide).assign(arm=arm, seed=MEAN, status="done", seeds=wide.shape[1])
        for arm, runs in study.arms.items()
        if sum(run.status == "done" for run in runs) > 1
        if (wide := steps_by_seed(table[table["arm"] == arm])).shape[1] > 1 and len(wide)
    ]
    table = pd.concat([table.assign(seeds=1, lo=np.nan, hi=np.nan), *means], ignore_index=True)
    table["method"] = np.where(table["seed"] == MEAN, "mean, t over seeds at each step", "recorded value")
    table["window"] = pd.array([study.view.smooth] * len(table), dtype="Int64")
    table["smooth"] = _smooth(table, study.view.smooth)
    table["collapse"] = _at_collapse(table, collapse_table(study))
    return table[list(COLUMNS)]


def recorded(study: Study, column: str, *, over: str | None = None) -> pd.DataFrame:
    """Return a metric of every run, or its ratio to another: columns arm, seed, status, step, value.

    Steps where the metric is null or the other is zero are left out.

    Raises:
        FrameError: a run's metrics cannot be read.
    """

    def value_of(run: Run) -> pd.Series:
        frame = read_metrics(run, [column, *([over] if over else [])]).set_index("step")
        return frame[column] / frame[over].where(frame[over] != 0) if over else frame[column]

    return rows_of(study, value_of)


def rows_of(study: Study, value_of: Callable[[Run], pd.Series]) -> pd.DataFrame:
    """Return a value of every run by step: columns arm, seed, status, step, value; without the missing values.

    Args:
        value_of: a run → its values, with the steps as index.
    """
    lines = []
    for arm, runs in study.arms.items():
        for run in runs:
            value = value_of(run).dropna()
            if len(value):
                lines.append((arm, str(run.seed), run.status, value.index.to_numpy(), value.to_numpy()))
    names = ("arm", "seed", "status", "step", "value")
    if not lines:
        return pd.DataFrame({name: pd.Series(dtype=float) for name in names})
    *marks, steps, values = zip(*lines, strict=True)
    lengths = [len(step_T) for step_T in steps]
    columns = [np.repeat(np.array(mark, dtype=object), lengths) for mark in marks]
    return pd.DataFrame(dict(zip(names, (*columns, np.concatenate(steps), np.concatenate(values)), strict=True)))


def _smooth(table: pd.DataFrame, window: int | None) -> pd.Series:
    """Return the moving mean of every line; missing without a window."""
    if window is None or table.empty:
        return pd.Series(np.nan, index=table.index)
    return pd.concat([moving_mean(line, window) for _, line in table.groupby(["arm", "seed"], sort=False)])


def moving_mean(line: pd.DataFrame, window: int) -> pd.Series:
    """Return the centred moving mean of `value` at the rows of one line; missing within half a window of the ends.

    A window counts steps: a metric that is measured every eighth step has fewer values in it.

    Raises:
        FrameError: the window is even or below 3.
    """
    if window < 3 or window % 2 == 0:
        raise FrameError(f"smooth={window}: a centred moving mean needs an odd number of at least 3 steps")
    by_step = line.set_index("step")["value"]
    every_step = by_step.reindex(range(by_step.index.min(), by_step.index.max() + 1))
    mean = every_step.rolling(window, center=True, min_periods=1).mean()
    mean.iloc[: window // 2] = np.nan
    mean.iloc[len(mean) - window // 2 :] = np.nan
    return mean.reindex(by_step.index).set_axis(line.index)


def metric_by_seed(study: Study, column: str) -> dict[str, pd.DataFrame]:
    """Return arm → a metric of its finished runs by step and seed, [T, S]. Arms without finished runs are left out."""
    rows = recorded(study, column)
    wide = {arm: steps_by_seed(rows[rows["arm"] == arm]) for arm in study.arms}
    return {arm: frame for arm, frame in wide.items() if not frame.empty}


def steps_by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the values of an arm's finished runs at steps that all of them recorded, [T, S]."""
    done = rows[(rows["status"] == "done") & (rows["seed"] != MEAN)]
    return done.pivot(index="step", columns="seed", values="value").dropna()


def _mean_over_seeds(wide: pd.DataFrame) -> pd.DataFrame:
    """Return columns step, value, lo, hi. A metric without negative values gets no negative bound."""
    values_TS = wide.to_numpy(dtype=float)
    num_seeds = values_TS.shape[1]
    mean_T = values_TS.mean(axis=1)
    half_T = t_quantile(num_seeds - 1) * values_TS.std(axis=1, ddof=1) / np.sqrt(num_seeds)
    floor = 0.0 if (values_TS >= 0).all() else -np.inf
    return pd.DataFrame(
        {"step": wide.index, "value": mean_T, "lo": np.maximum(mean_T - half_T, floor), "hi": mean_T + half_T}
    )


def _at_collapse(table: pd.DataFrame, collapses: pd.DataFrame) -> pd.Series:
    """Return True at each collapsed run's first row from its collapse on, or at its last row where none follows."""
    marks = pd.Series(False, index=table.index)
    for run in collapses[collapses["collapsed"]].to_dict("records"):
        line = table[(table["arm"] == run["arm"]) & (table["seed"] == str(run["seed"]))]
        following = line[line["step"] >= run["step"]]
        if len(line):
            marks[(following if len(following) else line.tail(1)).index[0]] = True
    return marks
