"""C8: the course of entropy over a run of GRPO and of A-GRAE."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agrae_lab.runs.comparison import REFERENCE
from analysis.claims._parts import RELEVANT_ENTROPY, absent, early_mean, steps_part
from analysis.claims.verdicts import (
    Series,
    Verdict,
    Window,
    conclude,
    plateau_verdict,
    window_difference,
    window_interval,
)
from analysis.presentation.style import label

PLATEAU_MARGIN = RELEVANT_ENTROPY  # "holds a plateau": no relevant change


def c8(entropy: Series, reference: str = REFERENCE) -> Verdict:
    """Judge: GRPO's entropy declines throughout; A-GRAE's drops at first, then holds a plateau.

    Parts, from the means of the run's thirds: GRPO second − first < 0, and third − second < 0; A-GRAE second − first
    < 0; A-GRAE third − second within ±PLATEAU_MARGIN × its first-third mean (supported: the interval is inside; not
    supported: it is entirely outside); A-GRAE third − second above GRPO's.
    """
    title = f"{label(reference)}'s entropy declines throughout; A-GRAE's drops at first, then holds a plateau"
    if without := absent(entropy, (reference, "a_grae")):
        return conclude("C8", title, [], without, ())
    early: list[Window] = [(1.0, 1 / 3, 2 / 3), (-1.0, 0.0, 1 / 3)]
    late: list[Window] = [(1.0, 2 / 3, 1.0), (-1.0, 1 / 3, 2 / 3)]
    parts = []
    for arm, windows, which in ((reference, early, "second − first"), (reference, late, "third − second"),
                                ("a_grae", early, "second − first")):  # fmt: skip
        interval = window_interval(entropy[arm], windows)
        name = f"{label(arm)} entropy, {which} third, claimed < 0"
        parts.append(steps_part(name, interval, "nats", -1, RELEVANT_ENTROPY * early_mean(entropy[arm])))
    margin = PLATEAU_MARGIN * window_interval(entropy["a_grae"], [(1.0, 0.0, 1 / 3)]).estimate
    flat = window_interval(entropy["a_grae"], late)
    within = f"±{100 * PLATEAU_MARGIN:g} % of the first third's mean" if np.isnan(margin) else f"±{margin:.3f}"
    name = f"{label('a_grae')} entropy, third − second third, claimed within {within}"
    parts.append(replace(steps_part(name, flat, "nats", +1, margin), verdict=plateau_verdict(flat, margin)))
    slower = window_difference(entropy["a_grae"], entropy[reference], late)
    name = f"{label('a_grae')} − {label(reference)} entropy, third − second third, claimed > 0"
    parts.append(steps_part(name, slower, "nats", +1, RELEVANT_ENTROPY * early_mean(entropy[reference])))
    return conclude("C8", title, parts, (), ())
