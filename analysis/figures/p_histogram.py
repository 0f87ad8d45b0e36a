"""Number of prompts with c of G completions correct against training step, one heat map per arm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator

from agrae_lab.runs import Run
from analysis.figures._steps import STEP_AXIS
from analysis.io.study import Study
from analysis.io.training_records import read_p_histogram
from analysis.presentation.captions import each
from analysis.presentation.style import label, sort_arms
from analysis.statistics.intervals import t_quantile

NAME = "p_histogram"
QUESTION = "How do a batch's prompts move between unsolved and solved as training goes on?"
PAPER = ""

_BINS = 100  # steps per heat map: more would be thinner than a printed line


def table(study: Study) -> pd.DataFrame:
    """Return rows: arm, step, correct (c), size (G), value (prompts of a batch with c of G correct, mean over seeds).

    lo and hi: t interval over seeds at each step, for an arm with two or more. Steps: those that all of the arm's runs
    recorded, thinned to one in `every` in long runs. Runs: the finished ones; an arm without any shows its unfinished
    ones. `most`: the largest value of all arms, for a common colour scale.
    """
    frames = [_arm_rows(arm, study.arms[arm]) for arm in sort_arms(list(study.arms))]
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame()
    rows = pd.concat(frames, ignore_index=True)
    return rows.assign(most=rows["value"].max())


def _arm_rows(arm: str, runs: tuple[Run, ...]) -> pd.DataFrame:
    done = [run for run in runs if run.status == "done"]
    read = [read_p_histogram(run).assign(run=run.key) for run in done or runs]
    recorded = pd.concat(read, ignore_index=True)
    if recorded.empty:
        return recorded
    num_runs = recorded["run"].nunique()
    cells = recorded.groupby(["step", "correct", "size"])["groups"].agg(["mean", "std", "count"]).reset_index()
    cells = cells[cells["count"] == num_runs]
    steps = cells["step"].unique()
    every = -(-len(steps) // _BINS)
    cells = cells[cells["step"].isin(steps[::every])]
    half = t_quantile(num_runs - 1) * cells["std"] / np.sqrt(num_runs) if num_runs > 1 else np.nan
    return pd.DataFrame(
        {
            "panel": label(arm) + ("" if done else " (unfinished)"),
            "arm": arm,
            "step": cells["step"],
            "correct": cells["correct"],
            "size": cells["size"],
            "value": cells["mean"],
            "lo": np.maximum(cells["mean"] - half, 0.0),
            "hi": cells["mean"] + half,
            "seeds": num_runs,
            "every": every,
            "status": "done" if done else "unfinished",
        }
    )


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantity, then seeds and interval."""
    seeds = table.groupby("arm", sort=False)["seeds"].first()
    mean = f"Mean over seeds ({each(seeds)}); the CSV has the t interval over seeds of each cell."
    return (
        "Number of the batch's prompts with c of G completions correct. "
        f"{'One seed per arm, so no interval.' if seeds.max() == 1 else mean}"
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the colour scale, thinned steps and unfinished arms."""
    every = int(table["every"].max())
    return (
        "All panels share one colour scale, which is a square root so that small counts differ visibly. No smoothing.",
        "With dynamic sampling, dropped groups count too, but not in runs whose counts come from their rollouts.",
        f"One step in {every} is drawn." if every > 1 else "",
        "Unfinished: an arm without a finished run." if (table["status"] != "done").any() else "",
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw an arm's heat map, and the colour bar beside the last column."""
    cells = table.pivot(index="correct", columns="step", values="value")
    scale = PowerNorm(0.5, vmin=0.0, vmax=float(table["most"].iloc[0]))
    mesh = ax.pcolormesh(
        cells.columns, cells.index, cells.to_numpy(), norm=scale, cmap="cividis", shading="nearest", rasterized=True
    )
    place = ax.get_subplotspec()
    if place is None or place.is_last_col():
        ax.figure.colorbar(mesh, cax=ax.inset_axes((1.03, 0.0, 0.045, 1.0)), label="Prompts")
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.grid(visible=False)
    ax.set_xlabel(STEP_AXIS)
    ax.set_ylabel("c of G correct")
    return ax
