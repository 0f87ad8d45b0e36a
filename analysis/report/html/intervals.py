"""Small drawings of a verdict's intervals: positions on a line whose middle is zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.claims.verdicts import Part, format_interval

WIDTH = 160  # of the drawing
_MARGIN = 6.0


@dataclass(frozen=True)
class Drawn:
    """A verdict's part for display. lo, mid, hi: positions in [0, WIDTH], or None without such a value."""

    name: str
    effect: str
    verdict: str
    basis: str
    lo: float | None
    mid: float | None
    hi: float | None


def drawn_parts(parts: Sequence[Part]) -> list[Drawn]:
    """Return the parts of a claim with positions on one scale per unit, so that lengths are comparable."""
    reach = {unit: max(map(_reach, (p for p in parts if p.unit == unit))) for unit in {p.unit for p in parts}}
    return [
        Drawn(
            part.name,
            format_interval(part),
            f"these checkpoints: {part.verdict}" if part.one_run else part.verdict,
            part.basis,
            *(_place(x, reach[part.unit]) for x in (part.interval.lo, part.interval.estimate, part.interval.hi)),
        )
        for part in parts
    ]


def _reach(part: Part) -> float:
    values = (part.interval.lo, part.interval.estimate, part.interval.hi)
    return max((abs(x) for x in values if math.isfinite(x)), default=0.0)


def _place(value: float, reach: float) -> float | None:
    if not math.isfinite(value):
        return None
    return round(WIDTH / 2 + (WIDTH / 2 - _MARGIN) * (value / reach if reach else 0.0), 1)
