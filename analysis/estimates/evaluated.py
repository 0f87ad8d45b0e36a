"""Evaluations of a study on all its benchmarks, and the k at which statistics other than Pass@k are taken."""

from __future__ import annotations

from analysis.estimates.passk_curves import collect
from analysis.io.study import Study
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
