"""Checks within one row of a published table: a curve → findings.

Notation: p(k) is the printed Pass@k, h half a unit of its last place, so the unrounded value lies in p(k) ± h.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from analysis.audit.coherence import least_deviation
from analysis.audit.findings import SAME, Check, Finding, finding, listed
from analysis.audit.table import MAX_K, Curve

_SOLVER = 1e-8  # accuracy of the linear programme, as a share
_Point = tuple[int, float, float, tuple[int, ...]]  # k, value, largest rounding error, lines

_CAUSES = (
    "every k was estimated from its own set of samples; random subsets instead of the unbiased formula; each k from "
    "another checkpoint; a slip in typing or copying"
)
K_WITHIN_N = Check(
    "k within n",
    "n samples a problem have no Pass@k for k > n.",
    "n means something else here; or the plug-in 1 − (1−c/n)^k, which needs no such n but is biased low.",
)
MONOTONE = Check(
    "monotone",
    "Pass@k never falls with k, and rounding keeps order: tolerance 0.",
    f"{_CAUSES}.",
)
CONCAVE = Check(
    "concave",
    "Pass@k of one set of samples is concave in k, from Pass@0 = 0 on: for neighbours i < j < k on the table's grid, "
    "p(k) − p(j) ≤ (k−j)/(j−i) · (p(j) − p(i)); rounding adds up to 2h(1 + (k−j)/(j−i)).",
    f"{_CAUSES}.",
)
MULTIPLES = Check(
    "multiples",
    "At k = n a problem scores 0 or 1, so Pass@n is a multiple of 1/problems, or of 1/(problems · runs) averaged.",
    "several runs were averaged; n is larger than the largest k; some problems were left out; random subsets.",
)
COHERENT = Check(
    "coherence",
    "A row from one set of samples is a mean of columns of T[k, c] = 1 − C(n−c, k)/C(n, k), however many seeds are "
    "averaged; so the nearest such mean is within h at every k. n is as stated, else the largest k, which is lenient.",
    f"{_CAUSES}; numbers smoothed, or read off a plot. docs/audit.md has how far each of the first two goes.",
)


def within_row(curve: Curve) -> Iterator[Finding]:
    """Yield the findings of all checks of this module."""
    for check in (k_within_n, monotone, concave, multiples, coherent):
        yield from check(curve)


def k_within_n(curve: Curve) -> Iterator[Finding]:
    above = [cell for cell in curve.cells if cell.k > curve.num_samples]
    if above:
        ks, lines = tuple(cell.k for cell in above), tuple(cell.line for cell in above)
        statement = f"gives Pass@k for k = {listed(ks)} but n = {curve.n}"
        yield finding(K_WITHIN_N, curve, statement, ks=ks, lines=lines, by=0.0, tolerance=0.0)


def monotone(curve: Curve) -> Iterator[Finding]:
    for a, b in pairwise(curve.cells):
        fall = a.value - b.value
        if fall > SAME:
            statement = (
                f"falls by {curve.percent(fall)}: {curve.percent(a.value)} at k = {a.k}, "
                f"{curve.percent(b.value)} at k = {b.k}"
            )
            yield finding(MONOTONE, curve, statement, ks=(a.k, b.k), lines=(a.line, b.line), by=fall, tolerance=0.0)


def concave(curve: Curve) -> Iterator[Finding]:
    """Yield neighbouring triples of the grid that break concavity. Pass@0 = 0 (exact) stands before the first."""
    points: list[_Point] = [(0, 0.0, 0.0, ())]
    points += [(cell.k, cell.value, curve.rounding_error, (cell.line,)) for cell in curve.cells]
    for (i, p_i, h_i, at_i), (j, p_j, h_j, at_j), (k, p_k, h_k, at_k) in _triples(points):
        ratio = (k - j) / (j - i)
        rise, allowed = p_k - p_j, ratio * (p_j - p_i)
        tolerance = h_k + (1 + ratio) * h_j + ratio * h_i
        if rise - allowed > tolerance + SAME:
            statement = (
                f"rises by {curve.percent(rise)} from k = {j} to {k}, after {curve.percent(p_j - p_i)} from k = {i} to "
                f"{j}: {curve.percent(rise - allowed)} more than a concave curve may, of which rounding explains "
                f"{100 * tolerance:.2g}"
            )
            lines = (*at_i, *at_j, *at_k)
            yield finding(CONCAVE, curve, statement, ks=(i, j, k), lines=lines, by=rise - allowed, tolerance=tolerance)


def _triples(points: Sequence[_Point]) -> Iterable[tuple[_Point, _Point, _Point]]:
    return zip(points[:-2], points[1:-1], points[2:], strict=True)


def multiples(curve: Curve) -> Iterator[Finding]:
    """Yield a value at k = n that is no multiple of 1/problems.

    An unstated n is taken to be the largest k. A row of Pass@1 alone is skipped: it is often a mean over samples.
    """
    last = curve.cells[-1]
    if curve.problems is None or last.k != curve.num_samples or (curve.n is None and last.k == 1):
        return
    units = curve.problems * (curve.runs or 1)
    nearest = round(last.value * units) / units
    by = abs(last.value - nearest)
    if by > curve.rounding_error + SAME:
        low, high = np.floor(last.value * units) / units, np.ceil(last.value * units) / units
        averaged = f" in {curve.runs} runs" if curve.runs else ""
        statement = (
            f"{curve.percent(last.value)} at k = n = {last.k} lies between the possible {curve.percent(low)} and "
            f"{curve.percent(high)} of {curve.problems} problems{averaged}"
        )
        yield finding(
            MULTIPLES, curve, statement, ks=(last.k,), lines=(last.line,), by=by, tolerance=curve.rounding_error
        )


def coherent(curve: Curve) -> Iterator[Finding]:
    if len(curve.cells) < 2 or max(curve.ks) > curve.num_samples:
        return
    values = np.array([cell.value for cell in curve.cells])
    by, _ = least_deviation(values, curve.ks, min(curve.num_samples, MAX_K))  # rows of more samples are coherent too
    if by > curve.rounding_error + _SOLVER:
        statement = (
            f"the nearest row that {curve.num_samples} samples a problem can give is {100 * by:.2g} off; rounding "
            f"explains {100 * curve.rounding_error:.2g}"
        )
        yield finding(COHERENT, curve, statement, by=by, tolerance=curve.rounding_error)
