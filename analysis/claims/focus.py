"""C5: Easy-Focused and Hard-Focused, over time and by the difficulty of the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from agrae_lab.runs.comparison import REFERENCE
from analysis.claims._parts import absent, difference, passk_part, steps_part
from analysis.claims.verdicts import Part, Series, Verdict, conclude, window_difference
from analysis.io.study import BASE
from analysis.presentation.style import label
from analysis.statistics.evaluations import Evaluations

RELEVANT_SHARE = 0.01  # one percentage point of a batch's completions

_EASY, _HARD = "easy_focused", "hard_focused"
_FIRST_THIRD, _LAST_QUARTER = [(1.0, 0.0, 1 / 3)], [(1.0, 0.75, 1.0)]


def c5(evaluations: Sequence[Evaluations], correct_share: Series, reference: str = REFERENCE) -> Verdict:
    """Judge: Easy-Focused rises fastest in correct counts, Hard-Focused ends higher; each is better on its own test.

    Parts over time, on the share of a batch's completions that are correct: Easy − GRPO and Easy − Hard, mean over the
    first third of the run, > 0; Hard − GRPO and Hard − Easy, mean over the last quarter, > 0. Arms with the same seed
    number are paired by step: they see the same prompts there, unless the policy chooses them (dynamic sampling).
    Parts by difficulty, at k = 1: Hard − Easy on the hard test > 0; Easy − Hard on the easy test > 0. The tests are the
    benchmarks with the base model's lowest and highest Pass@1; a single benchmark is halved by the base's success rate
    (with ties, as evenly as possible). This choice does not bias the differences, which use no samples of the base.
    """
    title = (
        "Easy-Focused has the fastest early rise of correct counts, Hard-Focused ends higher; each is better on the "
        "test of its own difficulty"
    )
    step_missing = absent(correct_share, (_EASY, _HARD, reference))
    step_parts = [] if step_missing else _over_time(correct_share, reference)
    test_parts, test_missing, notes = _by_difficulty(evaluations)
    return conclude("C5", title, step_parts + test_parts, (*step_missing, *test_missing), notes)


def _over_time(correct_share: Series, reference: str) -> list[Part]:
    parts = []
    for arm, other, windows, when in (
        (_EASY, reference, _FIRST_THIRD, "first third"),
        (_EASY, _HARD, _FIRST_THIRD, "first third"),
        (_HARD, reference, _LAST_QUARTER, "last quarter"),
        (_HARD, _EASY, _LAST_QUARTER, "last quarter"),
    ):
        interval = window_difference(correct_share[arm], correct_share[other], windows)
        name = f"correct completions, {label(arm)} − {label(other)}, mean over the {when}, claimed > 0"
        parts.append(steps_part(name, interval, "pp", +1, RELEVANT_SHARE))
    return parts


def _by_difficulty(evaluations: Sequence[Evaluations]) -> tuple[list[Part], list[str], list[str]]:
    """Return parts, missing data, and notes."""
    needed = (_EASY, _HARD, BASE)
    lacking = [arm for arm in needed if all(arm not in e.correct or arm in e.unfinished for e in evaluations)]
    usable = [e for e in evaluations if all(arm in e.correct and arm not in e.unfinished for arm in needed)]
    if not usable:
        return [], [f"a finished evaluation of {arm}" for arm in lacking or needed], []
    if len(usable) > 1:
        ranked = sorted(usable, key=_base_rate)
        hard, easy = ranked[0], ranked[-1]
        note = f"hard and easy test: the benchmarks {hard.benchmark} and {easy.benchmark}, by the base's Pass@1"
    elif (halves := _halves(usable[0])) is not None:
        hard, easy = halves
        sizes = f"{hard.num_problems} and {easy.num_problems} problems"
        note = f"hard and easy test: {usable[0].benchmark} halved by the base's success rate, {sizes}"
    else:
        return [], [f"a base model that solves some problems of {usable[0].benchmark} more often than others"], []
    parts = [
        passk_part([hard], f"{label(_HARD)} − {label(_EASY)} at k = 1, claimed > 0", difference(_HARD, _EASY, 1), +1),
        passk_part([easy], f"{label(_EASY)} − {label(_HARD)} at k = 1, claimed > 0", difference(_EASY, _HARD, 1), +1),
    ]
    rates = f"{100 * _base_rate(hard):.1f} % and {100 * _base_rate(easy):.1f} %"
    return parts, [], [f"{note} (Pass@1 {rates})"]


def _base_rate(evaluations: Evaluations) -> float:
    return float(evaluations.correct[BASE].mean()) / evaluations.num_samples


def _halves(evaluations: Evaluations) -> tuple[Evaluations, Evaluations] | None:
    """Return the problems that the base solves less often, and the others; None if it solves all equally often."""
    base_P = evaluations.correct[BASE].mean(axis=0)
    median = np.median(base_P)
    cuts = [hard_P for hard_P in (base_P <= median, base_P < median) if hard_P.any() and not hard_P.all()]
    if not cuts:
        return None
    hard_P = min(cuts, key=lambda cut_P: abs(int(cut_P.sum()) - len(cut_P) / 2))
    return _half(evaluations, hard_P, "harder"), _half(evaluations, ~hard_P, "easier")


def _half(evaluations: Evaluations, chosen_P: np.ndarray, which: str) -> Evaluations:
    correct = {arm: correct_SP[:, chosen_P] for arm, correct_SP in evaluations.correct.items()}
    return replace(evaluations, benchmark=f"{evaluations.benchmark}, {which} half", correct=correct)
