"""Shared by tables of other statistics than Pass@k: the evaluations of a study, their k, row names, cells."""

from __future__ import annotations

import math

from analysis.estimates.passk_curves import collect
from analysis.io.study import Study
from analysis.presentation.style import label
from analysis.presentation.table_layout import NO_VALUE, Cell
from analysis.statistics.evaluations import Evaluations
from analysis.statistics.passk import KS


def evaluated(study: Study) -> list[Evaluations]:
    """Return the evaluations of each benchmark that has any, by name.

    Raises:
        FrameError: one cannot be read, or two of them cannot be compared.
    """
    found = [collect(study, benchmark) for benchmark in study.benchmarks]
    return [evaluations for evaluations in found if evaluations is not None]


def half_k(num_samples: int, most: int = KS[-1]) -> int:
    """Return the largest k ≤ min(n/2, `most`), or 1; n samples show the within-problem variance up to n/2."""
    return max((k for k in KS if 2 * k <= num_samples and k <= most), default=1)


def row_name(arm: str, unfinished: bool) -> str:
    """Return an arm's display name, marked if its runs are unfinished."""
    return f"{label(arm)} (unfinished)" if unfinished else label(arm)


def p_cell(p_value: float) -> Cell:
    """Return the cell of a p-value: three decimals, one digit below 0.001; – if nothing was tested."""
    if math.isnan(p_value):
        return Cell(NO_VALUE)
    return Cell(f"{p_value:.3f}" if p_value >= 0.001 else f"{p_value:.0e}".replace("-", "−"))
