"""Checks between the rows of published tables: curves → findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np

from analysis.audit.findings import SAME, Check, Finding, finding, listed
from analysis.audit.table import AuditError, Cell, Curve

# Thresholds of the two checks that are no theorems; docs/audit.md gives their false alarms on genuine tables.
FEW_SHARED = 3  # smallest number of equal cells of two rows, at k < n and INSIDE, that is reported
INSIDE = (0.05, 0.95)  # outside this range many curves agree by chance
APART = 20  # in units of h: a difference elsewhere that makes shared cells suspicious
STRAIGHT = 0.99  # smallest correlation of ± with log2 k that counts as a straight line
MOST = 0.9  # smallest share of straight lines among a table's rows that is reported
MIN_ROWS = 3  # with a ± at MIN_POINTS values of k or more
MIN_POINTS = 5
MANY_RUNS = 16  # assumed number of runs behind a ± where the table does not state it

REPEATS = Check(
    "repeats",
    "The same model, benchmark, method and k has one value wherever it is printed.",
    "a new run or evaluation between two tables; a method's name that means two settings; a slip in typing or copying.",
)
IDENTICAL = Check(
    "identical rows",
    "Two methods seldom agree to the last digit at every k; nor at several while they differ elsewhere. Named from "
    f"{FEW_SHARED} equal cells on, with k < n and values from {100 * INSIDE[0]:g} to {100 * INSIDE[1]:g}, if all are "
    f"equal or some differ by {APART}h.",
    "chance, for a few cells of methods that are close; one method under two names; a row copied by mistake.",
)
PLUS_MINUS = Check(
    "plus-minus",
    "Where the mean is exactly 0 or 100 nothing varies; where it was rounded to that, R runs have a spread of at most "
    f"√R·h (R as stated, else {MANY_RUNS}). A spread over problems or runs rises and falls with k as the data do; one "
    "straight line in log2 k in row after row is not expected.",
    "the ± comes from a formula or a fit that the text does not give; a ± of another quantity.",
)
CLAIM = Check(
    "claim",
    "What a text says of two methods holds in every cell of the table.",
    "the text speaks of some k or benchmarks only, or of a mean over them.",
)


def between_rows(curves: Sequence[Curve]) -> Iterator[Finding]:
    """Yield the findings of all checks of this module that need no claim."""
    for check in (repeats, identical_rows, plus_minus_at_bounds, straight_lines):
        yield from check(curves)


def repeats(curves: Sequence[Curve]) -> Iterator[Finding]:
    """Yield cells of one model, benchmark, method and k that are printed with different values."""
    printed = defaultdict(list)
    for curve in curves:
        for cell in (*curve.cells, *curve.repeated):
            printed[curve.model, curve.benchmark, curve.method, cell.k].append((curve, cell))
    for (*_, k), found in printed.items():
        values = [cell.value for _, cell in found]
        by = max(values) - min(values)
        # roundings of one number to different places may differ
        coarse = (
            max(curve.rounding_error for curve, _ in found) if len({curve.decimals for curve, _ in found}) > 1 else 0.0
        )
        if by > 2 * coarse + SAME:
            where = (f"{curve.percent(cell.value)} on line {cell.line}" for curve, cell in found)
            lines = tuple(cell.line for _, cell in found)
            tables = ", ".join(dict.fromkeys(curve.table for curve, _ in found))
            statement = f"differs at k = {k}: {', '.join(where)}"
            yield finding(
                REPEATS, found[0][0], statement, table=tables, ks=(k,), lines=lines, by=by, tolerance=2 * coarse
            )


def identical_rows(curves: Sequence[Curve]) -> Iterator[Finding]:
    """Yield rows of one table, model and benchmark that agree in all cells, or in several but differ elsewhere."""
    for group in _group_by(curves, "table", "model", "benchmark"):
        for a, b in combinations(group, 2):
            pairs = _shared_ks(a, b)
            same = [(x, y) for x, y in pairs if abs(x.value - y.value) < SAME]
            telling = [x for x, _ in same if INSIDE[0] < x.value < INSIDE[1] and x.k < a.num_samples]
            everywhere = len(same) == len(pairs)
            apart = max((abs(x.value - y.value) for x, y in pairs), default=0.0) > APART * a.rounding_error - SAME
            if len(telling) < FEW_SHARED or not (everywhere or apart):
                continue
            cells = f"all {len(pairs)} cells" if everywhere else f"{len(same)} of {len(pairs)} cells"
            statement = f"equals {b.method} in {cells} (k = {listed([x.k for x, _ in same])})"
            size = {"by": len(same), "tolerance": FEW_SHARED - 1, "unit": "cells"}
            yield finding(IDENTICAL, a, statement, **size, **_pair_places(same))


def plus_minus_at_bounds(curves: Sequence[Curve]) -> Iterator[Finding]:
    for curve in curves:
        tolerance = (np.sqrt(curve.runs or MANY_RUNS) + 1) * curve.rounding_error  # + 1: the ± is rounded too
        for cell in curve.cells:
            at_bound = min(cell.value, 1 - cell.value) < SAME
            if at_bound and cell.plus_minus is not None and cell.plus_minus > tolerance:
                statement = (
                    f"± {curve.percent(cell.plus_minus)} at k = {cell.k}, where the mean is {curve.percent(cell.value)}"
                )
                by, at = cell.plus_minus, {"ks": (cell.k,), "lines": (cell.line,)}
                yield finding(PLUS_MINUS, curve, statement, by=by, tolerance=tolerance, **at)


def straight_lines(curves: Sequence[Curve]) -> Iterator[Finding]:
    """Yield one finding per table in which nearly all rows' ± grow as a straight line in log2 k."""
    for group in _group_by(curves, "table", "model"):
        correlations = [r for curve in group if (r := line_correlation(curve)) is not None]
        straight = [r for r in correlations if r >= STRAIGHT]
        if len(correlations) < MIN_ROWS or len(straight) < MOST * len(correlations):
            continue
        lines = tuple(cell.line for curve in group for cell in curve.cells if cell.plus_minus is not None)
        statement = (
            f"± grows as a straight line in log2 k on {len(straight)} of {len(correlations)} rows (correlation "
            f"{min(straight):.3f} or more)"
        )
        ks = tuple(sorted({k for curve in group for k in curve.ks}))
        size = {"by": min(straight), "tolerance": STRAIGHT, "unit": "correlation"}
        yield finding(PLUS_MINUS, group[0], statement, benchmark="", method="", ks=ks, lines=lines, **size)


def line_correlation(curve: Curve) -> float | None:
    """Return the correlation of ± with log2 k; None with fewer than MIN_POINTS values or a constant ±."""
    points = [(cell.k, cell.plus_minus) for cell in curve.cells if cell.plus_minus is not None]
    if len(points) < MIN_POINTS or len({value for _, value in points}) == 1:
        return None
    ks, values = np.array(points).T
    return float(np.corrcoef(np.log2(ks), values)[0, 1])


def claim_fails(curves: Sequence[Curve], above: str, below: str) -> Iterator[Finding]:
    """Yield the cells where the claim `above > below` about two methods fails: one finding per table and benchmark.

    Raises:
        AuditError: the table has no such method; the choices are listed.
    """
    methods = list(dict.fromkeys(curve.method for curve in curves))
    for method in (above, below):
        if method not in methods:
            raise AuditError(f"claim=: there is no method {method!r}; choose from {', '.join(methods)}")
    for group in _group_by(curves, "table", "model", "benchmark"):
        named = {curve.method: curve for curve in group}
        if above not in named or below not in named:
            continue
        curve = named[above]
        failing = [(x, y) for x, y in _shared_ks(curve, named[below]) if x.value - y.value < SAME]
        if failing:
            texts = (f"k = {x.k} ({curve.percent(x.value)} against {curve.percent(y.value)})" for x, y in failing)
            statement = f"is not above {below} at {', '.join(texts)}"
            by = max(y.value - x.value for x, y in failing)
            yield finding(CLAIM, curve, statement, by=by, tolerance=0.0, **_pair_places(failing))


def _shared_ks(a: Curve, b: Curve) -> list[tuple[Cell, Cell]]:
    """Return the pairs of cells of two curves at every k that both have."""
    other = {cell.k: cell for cell in b.cells}
    return [(cell, other[cell.k]) for cell in a.cells if cell.k in other]


def _pair_places(pairs: Sequence[tuple[Cell, Cell]]) -> dict[str, tuple[int, ...]]:
    """Return the k and lines of pairs of cells, as arguments of `finding`."""
    return {"ks": tuple(x.k for x, _ in pairs), "lines": tuple(cell.line for pair in pairs for cell in pair)}


def _group_by(curves: Iterable[Curve], *names: str) -> list[list[Curve]]:
    groups: dict[tuple[str, ...], list[Curve]] = {}
    for curve in curves:
        groups.setdefault(tuple(getattr(curve, name) for name in names), []).append(curve)
    return list(groups.values())
