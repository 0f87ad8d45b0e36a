"""Timing of two calls in turn, A B A B …, so that a drift of the machine's speed affects both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def ratio(ours: Callable[[], object], baseline: Callable[[], object], *, pairs: int) -> tuple[float, float, float]:
    """Return median seconds of ours and of the baseline, and the median of ours / baseline, after one warm-up each."""
    ours(), baseline()
    times = [(_seconds(ours), _seconds(baseline)) for _ in range(pairs)]
    ratios = [a / b for a, b in times]
    return statistics.median(a for a, _ in times), statistics.median(b for _, b in times), statistics.median(ratios)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
