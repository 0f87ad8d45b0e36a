"""C2: Positive-Dominant's effect on entropy and on Pass@k at large k."""

from __future__ import annotations

from agrae_lab.runs.comparison import REFERENCE
from analysis.claims._parts import (
    RELEVANT_ENTROPY,
    Strata,
    absent,
    difference,
    early_mean,
    entropy_change,
    largest_k,
    on_benchmarks,
    passk_part,
    steps_part,
)
from analysis.claims.verdicts import Part, Series, Verdict, conclude, window_difference
from analysis.presentation.style import label

_ARM, _OTHER = "positive_dominant", "negative_dominant"


def c2(evaluations: Strata, entropy: Series, reference: str = REFERENCE) -> Verdict:
    """Judge: Positive-Dominant collapses entropy fastest and has the worst Pass@K.

    Parts: entropy of the last quarter minus the first quarter < 0; entropy minus GRPO's, and minus
    Negative-Dominant's, mean over all steps, < 0; Pass@K minus GRPO's, and minus Negative-Dominant's, < 0. All arms
    start from the same model, so a lower mean entropy is a faster fall.
    """

    others = (reference, _OTHER)

    def parts(e: Strata) -> list[Part]:
        top = largest_k(e)
        return [
            passk_part(e, f"{label(_ARM)} − {label(o)} at k = {top}, claimed < 0", difference(_ARM, o, top), -1)
            for o in others
        ]

    judged = on_benchmarks(evaluations, (_ARM, *others), parts)
    step_parts: list[Part] = []
    if not (without := absent(entropy, (_ARM, *others))):
        step_parts.append(entropy_change(entropy, _ARM, -1))
        for other in others:
            scale = RELEVANT_ENTROPY * early_mean(entropy[other])
            interval = window_difference(entropy[_ARM], entropy[other], [(1.0, 0.0, 1.0)])
            name = f"entropy {label(_ARM)} − {label(other)}, mean over steps, claimed < 0"
            step_parts.append(steps_part(name, interval, "nats", -1, scale))
    title = "Positive-Dominant collapses entropy fastest and has the worst Pass@k at large k"
    return conclude("C2", title, step_parts + judged.parts, (*without, *judged.missing), judged.notes, judged.details)
