"""C5: Easy-Focused and Hard-Focused, over time and by the difficulty of the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.claims._parts import absent, difference, passk_part, steps_part
from analysis.claims.verdicts import Part, Series, Verdict, conclude, window_difference
from analysis.io.study import BASE
from analysis.presentation.style import label
from analysis.statistics.evaluations import Evaluations

RELEVANT_SHARE = 0.01  # one percentage point of a batch's completions

_EASY, _HARD = "easy_focused", "hard_focused"
_FIRST_THIRD, _LAST_QUARTER = [(1.0, 0.0, 1 / 3)], [(1.0, 0.75, 1.0)]


def c5(evaluations: Sequence[Evaluations], correct_share: Series) -> Verdict:
    """Easy-Focused has the fastest early rise of correct counts, Hard-Focused ends higher; each wins on its tests.

    Series: share of a batch's completions that are correct. Parts: Easy minus GRPO and minus Hard, mean over the first
    third of the run, > 0; Hard minus GRPO and minus Easy, mean over the last quarter, > 0. Arms with one seed number
    see the same prompts at the same step, so differences are taken step by step.
    Tests: of several benchmarks the one on which the base model's Pass@1 is lowest, and the one on which it is highest;
    of a single one, its problems halved by the base's success rate (with ties, as nearly as they allow). Parts: Hard −
    Easy at k = 1 on the hard test > 0; Easy − Hard on the easy one > 0. The base's samples are no part of these
    differences, so choosing by them does not bias them.
    """
    title = (
        "Easy-Focused has the fastest early rise of correct counts, Hard-Focused ends higher; each wins on its tests"
    )
    step_missing = absent(correct_share, (_EASY, _HARD, "grpo"))
    step_parts = [] if step_missing else _over_time(correct_share)
    test_parts, test_missing, notes = _by_difficulty(evaluations)
    return conclude("C5", title, step_parts + test_parts, (*step_missing, *test_missing), notes)


def _over_time(correct_share: Series) -> list[Part]:
    parts = []
    for arm, other, windows, when in (
        (_EASY, "grpo", _FIRST_THIRD, "first third"),
        (_EASY, _HARD, _FIRST_THIRD, "first third"),
        (_HARD, "grpo", _LAST_QUARTER, "last quarter"),
        (_HARD, _EASY, _LAST_QUARTER, "last quarter"),
    ):
        interval = window_difference(correct_share[arm], correct_share[other], windows)
        name = f"correct completions, {label(arm)} − {label(other)}, mean over the {when}, claimed > 0"
        parts.append(steps_part(name, interval, "pp", +1, RELEVANT_SHARE))
    return parts


def _by_difficulty(evaluations: Sequence[Evaluations]) -> tuple[list[Part], list[str], list[str]]:
    """Parts, what is missing, what to know."""
    needed = (_EASY, _HARD, BASE)
    lacking = [arm for arm in needed if all(arm not in e.correct or arm in e.unfinished for e in evaluations)]
    usable = [e for e in evaluations if all(arm in e.correct and arm not in e.unfinished for arm in needed)]
    if not usable:
        return [], [f"a finished evaluation of {arm}" for arm in lacking or needed], []
    if len(usable) > 1:
        ranked = sorted(usable, key=_base_rate)
        hard, easy = ranked[0], ranked[-1]
        note = f"hard and easy tests: the benchmarks {hard.benchmark} and {easy.benchmark}, by the base's Pass@1"
    elif (halves := _halves(usable[0])) is not None:
        hard, easy = halves
        sizes = f"{hard.num_problems} and {easy.num_problems} problems"
        note = f"hard and easy tests: {usable[0].benchmark} halved by the base's success rate, {sizes}"
    else:
        return [], [f"a base model that solves some problems of {usable[0].benchmark} more often than others"], []
    parts = [
        passk_part([hard], f"{label(_HARD)} − {label(_EASY)} at k = 1, claimed > 0", difference(_HARD, _EASY, 1), +1),
        passk_part([easy], f"{label(_EASY)} − {label(_HARD)} at k = 1, claimed > 0", difference(_EASY, _HARD, 1), +1),
    ]
    rates = f"{100 * _base_rate(hard):.1f} % and {100 * _base_rate(easy):.1f} %"
    return parts, [], [f"{note}, there {rates}"]


def _base_rate(evaluations: Evaluations) -> float:
    return float(evaluations.correct[BASE].mean()) / evaluations.num_samples


def _halves(evaluations: Evaluations) -> tuple[Evaluations, Evaluations] | None:
    """The problems that the base solves less often, and the others; None where it solves all alike."""
    base_P = evaluations.correct[BASE].mean(axis=0)
    median = np.median(base_P)
    cuts = [hard_P for hard_P in (base_P <= median, base_P < median) if hard_P.any() and not hard_P.all()]
    if not cuts:
        return None
    hard_P = min(cuts, key=lambda cut_P: abs(int(cut_P.sum()) - len(cut_P) / 2))
    return _part_of(evaluations, hard_P, "harder"), _part_of(evaluations, ~hard_P, "easier")


def _part_of(evaluations: Evaluations, chosen_P: np.ndarray, which: str) -> Evaluations:
    correct = {arm: correct_SP[:, chosen_P] for arm, correct_SP in evaluations.correct.items()}
    return replace(evaluations, benchmark=f"{evaluations.benchmark}, {which} half", correct=correct)
