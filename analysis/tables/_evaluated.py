"""Row names and cells shared by tables of other statistics than Pass@k."""

from __future__ import annotations

import math

from analysis.presentation.style import label
from analysis.presentation.table_layout import NO_VALUE, Cell


def row_name(arm: str, unfinished: bool) -> str:
    """Return an arm's display name, marked if its runs are unfinished."""
    return f"{label(arm)} (unfinished)" if unfinished else label(arm)


def p_cell(p_value: float) -> Cell:
    """Return the cell of a p-value: three decimals, one digit below 0.001; – if nothing was tested."""
    if math.isnan(p_value):
        return Cell(NO_VALUE)
    return Cell(f"{p_value:.3f}" if p_value >= 0.001 else f"{p_value:.0e}".replace("-", "−"))
