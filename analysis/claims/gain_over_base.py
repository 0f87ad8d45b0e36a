"""C1: GRPO's gain over the base model by k."""

from __future__ import annotations

from agrae_lab.runs.comparison import REFERENCE
from analysis.claims._parts import Strata, difference, growth, largest_k, on_benchmarks, passk_part
from analysis.claims.verdicts import Part, Verdict, conclude
from analysis.io.study import BASE
from analysis.presentation.style import label


def c1(evaluations: Strata, reference: str = REFERENCE) -> Verdict:
    """Judge: GRPO raises Pass@1 over the base, its gain shrinks with k, and its Pass@K is below the base's.

    With gain = GRPO − base, the parts are: gain(1) > 0; gain(1) − gain(K) > 0; gain(K) < 0.
    """

    ours = label(reference)

    def parts(e: Strata) -> list[Part]:
        top = largest_k(e)
        shrink = growth(reference, BASE, high=1, low=top)
        return [
            passk_part(e, f"{ours} − base at k = 1, claimed > 0", difference(reference, BASE, 1), +1),
            passk_part(e, f"gain at k = 1 minus gain at k = {top}, claimed > 0", shrink, +1),
            passk_part(e, f"{ours} − base at k = {top}, claimed < 0", difference(reference, BASE, top), -1),
        ]

    title = f"{ours} raises Pass@1 over the base model, but its gain shrinks with k and turns into a loss"
    judged = on_benchmarks(evaluations, (reference, BASE), parts)
    return conclude("C1", title, judged.parts, judged.missing, judged.notes, judged.details)
