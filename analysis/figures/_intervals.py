"""Thin intervals of several arms at the same x, side by side: unlike bands, they stay apart where arms are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation, Transform

_PITCH, _SPREAD = 2.4, 15.0  # points between two arms, and at most between the first and the last
_PANEL = 110.0  # points: share of a narrow panel's width for intervals
_POINTWISE, _SIMULTANEOUS = 1.1, 0.4  # line widths in points


def beside(ax: Axes, place: int, num: int, *, num_x: int = 1) -> Transform:
    """Return the data transform, shifted sideways for the arm at a place (from 0) among `num` arms.

    The shift is a length on paper, so that drawn values remain those of the table.

    Args:
        num_x: number of x with intervals; where they are many, the arms of one x stand closer.
    """
    pitch = min(_PITCH, min(_SPREAD, _PANEL / num_x) / max(num - 1, 1))
    return ax.transData + ScaledTranslation((place - (num - 1) / 2) * pitch / 72, 0, ax.figure.dpi_scale_trans)


def draw_intervals(rows: pd.DataFrame, x: str, ax: Axes, *, colour: str, transform: Transform) -> None:
    """Draw each row's pointwise interval, and as a thinner line its simultaneous one; dotted for unfinished arms.

    The automatic limits of the axes enclose estimates and pointwise intervals: a simultaneous one may be far wider.

    Shapes: R rows.
    """
    x_R, *ends = (rows[name].to_numpy(dtype=float) for name in (x, "estimate", "lo", "hi"))
    for end_R in ends:  # Matplotlib finds no limits behind a shifted transform
        known_R = ~np.isnan(end_R)
        ax.update_datalim(np.column_stack([x_R[known_R], end_R[known_R]]))
    dotted: dict[str, Any] = {"linestyle": ":"} if "unfinished" in rows and rows["unfinished"].any() else {}
    for low, high, width in (("band_lo", "band_hi", _SIMULTANEOUS), ("lo", "hi", _POINTWISE)):
        if low not in rows:
            continue
        low_R, high_R = rows[low].to_numpy(dtype=float), rows[high].to_numpy(dtype=float)
        if (known_R := ~np.isnan(low_R + high_R)).any():
            drawn = x_R[known_R], low_R[known_R], high_R[known_R]
            ax.vlines(*drawn, color=colour, linewidth=width, transform=transform, **dotted)
