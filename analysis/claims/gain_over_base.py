"""C1: what GRPO gains over the base model, and at which k."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.curves import Evaluations
from analysis.frames import BASE
from analysis.verdicts import Part, Verdict, conclude

from ._parts import difference, growth, on_benchmarks, passk_part


def c1(evaluations: Sequence[Evaluations]) -> Verdict:
    """GRPO raises Pass@1 over the base, its gain shrinks with k, and Pass@K (largest k ≤ n) is below the base.

    Parts for each benchmark: gain(1) > 0; gain(1) − gain(K) > 0; gain(K) < 0, gain = GRPO − base.
    """

    def parts(e: Evaluations) -> list[Part]:
        top = e.largest_k
        shrink = growth("grpo", BASE, high=1, low=top)
        return [
            passk_part(e, "GRPO − base at k = 1, claimed > 0", difference("grpo", BASE, 1), +1),
            passk_part(e, f"gain at k = 1 minus gain at k = {top}, claimed > 0", shrink, +1),
            passk_part(e, f"GRPO − base at k = {top}, claimed < 0", difference("grpo", BASE, top), -1),
        ]

    title = "GRPO raises Pass@1 over the base model, but its gain shrinks with k and turns into a loss"
    return conclude("C1", title, *on_benchmarks(evaluations, ("grpo", BASE), parts))
