"""Pass@1 and Pass@k of the policies of training against step, and their differences from GRPO at the same step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.estimates.passk_curves import collect
from analysis.io.study import BASE, Study, at_step
from analysis.presentation.style import PERCENT, colour, label, line_style, sort_arms
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import Contrast, Evaluations

NAME = "passk_over_steps"
QUESTION = "Does coverage (Pass@k at the largest k) shrink while Pass@1 grows, and from which step on?"
PAPER = ""
_REFERENCE = "grpo"


def table(study: Study) -> pd.DataFrame:
    """One row per benchmark, arm, step and k. Columns: panel, benchmark, arm, step, k, estimate, lo, hi, method,
    speaks_of, seeds, n, problems. No rows where no policy before the last has been evaluated."""
    steps = sorted({step for run in study.runs for step in run.evaluated_steps()})
    rows = [
        row
        for benchmark in study.benchmarks
        if any(run.step_samples_path(step, benchmark).is_file() for run in study.runs for step in steps)
        for row in _rows(_by_step(study, benchmark, steps))
    ]
    return pd.DataFrame(rows)


def _by_step(study: Study, benchmark: str, steps: list[int]) -> dict[int, Evaluations]:
    """Step → the arms' evaluations after it; 0: the base model; the last: the trained policies."""
    found = {step: e for step in steps if (e := collect(at_step(study, step), benchmark)) is not None}
    last = collect(study, benchmark)
    if last is not None:
        found[max(int(run.config["train"]["num_steps"]) for run in study.runs)] = last
    return found


def _rows(by_step: Mapping[int, Evaluations]) -> Iterator[dict[str, Any]]:
    arms = sort_arms(list({arm for e in by_step.values() for arm in e.correct if arm != BASE}))
    for step, e in by_step.items():
        for k in dict.fromkeys((1, e.largest_k)):
            for arm in (arm for arm in arms if arm in e.correct):
                yield _row(e, {arm: {k: 1.0}}, arm, step, k, "")
                if arm != _REFERENCE and _REFERENCE in e.correct:
                    yield _row(e, {arm: {k: 1.0}, _REFERENCE: {k: -1.0}}, arm, step, k, f" minus {label(_REFERENCE)}")
    first = next((e for e in by_step.values() if BASE in e.correct), None)
    if first is not None:  # every arm starts from it
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
        "estimate": interval.estimate,
        "lo": interval.lo,
        "hi": interval.hi,
        "method": interval.method,
        "speaks_of": interval.speaks_of,
        "seeds": len(e.seeds.get(arm, ())),
        "n": e.num_samples,
        "problems": e.num_problems,
    }


def caption(table: pd.DataFrame) -> str:
    """What was drawn, from how many samples and seeds, and what its intervals speak of."""
    n, problems = (sorted(table[column].unique()) for column in ("n", "problems"))
    scopes = " or ".join(sorted(set(table.loc[table["step"] > 0, "speaks_of"]) - {""}))
    return (
        f"Policies of evaluation.at_steps, {'/'.join(map(str, n))} samples on {'/'.join(map(str, problems))} problems; "
        f"step 0 is the base model. 95 % intervals ({scopes}); differences are paired at the same step."
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    for arm in sort_arms(list(table["arm"].unique())):
        rows = table[table["arm"] == arm].sort_values("step")
        ax.fill_between(rows["step"], rows["lo"], rows["hi"], color=colour(arm), alpha=0.14, linewidth=0)
        ax.plot(rows["step"], rows["estimate"], label=label(arm), **line_style(arm))
    is_difference = " minus " in table["panel"].iloc[0]
    if is_difference:
        ax.axhline(0.0, color="0.4", linewidth=0.8, zorder=1)
    ax.yaxis.set_major_formatter(PERCENT)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("Training step (generation batch)")
    ax.set_ylabel("Difference (pp)" if is_difference else "Pass@k (%)")
    return ax
