"""C6: the effects of A-GRAE's sample level and group level."""

from __future__ import annotations

from agrae_lab.runs.comparison import REFERENCE
from analysis.claims._parts import Strata, difference, growth, largest_k, on_benchmarks, passk_part
from analysis.claims.verdicts import Part, Verdict, conclude
from analysis.presentation.style import label
from analysis.statistics.evaluations import Contrast

_SAMPLE, _GROUP, _FULL = "a_grae_sample_only", "a_grae_group_only", "a_grae"


def c6(evaluations: Strata, reference: str = REFERENCE) -> Verdict:
    """Judge: DDAS (sample level) raises mainly Pass@1, ASS (group level) Pass@K; the two together balance both best.

    With gain = arm − GRPO and balance = (Pass@1 + Pass@K) / 2, the parts are: the sample level's gain at 1 > 0, and
    above its gain at K; the group level's gain at K > 0, and above its gain at 1; the full method's balance minus the
    balance of the sample level, of the group level and of GRPO > 0.
    """
    title = (
        "A-GRAE's sample level raises mainly Pass@1, its group level mainly Pass@k at large k; the two together "
        "balance Pass@1 and Pass@k best"
    )

    def parts(e: Strata) -> list[Part]:
        top = largest_k(e)
        found = []
        for arm, high, low in ((_SAMPLE, 1, top), (_GROUP, top, 1)):
            name = f"{label(arm)} − {label(reference)} at k = {high}, claimed > 0"
            found.append(passk_part(e, name, difference(arm, reference, high), +1))
            name = f"{label(arm)}: gain over {label(reference)} at k = {high} minus at k = {low}, claimed > 0"
            found.append(passk_part(e, name, growth(arm, reference, high=high, low=low), +1))
        for other in (_SAMPLE, _GROUP, reference):
            name = f"mean of k = 1 and k = {top}, {label(_FULL)} − {label(other)}, claimed > 0"
            found.append(passk_part(e, name, _balance(other, top), +1))
        return found

    judged = on_benchmarks(evaluations, (reference, _SAMPLE, _GROUP, _FULL), parts)
    return conclude("C6", title, judged.parts, judged.missing, judged.notes, judged.details)


def _balance(other: str, top: int) -> Contrast:
    return {_FULL: {1: 0.5, top: 0.5}, other: {1: -0.5, top: -0.5}}
