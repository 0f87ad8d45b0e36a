"""Per-step metrics of the arms of a study: one line per run, and the mean over seeds where an arm has several."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .frames import Study, read_metrics
from .stats import t_quantile

COLUMNS = ("arm", "seed", "step", "value", "lo", "hi", "seeds", "status", "method")


def series_table(study: Study, column: str) -> pd.DataFrame:
    """A metric by step, as recorded: no smoothing. Columns: COLUMNS.

    Rows with seed "mean" are the mean over an arm's finished seeds at steps that all of them recorded, with the t
    interval of that step; they exist for arms with two or more finished seeds. Other rows are single runs, without
    interval. Steps where the metric is null are left out.

    Raises:
        FrameError: a run's metrics cannot be read.
    """
    frames = []
    for arm, runs in study.arms.items():
        for run in runs:
            frame = read_metrics(run, [column]).dropna(subset=column).rename(columns={column: "value"})
            frames.append(frame.assign(arm=arm, seed=str(run.seed), status=run.status, seeds=1))
        wide = steps_by_seed(pd.concat(frames[-len(runs) :]))
        if wide.shape[1] > 1 and len(wide):
            frames.append(_mean_over_seeds(wide).assign(arm=arm, seed="mean", status="done", seeds=wide.shape[1]))
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.concat(frames, ignore_index=True)
    for bound in ("lo", "hi"):
        table[bound] = table.get(bound, np.nan)
    table["method"] = np.where(table["seed"] == "mean", "mean, t over seeds at each step", "recorded value")
    return table[list(COLUMNS)]


def metric_by_seed(study: Study, column: str) -> dict[str, pd.DataFrame]:
    """Arm → [T, S]: a metric of the arm's finished runs by step and seed; arms without any are left out."""
    rows = series_table(study, column)
    wide = {arm: steps_by_seed(rows[rows["arm"] == arm]) for arm in study.arms}
    return {arm: frame for arm, frame in wide.items() if not frame.empty}


def steps_by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """[steps, seeds] of an arm's finished runs; only steps that all of them recorded."""
    done = rows[(rows["status"] == "done") & (rows["seed"] != "mean")]
    return done.pivot(index="step", columns="seed", values="value").dropna()


def _mean_over_seeds(wide: pd.DataFrame) -> pd.DataFrame:
    values_TS = wide.to_numpy(dtype=float)
    num_seeds = values_TS.shape[1]
    mean_T = values_TS.mean(axis=1)
    # No metric here can be negative, so neither can its mean.
    half_T = t_quantile(num_seeds - 1) * values_TS.std(axis=1, ddof=1) / np.sqrt(num_seeds)
    return pd.DataFrame(
        {"step": wide.index, "value": mean_T, "lo": np.maximum(mean_T - half_T, 0.0), "hi": mean_T + half_T}
    )
