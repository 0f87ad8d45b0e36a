"""Names of a figure's lines: one row above the panels, or at the ends of the lines where a row is too short."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

from analysis.presentation.panel_layout import PAD
from analysis.presentation.style import TWO_COLUMNS

_MOST_COLUMNS = 8
_END_POINTS, _LINE_HEIGHT = 6.5, 1.2  # size of names at line ends, and height of one line of them
_LEADER, _GAP = 13.0, 4.5  # points: from the axes to a name's marker, and from there to the name
_INNER = 0.72  # axes as a share of their panel, both ways, before the layout is known
_NAME_WIDTH, _WIDE_NAME_WIDTH = 12, 18  # characters of a line of a name: in figures as wide as a column, or a page


def add_legend(figure: Figure, panel_inches: tuple[float, float]) -> float:
    """Name the labelled lines of all panels; return the height in inches of the legend above them.

    If the names need more than one row, lines are named at their ends, in a panel that has all of them; only markers
    without a line stay in the legend. If there is no room at the ends, the legend has several rows. The figure grows by
    the legend's height.

    Args:
        panel_inches: width and height of a panel with its margins.
    """
    handles = _handles(figure)
    if len(handles) > 1 and _columns(figure, handles) < len(handles):
        named = _name_line_ends(figure, handles, panel_inches)
        handles = {name: handle for name, handle in handles.items() if name not in named}
    return _add_rows(figure, handles) if handles else 0.0


def _handles(figure: Figure) -> dict[str, Artist]:
    """Return label → legend handle, in the panels' order even if the first panel lacks some labels."""
    handles: dict[str, Artist] = {}
    places: dict[str, int] = {}
    for ax in figure.axes:
        for place, (handle, label) in enumerate(zip(*ax.get_legend_handles_labels(), strict=True)):
            handles.setdefault(label, handle)
            places[label] = max(place, places.get(label, 0))
    return {label: handles[label] for label in sorted(handles, key=places.__getitem__)}


def _columns(figure: Figure, handles: Mapping[str, Artist]) -> int:
    """Return the number of columns of the legend that fit the figure's width."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    font = FontProperties(size=mpl.rcParams["legend.fontsize"])
    widths = [renderer.get_text_width_height_descent(label, font, ismath=False)[0] / figure.dpi for label in handles]
    size = font.get_size_in_points() / 72
    key = size * (_key_length(handles) + mpl.rcParams["legend.handletextpad"])
    gap, border = size * mpl.rcParams["legend.columnspacing"], 2 * size * mpl.rcParams["legend.borderpad"]
    for columns in range(min(len(handles), _MOST_COLUMNS), 1, -1):
        texts = sum(max(part) for part in np.array_split(widths, columns))
        if texts + columns * key + (columns - 1) * gap + border <= figure.get_figwidth():
            return columns
    return 1


def _key_length(handles: Mapping[str, Artist]) -> float:
    """Return the length of a legend's keys in font sizes; markers without lines need less."""
    lines = any(not isinstance(handle, Line2D) or handle.get_linestyle() != "None" for handle in handles.values())
    return float(mpl.rcParams["legend.handlelength"]) if lines else 1.0


def _add_rows(figure: Figure, handles: Mapping[str, Artist]) -> float:
    """Add the legend above the panels, in as many columns as fit; return its height in inches."""
    width, height = figure.get_size_inches()
    columns = _columns(figure, handles)
    style: dict[str, Any] = {
        "loc": "upper center",
        "ncols": columns,
        "borderaxespad": 0.0,
        "handlelength": _key_length(handles),
    }
    legend = figure.legend(handles.values(), handles.keys(), **style)
    added = float(legend.get_window_extent(FigureCanvasAgg(figure).get_renderer()).height / figure.dpi)
    figure.set_size_inches(width, height + added)
    legend.set_bbox_to_anchor((0.5, 1 - PAD / (height + added)), figure.transFigure)
    return added


def _name_line_ends(figure: Figure, handles: Mapping[str, Artist], panel_inches: tuple[float, float]) -> set[str]:
    """Write the names of lines at their right ends in one panel; return them, or none where they do not fit."""
    lines = {name for name, handle in handles.items() if _is_line(handle)}
    ax = _panel_of_all(figure, lines)
    if ax is None:
        return set()
    width, height = (72 * _INNER * inches for inches in panel_inches)
    name_width = _WIDE_NAME_WIDTH if figure.get_figwidth() >= TWO_COLUMNS else _NAME_WIDTH
    own = {str(line.get_label()): line for line in ax.get_lines() if str(line.get_label()) in lines}
    texts = {name: textwrap.fill(name, name_width, break_long_words=False) for name in own}
    ends = {name: _end(line, ax) for name, line in own.items()}
    order = sorted(own, key=ends.__getitem__)
    heights = [(text.count("\n") + 1) * _LINE_HEIGHT * _END_POINTS / height for text in (texts[name] for name in order)]
    if sum(heights) > 1.0:
        return set()
    for name, place in zip(order, spread([ends[name] for name in order], heights), strict=True):
        _name_end(figure, ax, own[name], texts[name], (ends[name], place), width)
    return set(own)


def _is_line(handle: Artist) -> bool:
    return isinstance(handle, Line2D) and handle.get_linestyle() != "None" and np.size(handle.get_xdata()) > 1


def _panel_of_all(figure: Figure, names: set[str]) -> Axes | None:
    """Return the panel farthest to the right, then highest, in which all the names are lines; None without one."""
    fit = []
    for ax in figure.axes:
        place = ax.get_subplotspec()
        if place is not None and names and names <= {str(line.get_label()) for line in ax.get_lines()}:
            fit.append(((place.colspan.start, -place.rowspan.start), ax))
    return max(fit, key=lambda one: one[0])[1] if fit else None


def _end(line: Line2D, ax: Axes) -> float:
    """Return the height of a line's last known point, from 0 to 1 in the axes."""
    ax.get_ylim()  # completes a pending choice of limits
    points = np.asarray(line.get_xydata(), dtype=float)
    known = points[np.isfinite(points).all(axis=1)]
    if not len(known):
        return 0.5
    height = ax.transAxes.inverted().transform(line.get_transform().transform(known[-1:]))[0, 1]
    return float(np.clip(height, 0.0, 1.0)) if np.isfinite(height) else 0.5


def spread(centres: list[float], heights: list[float]) -> list[float]:
    """Return the centres of boxes of these heights, moved so that no two boxes overlap and all lie in [0, 1].

    The given centres ascend. The sum of squared moves is the smallest possible (isotonic regression).
    """
    middles = np.cumsum(heights) - np.asarray(heights) / 2
    starts = isotonic_regression(np.asarray(centres) - middles).x
    return [float(x) for x in np.clip(starts, 0.0, 1.0 - float(np.sum(heights))) + middles]


def _name_end(figure: Figure, ax: Axes, line: Line2D, text: str, heights: tuple[float, float], width: float) -> None:
    """Draw a line's marker and name right of the axes, and a leader to them from the line's end.

    heights: of the line's end and of the name, from 0 to 1. width: of the axes, in points.
    """
    right = 1 + _LEADER / width
    leader = Line2D([], [])
    leader.update_from(line)  # colour, dash and marker
    leader.set(data=([1.0, right], heights), transform=ax.transAxes, clip_on=False, linewidth=0.9)
    leader.set(markersize=3.0, markevery=[1], label="_end")
    figure.add_artist(leader)
    place = (right + _GAP / width, heights[1])
    ax.text(*place, text, transform=ax.transAxes, fontsize=_END_POINTS, va="center", linespacing=1.0)
