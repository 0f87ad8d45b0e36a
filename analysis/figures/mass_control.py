"""Gain over the reference with and without rescaling the update mass to GRPO's.

A gain that remains after rescaling is not an effect of a larger learning rate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.passk_curves import collect
from analysis.io.study import Study
from analysis.presentation.captions import describe_setting, summarize_setting
from analysis.presentation.style import PERCENT, colour, label, sort_arms
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import Evaluations

NAME = "mass_control"
QUESTION = "How much of an arm's effect remains when its update mass is plain GRPO's?"
PAPER = ""

_KS = (1, 16, 256)
_FREE, _MATCHED, _LOST = "free", "matched", "matched minus free"
_MARKERS = {_FREE: "o", _MATCHED: "D"}
_OFFSET = 0.16  # vertical distance of an arm's two markers from its centre


def table(study: Study) -> pd.DataFrame:
    """Return rows: arm, k, kind (gain over the reference free, matched, or the paired difference of both), estimate."""
    pairs = list(_matched_pairs(study))
    frames = []
    for benchmark in study.benchmarks:
        evaluations = collect(study, benchmark)
        if evaluations is None or study.reference not in evaluations.correct:
            continue
        known = [pair for pair in pairs if set(pair) <= set(evaluations.correct)]
        frames += [_rows(evaluations, study.reference, free, matched) for free, matched in known]
    if not frames:
        return pd.DataFrame()
    rows = pd.concat(frames, ignore_index=True)
    order = sort_arms(list(rows["arm"].unique()))
    shift = rows["kind"].map({_FREE: _OFFSET, _MATCHED: -_OFFSET, _LOST: 0.0})
    return rows.assign(height=[len(order) - 1 - order.index(arm) for arm in rows["arm"]] + shift)


def _matched_pairs(study: Study) -> Iterator[tuple[str, str]]:
    """Yield pairs of arms (unmatched, matched) whose configs differ in `advantage.match` alone."""
    by_rest: dict[str, dict[str, str]] = {}
    for arm, runs in study.arms.items():
        config = runs[0].config
        advantage = dict(config["advantage"])
        match = advantage.pop("match")["name"]
        rest = [advantage, *(config.get(key) for key in ("loss", "train", "model", "task"))]
        by_rest.setdefault(json.dumps(rest, sort_keys=True), {})[match] = arm
    for arms in by_rest.values():
        free = arms.pop("none", None)
        if free is not None and free != study.reference:
            yield from ((free, matched) for matched in arms.values())


def _rows(evaluations: Evaluations, reference: str, free: str, matched: str) -> pd.DataFrame:
    contrasts = {
        _FREE: (free, reference),
        _MATCHED: (matched, reference),
        _LOST: (matched, free),
    }
    ks = [k for k in _KS if k <= evaluations.largest_k]
    keys = [(kind, k) for kind in contrasts for k in ks]
    intervals = contrast_intervals(
        evaluations, [{contrasts[kind][0]: {k: 1.0}, contrasts[kind][1]: {k: -1.0}} for kind, k in keys]
    )
    return pd.DataFrame(
        {
            "panel": f"{evaluations.benchmark}: Pass@{k}",
            "benchmark": evaluations.benchmark,
            "arm": free,
            "matched_arm": matched,
            "reference": reference,
            "kind": kind,
            "k": k,
            **interval.columns,
            "seeds": len(evaluations.seeds[free]),
            "n": evaluations.num_samples,
            "problems": evaluations.num_problems,
            "temperature": evaluations.temperature,
            "top_p": evaluations.top_p,
            "no_within_variance": 2 * k > evaluations.num_samples,
            "unfinished": bool({free, matched} & evaluations.unfinished),
        }
        for (kind, k), interval in zip(keys, intervals, strict=True)
    )


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities, then n, seeds and scope."""
    over = label(table["reference"].iloc[0])
    return (
        f"Gain over {over} in Pass@k with 95 % intervals: the estimator unchanged (circles), and rescaled to plain "
        f"GRPO's Σ|A| (diamonds). {summarize_setting(table)}"
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the rescaling and the arms whose gain it changes, then the setting."""
    lost = table[(table["kind"] == _LOST) & ~((table["lo"] <= 0) & (table["hi"] >= 0))].dropna(subset="lo")
    changed = ", ".join(f"{label(arm)} at k = {k}" for arm, k in zip(lost["arm"], lost["k"], strict=True))
    above_half = ", ".join(map(str, sorted(table.loc[table["no_within_variance"], "k"].unique())))
    return (
        "Gains are paired by problem. Rescaled: the advantages of each batch are multiplied so that their Σ|A| is "
        "plain GRPO's (advantage.match).",
        f"Gains that rescaling changes by an interval without zero: {changed or 'none'}.",
        describe_setting(table),
        f"At k = {above_half}, k > n/2: n samples give no within-problem variance there." if above_half else "",
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw an arm's two gains, one above the other."""
    ax.axvline(0.0, color="0.4", linewidth=0.8, zorder=1)
    drawn = table[table["kind"] != _LOST]
    for (arm, kind), rows in drawn.groupby(["arm", "kind"]):
        hue = colour(str(arm))
        ax.hlines(rows["height"], rows["lo"], rows["hi"], color=hue, linewidth=1.1)
        ax.plot(rows["estimate"], rows["height"], _MARKERS[str(kind)], color=hue)
    for kind, mark in _MARKERS.items():
        ax.plot(np.nan, np.nan, mark, color="0.3", label=f"{kind} update mass")
    centres = drawn.groupby("arm")["height"].mean()
    unfinished = drawn.groupby("arm")["unfinished"].any()
    ax.set_yticks(centres, [label(arm) + (" (unfinished)" if unfinished[arm] else "") for arm in centres.index])
    ax.xaxis.set_major_formatter(PERCENT)
    ax.set_xlabel(f"Gain over {label(table['reference'].iloc[0])} (pp)")
    return ax
