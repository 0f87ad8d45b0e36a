"""C6: the effect of each part of A-GRAE by itself."""

from __future__ import annotations

from analysis.claims._parts import Strata, difference, growth, largest_k, on_benchmarks, passk_part
from analysis.claims.verdicts import Part, Verdict, conclude
from analysis.presentation.style import label
from analysis.statistics.evaluations import Contrast

_SAMPLE, _GROUP, _FULL = "a_grae_sample_only", "a_grae_group_only", "a_grae"


def c6(evaluations: Strata) -> Verdict:
    """DDAS (sample level) gives mainly Pass@1, ASS (group level) mainly Pass@K, the full method the best balance.

    Parts, gain = arm − GRPO: gain of the sample level at 1 > 0, and more than its gain at K; gain of
    the group level at K > 0, and more than its gain at 1; balance of the full method minus that of the sample level, of
    the group level and of GRPO > 0, balance = (Pass@1 + Pass@K) / 2.
    """
    title = "A-GRAE's sample level gives mainly Pass@1, its group level mainly Pass@k at large k, both the best balance"

    def parts(e: Strata) -> list[Part]:
        top = largest_k(e)
        found = []
        for arm, high, low in ((_SAMPLE, 1, top), (_GROUP, top, 1)):
            name = f"{label(arm)} − GRPO at k = {high}, claimed > 0"
            found.append(passk_part(e, name, difference(arm, "grpo", high), +1))
            name = f"{label(arm)}: gain over GRPO at k = {high} minus at k = {low}, claimed > 0"
            found.append(passk_part(e, name, growth(arm, "grpo", high=high, low=low), +1))
        for other in (_SAMPLE, _GROUP, "grpo"):
            name = f"mean of k = 1 and k = {top}, {label(_FULL)} − {label(other)}, claimed > 0"
            found.append(passk_part(e, name, _balance(other, top), +1))
        return found

    judged = on_benchmarks(evaluations, ("grpo", _SAMPLE, _GROUP, _FULL), parts)
    return conclude("C6", title, judged.parts, judged.missing, judged.notes, judged.details)


def _balance(other: str, top: int) -> Contrast:
    return {_FULL: {1: 0.5, top: 0.5}, other: {1: -0.5, top: -0.5}}
