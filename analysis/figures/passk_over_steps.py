"""Pass@1 and Pass@k of the policies during training against step, and their differences from the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.estimates.passk_curves import collect
from analysis.figures._curves import draw_arm
from analysis.figures._intervals import beside
from analysis.figures._steps import STEP_AXIS
from analysis.io.study import BASE, Study, at_step
from analysis.presentation.captions import summarize_setting
from analysis.presentation.style import PERCENT, label, sort_arms
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import Contrast, Evaluations

NAME = "passk_over_steps"
QUESTION = "Does coverage (Pass@k at the largest k) shrink while Pass@1 grows, and from which step on?"
PAPER = ""


def table(study: Study) -> pd.DataFrame:
    """Return one row per benchmark, arm, step and k; no rows unless a policy before the last has been evaluated.

    Columns: panel, benchmark, arm, step, k, estimate, lo, hi, method, scope, seeds, n, problems.
    """
    steps = sorted({step for run in study.runs for step in run.evaluated_steps()})
    rows = [
        row
        for benchmark in study.benchmarks
        if any(run.step_samples_path(step, benchmark).is_file() for run in study.runs for step in steps)
        for row in _rows(_by_step(study, benchmark, steps), study.reference)
    ]
    return pd.DataFrame(rows)


def _by_step(study: Study, benchmark: str, steps: list[int]) -> dict[int, Evaluations]:
    """Return step → evaluations of the arms after that step; the last step has the trained policies."""
    found = {step: e for step in steps if (e := collect(at_step(study, step), benchmark)) is not None}
    last = collect(study, benchmark)
    if last is not None:
        found[max(int(run.config["train"]["num_steps"]) for run in study.runs)] = last
    return found


def _rows(by_step: Mapping[int, Evaluations], reference: str) -> Iterator[dict[str, Any]]:
    arms = sort_arms(list({arm for e in by_step.values() for arm in e.correct if arm != BASE}))
    for step, e in by_step.items():
        for k in dict.fromkeys((1, e.largest_k)):
            for arm in (arm for arm in arms if arm in e.correct):
                yield _row(e, {arm: {k: 1.0}}, arm, step, k, "")
                if arm != reference and reference in e.correct:
                    yield _row(e, {arm: {k: 1.0}, reference: {k: -1.0}}, arm, step, k, f" minus {label(reference)}")
    first = next((e for e in by_step.values() if BASE in e.correct), None)
    if first is not None:  # every arm starts from the base model
        for k in dict.fromkeys((1, first.largest_k)):
            base = _row(first, {BASE: {k: 1.0}}, BASE, 0, k, "")
            yield from ({**base, "arm": arm} for arm in arms)


def _row(e: Evaluations, contrast: Contrast, arm: str, step: int, k: int, versus: str) -> dict[str, Any]:
    (interval,) = contrast_intervals(e, [contrast], bands=False)
    return {
        "panel": f"{e.benchmark}: Pass@{k}{versus}",
        "benchmark": e.benchmark,
        "arm": arm,
        "step": step,
        "k": k,
        **interval.columns,
        "seeds": len(e.seeds.get(arm, ())),
        "n": e.num_samples,
        "problems": e.num_problems,
    }


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantity, then n, seeds and scope."""
    return f"Pass@k of the policies at evaluation.at_steps, with 95 % intervals. {summarize_setting(table)}"


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return how to read the steps and the differences."""
    return ("Step 0 is the base model.", "Differences compare policies of the same step, paired by problem.")


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a line with its intervals for each arm, arms side by side."""
    arms = sort_arms(list(table["arm"].unique()))
    for place, arm in enumerate(arms):
        rows = table[table["arm"] == arm].sort_values("step")
        draw_arm(rows, "step", ax, transform=beside(ax, place, len(arms)))
    is_difference = " minus " in table["panel"].iloc[0]
    if is_difference:
        ax.axhline(0.0, color="0.4", linewidth=0.8, zorder=1)
    ax.yaxis.set_major_formatter(PERCENT)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.set_xlabel(STEP_AXIS)
    ax.set_ylabel("Difference (pp)" if is_difference else "Pass@k (%)")
    return ax
