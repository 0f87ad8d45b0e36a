"""C3: Negative-Dominant's effect on entropy and on Pass@k at large k."""

from __future__ import annotations

from agrae_lab.runs.comparison import REFERENCE
from analysis.claims._parts import (
    Strata,
    absent,
    basis,
    difference,
    entropy_change,
    growth,
    largest_k,
    on_benchmarks,
    passk_part,
    where,
)
from analysis.claims.verdicts import Part, Series, Verdict, conclude, sign_verdict
from analysis.io.study import BASE
from analysis.presentation.style import label
from analysis.statistics.contrasts import contrast_intervals

KEEPS_MARGIN = 0.02  # "keeps the base's Pass@k": at most two percentage points worse

_ARM = "negative_dominant"


def c3(evaluations: Strata, entropy: Series, reference: str = REFERENCE) -> Verdict:
    """Judge: Negative-Dominant's entropy rises; its gain over GRPO grows with k; it keeps the base's Pass@K.

    Parts: entropy of the last quarter minus the first quarter > 0; gain over GRPO at K > 0; gain(K) − gain(1) > 0;
    Pass@K minus the base's above −KEEPS_MARGIN (not supported if the interval is entirely below it).
    """

    versus = label(reference)

    def parts(e: Strata) -> list[Part]:
        top = largest_k(e)
        grows = growth(_ARM, reference, high=top, low=1)
        keeps = contrast_intervals(e, [difference(_ARM, BASE, top)])[0]
        name = f"{where(e)}: {label(_ARM)} − base at k = {top}, claimed > −{100 * KEEPS_MARGIN:.0f} pp"
        kept = sign_verdict(keeps, +1, relevant=-KEEPS_MARGIN, threshold=-KEEPS_MARGIN)
        return [
            passk_part(e, f"{label(_ARM)} − {versus} at k = {top}, claimed > 0", difference(_ARM, reference, top), +1),
            passk_part(e, f"gain over {versus} at k = {top} minus at k = 1, claimed > 0", grows, +1),
            Part(name, keeps, "pp", kept, basis(e, keeps)),
        ]

    judged = on_benchmarks(evaluations, (_ARM, reference, BASE), parts)
    without = absent(entropy, (_ARM,))
    step_parts = [] if without else [entropy_change(entropy, _ARM, +1)]
    title = f"Negative-Dominant's entropy rises; it beats {versus} more as k grows and keeps the base's Pass@k"
    return conclude("C3", title, step_parts + judged.parts, (*without, *judged.missing), judged.notes, judged.details)
