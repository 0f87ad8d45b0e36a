"""All checks, and the audit of a table by them."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.audit.between import IDENTICAL, PLUS_MINUS, REPEATS, between_rows
from analysis.audit.findings import Finding
from analysis.audit.table import Curve
from analysis.audit.within import COHERENT, CONCAVE, K_WITHIN_N, MONOTONE, MULTIPLES, within_row

CHECKS = (K_WITHIN_N, MONOTONE, CONCAVE, MULTIPLES, COHERENT, REPEATS, IDENTICAL, PLUS_MINUS)


def audit(curves: Sequence[Curve]) -> list[Finding]:
    """Return all findings in the order of CHECKS, and for each check in the order of the file."""
    found = [*(f for curve in curves for f in within_row(curve)), *between_rows(curves)]
    order = [check.name for check in CHECKS]
    return sorted(found, key=lambda f: order.index(f.check))
