"""C2: what Positive-Dominant does to entropy and to Pass@k at large k."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.curves import Evaluations
from analysis.style import label
from analysis.verdicts import Part, Series, Verdict, conclude, difference_series, window_interval

from ._parts import (
    RELEVANT_ENTROPY,
    absent,
    difference,
    early_mean,
    entropy_change,
    on_benchmarks,
    passk_part,
    signed_part,
)

_ARM, _OTHERS = "positive_dominant", ("grpo", "negative_dominant")


def c2(evaluations: Sequence[Evaluations], entropy: Series) -> Verdict:
    """Positive-Dominant collapses entropy fastest and has the worst Pass@K.

    Parts: its entropy, last quarter minus first quarter of the run, < 0; its entropy minus that of GRPO and of
    Negative-Dominant, mean over all steps (all start from the same model, so less on average is a faster fall), < 0;
    for each benchmark, Pass@K minus GRPO's and minus Negative-Dominant's < 0.
    """

    def parts(e: Evaluations) -> list[Part]:
        top = e.largest_k
        return [
            passk_part(e, f"{label(_ARM)} − {label(o)} at k = {top}, claimed < 0", difference(_ARM, o, top), -1)
            for o in _OTHERS
        ]

    passk_parts, missing, notes = on_benchmarks(evaluations, (_ARM, *_OTHERS), parts)
    step_parts: list[Part] = []
    if not (without := absent(entropy, (_ARM, *_OTHERS))):
        step_parts.append(entropy_change(entropy, _ARM, -1))
        for other in _OTHERS:
            scale = RELEVANT_ENTROPY * early_mean(entropy[other])
            interval = window_interval(difference_series(entropy[_ARM], entropy[other]), [(1.0, 0.0, 1.0)])
            name = f"entropy {label(_ARM)} − {label(other)}, mean over steps, claimed < 0"
            step_parts.append(signed_part(name, interval, "nats", -1, scale))
    title = "Positive-Dominant collapses entropy fastest and has the worst Pass@k at large k"
    return conclude("C2", title, step_parts + passk_parts, (*without, *missing), notes)
