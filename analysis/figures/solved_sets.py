"""Problems that an arm solves and the base model does not, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.passk_curves import bounded_share, collect, interval_columns
from analysis.io.study import BASE, Study
from analysis.presentation.captions import describe_setting, summarize_setting
from analysis.presentation.style import PERCENT, colour, label, sort_arms
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.count_metrics import solved_sets
from analysis.statistics.evaluations import CHECKPOINTS, NO_VARIATION, Evaluations
from analysis.statistics.intervals import Interval
from analysis.statistics.multiplicity import holm

NAME = "solved_sets"
QUESTION = "Which share of the problems did training bring into reach, and which did it lose?"
PAPER = ""

GAINED, LOST, NET = "gained", "lost", "net"
_BELOW, _THICK = 0.4, 0.5  # distance of the net change below its bars; thickness of the bars


def table(study: Study) -> pd.DataFrame:
    """Return rows: arm, kind (gained, lost, net), estimate (share of problems) with interval; none without the base.

    Rows of single checkpoints have the `count`. An arm with several seeds also has rows with seed "mean"; its single
    seeds have no interval and method "". Net rows have p_value (no net change), its `test`, and p_holm over the panel's
    arms. `x`, `x_lo` and `x_hi` are the drawn positions: losses are to the left.
    """
    frames = []
    for benchmark in study.benchmarks:
        evaluations = collect(study, benchmark)
        if evaluations is not None and BASE in evaluations.correct:
            frames.append(_panel(evaluations))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _panel(evaluations: Evaluations) -> pd.DataFrame:
    arms = sort_arms([arm for arm in evaluations.correct if arm != BASE])
    rows = pd.DataFrame([row for arm in arms for row in _arm_rows(evaluations, arm)])
    lost = rows["kind"] == LOST
    return rows.drop(columns=["band_lo", "band_hi", "band"]).assign(
        panel=evaluations.benchmark,
        p_holm=holm(rows["p_value"].to_numpy()),
        height=[len(arms) - 1 - arms.index(arm) for arm in rows["arm"]] - _BELOW * (rows["kind"] == NET),
        x=rows["estimate"].where(~lost, -rows["estimate"]),
        x_lo=rows["lo"].where(~lost, -rows["hi"]),
        x_hi=rows["hi"].where(~lost, -rows["lo"]),
    )


def _arm_rows(evaluations: Evaluations, arm: str) -> Iterator[dict[str, object]]:
    n, num_problems, seeds = evaluations.num_samples, evaluations.num_problems, evaluations.seeds[arm]
    sets = [solved_sets(correct_P, evaluations.correct[BASE][0]) for correct_P in evaluations.correct[arm]]
    several = len(sets) > 1
    for kind in (GAINED, LOST):
        counts = [one.gained if kind == GAINED else one.lost for one in sets]
        share = _share(evaluations, arm, kind)
        if several:
            for seed, count in zip(seeds, counts, strict=True):
                single = Interval(count / num_problems, np.nan, np.nan, "", CHECKPOINTS)
                yield {**interval_columns(evaluations, single, arm), "seed": str(seed), "kind": kind, "count": count}
        counted: dict[str, object] = {} if several else {"count": counts[0]}
        name = "mean" if several else str(seeds[0])
        yield {**interval_columns(evaluations, share, arm), "seed": name, "kind": kind, **counted}
    net = contrast_intervals(evaluations, [{arm: {n: 1.0}, BASE: {n: -1.0}}])[0]
    yield {
        **interval_columns(evaluations, net, arm),
        "seed": "mean" if several else str(seeds[0]),
        "kind": NET,
        "p_value": net.p_value,
        "test": net.method,
    }


def _share(evaluations: Evaluations, arm: str, kind: str) -> Interval:
    """Return the share of problems that the arm gained or lost against the base model."""
    ours_SP, base_P = evaluations.correct[arm] > 0, evaluations.correct[BASE][0] > 0
    moved_SP = ours_SP & ~base_P if kind == GAINED else base_P & ~ours_SP
    places_SP = np.arange(moved_SP.size).reshape(moved_SP.shape)
    own = replace(evaluations, correct={arm: places_SP}, seeds={arm: evaluations.seeds[arm]})
    found = contrast_intervals(own, [{arm: {kind: 1.0}}], {kind: moved_SP.ravel().astype(float)}, bands=False)[0]
    return bounded_share(found, evaluations.num_problems)


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities, then n, seeds and scope."""
    return (
        "Problems solved in at least one of n samples by the arm but not by the base model (right), and the reverse "
        f"(left), with 95 % intervals. {summarize_setting(table[table['kind'] == NET])}"
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the marks, the tests, the effect of chance, and the setting."""
    net = table["kind"] == NET
    tests = " and ".join(table.loc[net & table["p_value"].notna(), "test"].unique())
    ways = " and ".join(way for way in table.loc[~net & table["lo"].notna(), "method"].unique())
    unfinished = ", ".join(map(label, table.loc[table["unfinished"], "arm"].unique()))
    return (
        f"Lines: pointwise intervals ({ways}). Diamond: net change, the difference in Pass@n.",
        f"p: test of no net change ({tests}), adjusted by Holm over the arms of a panel." if tests else "",
        "A problem that both models solve rarely is gained or lost by chance. Some gains and losses are therefore "
        "expected without any change of the model; their number depends on n.",
        describe_setting(table[net]),
        f"Hatched: no finished run ({unfinished})." if unfinished else "",
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw bars, single seeds, net changes and p-values."""
    ax.axvline(0.0, color="0.4", linewidth=0.8, zorder=1)
    for arm, rows in table.groupby("arm", sort=False):
        hue = colour(str(arm))
        shares, net = rows[rows["kind"] != NET], rows[rows["kind"] == NET]
        bars, single = shares[shares["method"] != ""], shares[shares["method"] == ""]
        hatch = "/////" if rows["unfinished"].any() else None
        ax.barh(bars["height"], bars["x"], _THICK, color=hue, alpha=0.45, linewidth=0, hatch=hatch)
        ax.plot(single["x"], single["height"], "|", color=hue, markersize=5, markeredgewidth=0.6)
        for rows_with_interval in (bars, net):
            ax.hlines(
                rows_with_interval["height"],
                rows_with_interval["x_lo"],
                rows_with_interval["x_hi"],
                color=hue,
                linewidth=0.9,
            )
        ax.plot(net["x"], net["height"], "D", color=hue, markersize=3)
        for p_value, method, change in zip(net["p_holm"], net["method"], net["estimate"], strict=True):
            text, place = _p_text(p_value, method, change=change), ax.get_yaxis_transform()
            ax.text(1.02, bars["height"].iloc[0], text, fontsize=6, va="center", transform=place)
    order = table[table["kind"] != NET].drop_duplicates("arm")
    ax.set_yticks(order["height"], [label(arm) for arm in order["arm"]])
    ax.grid(False, axis="y")
    ax.xaxis.set_major_formatter(PERCENT)
    ax.set_xlabel("Lost | gained (% of problems)")
    return ax


def _p_text(p_value: float, method: str, *, change: float) -> str:
    if np.isnan(p_value):
        unchanged = "no change" if change == 0 else "all problems alike"
        return unchanged if method == NO_VARIATION else "too few"
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"
