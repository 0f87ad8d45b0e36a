"""Layout of a figure's panels: margins as wide as the text in them, measured once.

Matplotlib's constrained layout gives the same result by drawing everything several times, half the time of an analysis.

Lengths are inches; an axes has four margins, in the order left, right, bottom, top.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.gridspec import GridSpec
from matplotlib.transforms import ScaledTranslation

PAD = 3 / 72  # about the figure's edge
_GAP = 11 / 72  # between the margins of two panels


def place_panels(figure: Figure, grid: GridSpec, *, above: float = 0.0) -> None:
    """Give all panels of a grid the same size, and each column and row the margins of its widest panel.

    Args:
        above: free height at the top, for a legend.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    width, height = figure.get_size_inches()
    panels = [(ax, place) for ax in figure.axes if (place := ax.get_subplotspec()) is not None]
    margins = np.full((len(panels), 4), 0.3)
    for last in (False, True):  # the choice of ticks depends on the size of the panel
        columns, rows = (
            _spans(length, [margin[[near, far]] for margin in margins], places, num)
            for length, (near, far), places, num in (
                (width, (0, 1), [place.colspan.start for _, place in panels], grid.ncols),
                (height - above, (3, 2), [place.rowspan.start for _, place in panels], grid.nrows),
            )
        )
        for ax, place in panels:
            (left, right), (top, bottom) = columns[place.colspan.start], rows[place.rowspan.start]
            low = height - above - bottom
            ax.set_position((left / width, low / height, (right - left) / width, (bottom - top) / height))
        if not last:
            margins = np.array([_margins(ax, renderer) for ax, _ in panels])


def _spans(length: float, margins: list[Any], places: list[int], num: int) -> list[tuple[float, float]]:
    """Return start and end of `num` columns (or rows) of equal size, each with the largest margins of its panels."""
    widest = np.zeros((num, 2))
    np.maximum.at(widest, places, margins)
    size = max((length - 2 * PAD - (num - 1) * _GAP - widest.sum()) / num, 0.1)
    starts = PAD + widest[:, 0] + np.arange(num) * (size + _GAP) + np.append(0, np.cumsum(widest.sum(axis=1))[:-1])
    return [(float(start), float(start + size)) for start in starts]


def _margins(ax: Axes, renderer: Any) -> tuple[float, float, float, float]:
    """Return the space that ticks, labels, title, notes and child axes need beside an axes; place its axis labels."""
    dpi = renderer.dpi
    box = ax.get_window_extent(renderer)
    bottom, (before, after) = _axis_margins(ax.xaxis, box.width / dpi, renderer, across=0)
    left, (_, over) = _axis_margins(ax.yaxis, box.height / dpi, renderer, across=1)
    inches = ax.figure.dpi_scale_trans  # distances of labels hold when the panel gets another size
    ax.xaxis.set_label_coords(0.5, 0, transform=ax.transAxes + ScaledTranslation(0, -bottom, inches))
    ax.yaxis.set_label_coords(0, 0.5, transform=ax.transAxes + ScaledTranslation(-left, 0, inches))
    if ax.get_xlabel():
        bottom += ax.xaxis.label.get_window_extent(renderer).height / dpi
    if ax.get_ylabel():
        left += ax.yaxis.label.get_window_extent(renderer).width / dpi
    title = ax.title.get_window_extent(renderer)
    margins = [max(left, before), after, bottom, max(over, (title.y1 - box.y1) / dpi if ax.get_title() else 0.0)]
    beside: list[Any] = [text.get_window_extent(renderer) for text in ax.texts]
    for other in ax.child_axes:
        beside.append(other.get_tightbbox(renderer))
    for found in beside:
        reach = (box.x0 - found.x0, found.x1 - box.x1, box.y0 - found.y0, found.y1 - box.y1)
        margins = [max(margin, beyond / dpi) for margin, beyond in zip(margins, reach, strict=True)]
    return margins[0], margins[1], margins[2], margins[3]


def _axis_margins(axis: Axis, length: float, renderer: Any, *, across: int) -> tuple[float, tuple[float, float]]:
    """Return the distance from an axis to its label, and the overhang of tick labels beyond its two ends."""
    tick: Any = axis.get_major_ticks(1)[0]
    label = tick.label1
    size_of_text = partial(_size, font=label.get_fontproperties(), renderer=renderer)
    offset = (tick.get_tick_padding() + tick.get_pad()) / 72
    deepest, before, after = 0.0, 0.0, 0.0
    for where, text in _tick_labels(axis):
        along, deep = size_of_text(text) if across == 0 else size_of_text(text)[::-1]
        deepest = max(deepest, deep)
        before = max(before, along / 2 - where * length)
        after = max(after, along / 2 - (1 - where) * length)
    return offset + deepest + axis.labelpad / 72, (before, after)


def _size(text: str, font: FontProperties, renderer: Any) -> tuple[float, float]:
    """Return width and height of a text of one or more lines."""
    sizes = [_size_of_line(line, font, renderer.dpi) for line in text.split("\n")]
    return max(width for width, _ in sizes), sum(height for _, height in sizes)


@lru_cache(maxsize=4096)  # panels share most of their tick labels
def _size_of_line(line: str, font: FontProperties, dpi: float) -> tuple[float, float]:
    width, height, _ = RendererAgg(1, 1, dpi).get_text_width_height_descent(line, font, ismath=False)
    return width / dpi, height / dpi


def _tick_labels(axis: Axis) -> list[tuple[float, str]]:
    """Return position on the axis (0 to 1) and text of each tick label."""
    transform = axis.get_transform()
    low, high = transform.transform(np.sort(axis.get_view_interval()))
    found = []
    for locations, formatter in (
        (list(axis.get_majorticklocs()), axis.get_major_formatter()),
        (list(axis.get_minorticklocs()), axis.get_minor_formatter()),
    ):
        places = (transform.transform(np.asarray(locations, dtype=float)) - low) / (high - low)
        texts = formatter.format_ticks(locations)
        found += [
            (float(place), text) for place, text in zip(places, texts, strict=True) if text and -1e-6 < place < 1 + 1e-6
        ]
    return found
