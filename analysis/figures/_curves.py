"""Drawing and description of curves over k."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, StrMethodFormatter
from matplotlib.transforms import Transform

from analysis.figures._intervals import beside, draw_intervals
from analysis.presentation.captions import PUBLISHED, describe_missing, describe_setting, published_of
from analysis.presentation.style import PERCENT, colour, label, line_style, marker, sort_arms

_MARGIN = 2**0.5  # factor by which the k axis exceeds the curves
_LINE: dict[str, Any] = {"linewidth": 0.9, "markersize": 3.0}
_THIN: dict[str, Any] = {"linewidth": 0.5}  # lines of unfinished arms
WIDE = "those that enclose all else in the panel are in the CSV only"
_NONE = "none"  # prefix of the column `band` in rows without a band


def draw_curves(table: pd.DataFrame, ax: Axes) -> None:
    """Draw each arm's curve with its intervals over a log2 k axis, arms side by side; shade k > n/2.

    Rows with source "published" become hollow markers behind the curves.
    """
    published = _published(table)
    table = without_wide_bands(table.drop(published.index))
    arms = sort_arms(list(table["arm"].unique()))
    for place, arm in enumerate(arms):
        rows = table[table["arm"] == arm]
        if "seed" in rows:
            rows = rows[rows["method"] != ""]  # single seeds are in the table only
        draw_arm(rows, "k", ax, transform=beside(ax, place, len(arms)))
    _draw_published(published, ax)
    ax.set_xscale("log", base=2)
    ks = sorted({*table["k"], *published["k"]})
    ax.set_xlim(ks[0] / _MARGIN, ks[-1] * _MARGIN)
    _mark_half(table, ax)
    _mark_ks(ks, ax)
    limit_to_intervals(pd.concat([table, published]), ax)
    ax.yaxis.set_major_formatter(PERCENT)
    ax.set_xlabel("k (samples a problem)")


def draw_arm(rows: pd.DataFrame, x: str, ax: Axes, *, transform: Transform) -> None:
    """Draw one arm's curve and its intervals; a column `marked` chooses the points with marker and interval."""
    arm, unfinished = str(rows["arm"].iloc[0]), "unfinished" in rows and bool(rows["unfinished"].any())
    marked = rows["marked"].to_numpy(dtype=bool) if "marked" in rows else np.ones(len(rows), dtype=bool)
    draw_intervals(rows[marked], x, ax, colour=colour(arm), transform=transform)
    style = line_style(arm) | _LINE | (_THIN if unfinished else {})
    every: dict[str, Any] = {} if marked.all() else {"markevery": np.flatnonzero(marked).tolist()}
    name = label(arm) + (" (unfinished)" if unfinished else "")
    ax.plot(rows[x], rows["estimate"], label=name, transform=transform, **style, **every)


def without_wide_bands(panel: pd.DataFrame) -> pd.DataFrame:
    """Return a panel's rows without the simultaneous intervals that enclose all else in it, which show nothing."""
    if "band_lo" not in panel:
        return panel
    low, high = _ends(panel)
    is_wide = (panel["band_lo"] <= low) & (panel["band_hi"] >= high)
    return panel.assign(band_lo=panel["band_lo"].mask(is_wide), band_hi=panel["band_hi"].mask(is_wide))


def limit_to_intervals(table: pd.DataFrame, ax: Axes) -> None:
    """Limit the y axis to estimates and pointwise intervals; simultaneous bands may be far wider and are cut."""
    low, high = _ends(table)
    margin = 0.05 * (high - low) or 0.01
    ax.set_ylim(low - margin, high + margin)


def _ends(table: pd.DataFrame) -> tuple[float, float]:
    """Return the lowest and the highest end of all estimates and pointwise intervals."""
    values = table[["estimate", "lo", "hi"]].to_numpy(dtype=float)
    return float(np.nanmin(values)), float(np.nanmax(values))


def _mark_ks(ks: Sequence[int], ax: Axes) -> None:
    """Set a tick for every k; in narrow panels every other tick has a number."""
    place = ax.get_subplotspec()
    narrow = place is not None and place.get_gridspec().ncols > 2
    ax.xaxis.set_major_locator(FixedLocator(ks[::2] if narrow else ks))
    ax.xaxis.set_minor_locator(FixedLocator(ks[1::2]) if narrow else NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _published(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["source"] == PUBLISHED] if "source" in table else table.iloc[:0]


def _draw_published(published: pd.DataFrame, ax: Axes) -> None:
    for arm, rows in published.groupby("arm", sort=False):
        hollow: dict[str, Any] = {"marker": marker(str(arm)), "color": colour(str(arm)), "markerfacecolor": "none"}
        ax.plot(rows["k"], rows["estimate"], linestyle="none", markersize=5, markeredgewidth=0.7, zorder=1.5, **hollow)
    if len(published):
        hollow = {"marker": "o", "color": "0.3", "markerfacecolor": "none", "markersize": 5, "markeredgewidth": 0.7}
        ax.plot([], [], linestyle="none", label="published", **hollow)


def _mark_half(table: pd.DataFrame, ax: Axes) -> None:
    """Draw a dashed line at k = n/2, and shade larger k."""
    if table["no_within_variance"].any():
        half = table["n"].iloc[0] / 2
        ax.axvspan(half, ax.get_xlim()[1], color="0.5", alpha=0.1, linewidth=0, zorder=0)
        ax.axvline(half, color="0.4", linewidth=0.7, linestyle=(0, (3, 2)), zorder=1)


def describe_evaluation(table: pd.DataFrame) -> list[str]:
    """Return sentences on the evaluation, the bands, and the marks of draw_curves, from the table's columns."""
    published = _published(table)
    table = table.drop(published.index)
    sentences = [describe_setting(table), *_describe_bands(table)]
    intervals = table[table["method"] != ""]
    sentences += describe_missing(intervals)
    if table["no_within_variance"].any():
        sentences.append("Shaded: k > n/2, where n samples give no within-problem variance.")
    if table["unfinished"].any():
        arms = ", ".join(map(label, table.loc[table["unfinished"], "arm"].unique()))
        sentences.append(f"Dotted intervals: no finished run ({arms}).")
    if len(published):
        sentences.append(
            f"Hollow: numbers published in the paper for {published_of(published)}; no statistic here uses them."
        )
    return sentences


def _describe_bands(table: pd.DataFrame) -> list[str]:
    """Return sentences on both bands; `band` names method and family of the simultaneous band, or why it is missing."""
    texts = [str(text) for text in table["band"].dropna().unique() if text] if "band" in table else []
    families = [text for text in texts if not text.startswith(_NONE)]
    if not families:
        return ["Intervals: pointwise in k."]
    reasons = [text.removeprefix(_NONE).strip(" ()") for text in texts if text.startswith(_NONE)]
    missing = f" No thin line where {' or '.join(reasons)}." if reasons else ""
    return [f"Thick lines: pointwise in k; thin lines: simultaneous, {'; '.join(families)}; {WIDE}.{missing}"]
