"""C3: what Negative-Dominant does to entropy and to Pass@k at large k."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.curves import Evaluations, contrast_intervals
from analysis.frames import BASE
from analysis.style import label
from analysis.verdicts import Part, Series, Verdict, conclude, sign_verdict

from ._parts import absent, difference, entropy_change, growth, on_benchmarks, passk_part

KEEPS_MARGIN = 0.02  # "keeps the base's Pass@k": not worse by more than two percentage points

_ARM = "negative_dominant"


def c3(evaluations: Sequence[Evaluations], entropy: Series) -> Verdict:
    """Negative-Dominant's entropy rises; it beats GRPO more as k grows; it keeps the base's Pass@K.

    Parts: entropy, last quarter minus first quarter, > 0; for each benchmark: gain over GRPO at K > 0, gain(K) −
    gain(1) > 0, and Pass@K minus the base's above −KEEPS_MARGIN (not supported if wholly below it).
    """

    def parts(e: Evaluations) -> list[Part]:
        top = e.largest_k
        grows = growth(_ARM, "grpo", high=top, low=1)
        keeps = contrast_intervals(e, [difference(_ARM, BASE, top)])[0]
        name = f"{e.benchmark}: {label(_ARM)} − base at k = {top}, claimed > −{100 * KEEPS_MARGIN:.0f} pp"
        return [
            passk_part(e, f"{label(_ARM)} − GRPO at k = {top}, claimed > 0", difference(_ARM, "grpo", top), +1),
            passk_part(e, f"gain over GRPO at k = {top} minus at k = 1, claimed > 0", grows, +1),
            Part(name, keeps, "pp", sign_verdict(keeps, +1, relevant=-KEEPS_MARGIN, zero=-KEEPS_MARGIN)),
        ]

    passk_parts, missing, notes = on_benchmarks(evaluations, (_ARM, "grpo", BASE), parts)
    without = absent(entropy, (_ARM,))
    step_parts = [] if without else [entropy_change(entropy, _ARM, +1)]
    title = "Negative-Dominant's entropy rises; it beats GRPO more as k grows and keeps the base's Pass@k"
    return conclude("C3", title, step_parts + passk_parts, (*without, *missing), notes)
