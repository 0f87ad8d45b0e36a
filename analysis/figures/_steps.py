"""Drawing and description of lines over training steps, and figures of one per-step metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.estimates.step_differences import step_differences
from analysis.estimates.step_series import MEAN, series_table
from analysis.figures._curves import draw_arm
from analysis.figures._intervals import beside, draw_intervals
from analysis.io.study import Study
from analysis.presentation.captions import each
from analysis.presentation.style import colour, dash, label, line_style, sort_arms
from analysis.statistics.collapse import RULE
from analysis.statistics.intervals import FEW_SEEDS

STEP_AXIS = "Training step (generation batch)"
LEVEL, DIFFERENCE = "level", "difference"  # column `kind`
_RAW: dict[str, Any] = {"linewidth": 0.4, "alpha": 0.55}  # the recorded line beneath a mean or a moving mean
_FEW = 4  # with more arms, lines are thinner
_MOST_RUNS = 30  # with more finished runs, those beside a mean are in the CSV only
_INTERVALS = 8  # of a mean, drawn along its line


@dataclass(frozen=True)
class StepFigure:
    """Figure of one per-step metric: the names that analysis/figures asks of a figure."""

    NAME: str
    QUESTION: str
    PAPER: str
    column: str  # of metrics.parquet
    quantity: str  # the drawn quantity, a noun phrase for the caption
    axis: str  # label of the y axis
    definition: tuple[str, ...] = ()  # sentences for the details
    paired: bool = False  # True: differences from the reference on the same prompts, in a panel below
    COLUMNS: int = 1

    def table(self, study: Study) -> pd.DataFrame:
        """Return the rows of series_table (kind "level"), then those of step_differences (kind "difference")."""
        levels = series_table(study, self.column).assign(panel="", kind=LEVEL)
        differences = step_differences(study, self.column) if self.paired else pd.DataFrame()
        if differences.empty:
            return levels
        panel = f"minus {label(study.reference)}, same prompts"
        ends = {"first": levels["step"].min(), "last": levels["step"].max()}  # of the axis above
        differences = differences.assign(panel=panel, kind=DIFFERENCE, seed=MEAN, collapse=False, **ends)
        return pd.concat([levels, differences], ignore_index=True).astype({"window": "Int64", "collapse": bool})

    def caption(self, table: pd.DataFrame) -> str:
        """Return the drawn quantities, then lines, seeds and interval."""
        levels, lower = table[table["kind"] == LEVEL], table[table["kind"] == DIFFERENCE]
        below = ""
        if len(lower):
            interval = ", with 95 % intervals" if lower["lo"].notna().any() else ""
            reference = label(lower["reference"].iloc[0])
            below = f" (above), and an arm's minus {reference}'s on the same prompts{interval} (below)"
        return f"{self.quantity}{below}. {summarize_steps(levels, intervals=not self.paired)}"

    def details(self, table: pd.DataFrame) -> Sequence[str]:
        """Return the metric's definition, the differences, then smoothing, unfinished runs and collapses."""
        levels, lower = table[table["kind"] == LEVEL], table[table["kind"] == DIFFERENCE]
        return [*self.definition, *_describe_differences(lower), *describe_steps(levels)]

    def draw(self, table: pd.DataFrame, ax: Axes) -> Axes:
        """Draw the metric's lines, or the differences."""
        if table["kind"].iloc[0] == DIFFERENCE:
            draw_differences(table, ax)
        else:
            draw_steps(table, ax, intervals=not self.paired)
            ax.set_ylabel(self.axis)
        return ax


def draw_differences(table: pd.DataFrame, ax: Axes) -> None:
    """Draw each arm's differences with their intervals, arms side by side, and a line at zero."""
    ax.axhline(0.0, color="0.4", linewidth=0.8, zorder=1)
    arms = sort_arms(list(table["arm"].unique()))
    for place, arm in enumerate(arms):
        rows = table[table["arm"] == arm].rename(columns={"value": "estimate"})
        draw_arm(rows, "step", ax, transform=beside(ax, place, len(arms)))
    ax.update_datalim([(table["first"].iloc[0], 0.0), (table["last"].iloc[0], 0.0)])
    _finish_steps(table, ax)
    ax.set_ylabel("Difference")


def _describe_differences(lower: pd.DataFrame) -> list[str]:
    if lower.empty:
        return []
    blocks = "–".join(str(size) for size in sorted({int(lower["block"].min()), int(lower["block"].max())}))
    counts = lower.groupby("arm", sort=False)["seeds"].first()
    interval = "t over paired seeds" if (counts > 1).any() else "none with one seed"
    return [
        f"Differences: runs of the same seed, step by step, then the mean over blocks of {blocks} steps.",
        f"Pairs of runs: {each(counts)}; interval: {interval}.",
    ]


def draw_steps(table: pd.DataFrame, ax: Axes, *, intervals: bool = True) -> None:
    """Draw a line for each run; for several finished seeds their mean, and thin lines for the seeds.

    Args:
        intervals: draw those of the mean at about _INTERVALS steps, each arm's at steps of its own.
    """
    arms, seeds = sort_arms(list(table["arm"].unique())), _draws_seeds(table)
    style: dict[str, Any] = {"marker": ""} | ({"linewidth": 0.8} if len(arms) > _FEW else {})
    for place, arm in enumerate(arms):
        main, others = _main_line(table[table["arm"] == arm])
        if intervals and main["lo"].notna().any():
            stride = max(-(-len(main) // _INTERVALS), 1)
            shown = main.iloc[place * stride // len(arms) :: stride].rename(columns={"value": "estimate"})
            draw_intervals(shown, "step", ax, colour=colour(arm), transform=ax.transData)
        if len(main):
            _draw_line(main, ax, arm, **style)
        _draw_others(others, ax, arm, beside_main=len(main) > 0, seeds=seeds, **style)
    _finish_steps(table, ax)


def draw_validations(table: pd.DataFrame, ax: Axes) -> None:
    """Draw as draw_steps, for few recorded steps: with a marker and an interval at each, arms side by side."""
    arms, seeds = sort_arms(list(table["arm"].unique())), _draws_seeds(table)
    for place, arm in enumerate(arms):
        main, others = _main_line(table[table["arm"] == arm])
        side = beside(ax, place, len(arms), num_x=table["step"].nunique())
        if len(main):
            rows = main.rename(columns={"value": "estimate"})
            draw_intervals(rows, "step", ax, colour=colour(arm), transform=side)
            _draw_line(main, ax, arm, transform=side, linewidth=0.9, markersize=3.0)
        _draw_others(others, ax, arm, beside_main=len(main) > 0, seeds=seeds)
    _finish_steps(table, ax)


def _main_line(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return an arm's mean over seeds, or its only finished run, and the other lines."""
    done = rows[rows["status"] == "done"]
    main = done[done["seed"] == MEAN]
    if main.empty and done["seed"].nunique() == 1:
        main = done
    return main, rows.drop(main.index)


def _draws_seeds(table: pd.DataFrame) -> bool:
    """Return True if single seeds are drawn beside their mean."""
    finished = table[(table["status"] == "done") & (table["seed"] != MEAN)]
    return len(finished[["arm", "seed"]].drop_duplicates()) <= _MOST_RUNS


def _draw_others(others: pd.DataFrame, ax: Axes, arm: str, *, beside_main: bool, seeds: bool, **style: Any) -> None:
    """Draw the runs beside an arm's main line: finished ones thin, unfinished ones with a cross at their end.

    Args:
        beside_main: the arm has a main line.
        seeds: draw finished runs beside it.
    """
    for (_, status), run in others.groupby(["seed", "status"]):
        if status != "done":
            _draw_unfinished(run, ax, arm, str(status))
        elif beside_main and seeds:
            ax.plot(run["step"], run["value"], color=colour(arm), linestyle=dash(arm), **_RAW)
        elif not beside_main:
            _draw_line(run, ax, arm, **style)


def _finish_steps(table: pd.DataFrame, ax: Axes) -> None:
    mark_collapses(table, ax)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.set_xlabel(STEP_AXIS)


def _draw_line(line: pd.DataFrame, ax: Axes, arm: str, **changes: Any) -> None:
    """Draw the recorded line; if a moving mean was asked for, draw that over a thin recorded line."""
    style = line_style(arm) | changes
    smooth = line.dropna(subset="smooth")
    if smooth.empty:
        ax.plot(line["step"], line["value"], label=label(arm), **style)
        return
    ax.plot(line["step"], line["value"], **(style | {"linestyle": "-"} | _RAW))
    ax.plot(smooth["step"], smooth["smooth"], label=label(arm), **(style | {"marker": ""}))


def _draw_unfinished(run: pd.DataFrame, ax: Axes, arm: str, status: str) -> None:
    """Draw a thin line that ends in a cross."""
    end = {"linewidth": 0.7, "marker": "x", "markevery": [-1]}
    ax.plot(run["step"], run["value"], label=f"{label(arm)} ({status})", **(line_style(arm) | end))


def mark_collapses(table: pd.DataFrame, ax: Axes) -> None:
    """Draw a ring at the step of every collapse."""
    marks = table[table["collapse"]]
    if len(marks):
        ring: dict[str, Any] = {"markerfacecolor": "none", "markersize": 8, "markeredgewidth": 1.1, "color": "0.1"}
        ax.plot(marks["step"], marks["value"], "o", linestyle="none", label="collapse", zorder=5, **ring)


def summarize_steps(table: pd.DataFrame, *, intervals: bool = True) -> str:
    """Return one sentence for a caption: lines, seeds and interval, from the columns of series_table."""
    mean = table[table["seed"] == MEAN]
    if mean.empty:
        reason = "" if table["lo"].notna().any() else "; no interval, since no arm has two finished seeds"
        return f"One line per run{reason}."
    counts = mean.groupby("arm", sort=False)["seeds"].first()
    interval = " with its 95 % interval" if intervals else ""
    if _draws_seeds(table):
        return f"Thick: mean over seeds ({each(counts)}){interval}; thin: single seeds."
    return f"Lines: mean over seeds ({each(counts)}){interval}; the CSV has the single seeds."


def describe_steps(table: pd.DataFrame) -> list[str]:
    """Return sentences on smoothing, few seeds, unfinished runs and collapses, from the columns of series_table."""
    mean = table[table["seed"] == MEAN]
    sentences = [_describe_smoothing(table)]
    if len(mean):
        sentences.append("Interval of a mean: t over seeds at each step; the CSV has those of all steps.")
        if mean["seeds"].min() < FEW_SEEDS:
            sentences.append(f"Fewer than {FEW_SEEDS} seeds: read these intervals with care.")
        if single := sorted({label(arm) for arm in set(table["arm"]) - set(mean["arm"])}):
            sentences.append(f"Fewer than two finished seeds, so no interval: {', '.join(single)}.")
    if (table["status"] != "done").any():
        sentences.append(
            "A cross ends the thin line of a run that diverged or is unfinished. No mean includes it, so means are "
            "conditional on finishing."
        )
    if table["collapse"].any():
        sentences.append(f"A ring marks a run's collapse, or the last step of a diverged run. {RULE}")
    return sentences


def _describe_smoothing(table: pd.DataFrame) -> str:
    if table["window"].isna().all():
        return "Recorded values, no smoothing."
    window = f"centred moving mean over {table['window'].iloc[0]} steps"
    if table["smooth"].isna().all():
        return f"Recorded values: the runs are too short for the requested {window}."
    return f"Lines: the requested {window}. Thinner lines: the recorded values, to which intervals and rings belong."
