"""What the tables of other statistics share: the evaluations of a study, the k that they bear, headings, cells."""

from __future__ import annotations

import math

from analysis.estimates.passk_curves import collect
from analysis.io.study import Study
from analysis.presentation.style import label
from analysis.presentation.table_layout import NO_VALUE, Cell
from analysis.statistics.evaluations import Evaluations
from analysis.statistics.passk import KS


def evaluated(study: Study) -> list[Evaluations]:
    """The evaluations of each benchmark that has any, by name.

    Raises:
        FrameError: one cannot be read, or two of them cannot be compared.
    """
    found = [collect(study, benchmark) for benchmark in study.benchmarks]
    return [evaluations for evaluations in found if evaluations is not None]


def half_k(num_samples: int, most: int = KS[-1]) -> int:
    """The largest k ≤ n/2, where problems' own variance can be told, and ≤ `most`; 1 where n has no such k."""
    return max((k for k in KS if 2 * k <= num_samples and k <= most), default=1)


def name(arm: str, unfinished: bool) -> str:
    """What readers call an arm, and that its runs are unfinished."""
    return f"{label(arm)} (unfinished)" if unfinished else label(arm)


def p_cell(p_value: float) -> Cell:
    """A p-value to three decimals, one digit of a smaller one; – where nothing was tested."""
    if math.isnan(p_value):
        return Cell(NO_VALUE)
    return Cell(f"{p_value:.3f}" if p_value >= 0.001 else f"{p_value:.0e}".replace("-", "−"))
