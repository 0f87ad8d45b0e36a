"""The paper's claims C1, C2, C3, C5 and C8, each a pure function of frames to a Verdict; the rule is in verdicts.py.

Each docstring lists the claim's parts. Pass@k parts are judged on every benchmark, K the largest k on the grid with
k ≤ n. The thresholds were set before any data were seen, but for C8's: PLATEAU_MARGIN was tightened from 10 % to 5 %,
and the part against GRPO added, after a first nano run in which one change counted both as a decline and as a plateau.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from .curves import Contrast, Evaluations, collect, contrast_intervals
from .frames import BASE, Study
from .series import metric_by_seed
from .stats import Interval
from .style import label
from .verdicts import (
    Part,
    Series,
    Verdict,
    Window,
    conclude,
    difference_series,
    plateau_verdict,
    sign_verdict,
    window_interval,
)

RELEVANT_PASSK = 0.01  # one percentage point of Pass@k
RELEVANT_SHARE = 0.01  # one percentage point of a batch's completions
RELEVANT_ENTROPY = 0.05  # of the mean entropy over the first quarter of the run
KEEPS_MARGIN = 0.02  # "keeps the base's Pass@k": not worse by more than two percentage points
PLATEAU_MARGIN = RELEVANT_ENTROPY  # "holds a plateau": no change of relevant size


def judge(study: Study) -> list[Verdict]:
    """All five claims on a study's finished runs.

    Raises:
        FrameError: the data of some run cannot be read or compared.
    """
    evaluations = [e for e in (collect(study, benchmark) for benchmark in study.benchmarks) if e is not None]
    entropy = metric_by_seed(study, "entropy")
    correct = metric_by_seed(study, "correct_count")
    completions = metric_by_seed(study, "num_completions")
    share = {arm: correct[arm] / completions[arm] for arm in correct}
    return [c1(evaluations), c2(evaluations, entropy), c3(evaluations, entropy), c5(share), c8(entropy)]


def c1(evaluations: Sequence[Evaluations]) -> Verdict:
    """GRPO raises Pass@1 over the base, its gain shrinks with k, and Pass@K (largest k ≤ n) is below the base.

    Parts for each benchmark: gain(1) > 0; gain(1) − gain(K) > 0; gain(K) < 0, gain = GRPO − base.
    """

    def parts(e: Evaluations) -> list[Part]:
        top = e.largest_k
        shrink = {"grpo": {1: 1.0, top: -1.0}, BASE: {1: -1.0, top: 1.0}}
        return [
            _passk_part(e, "GRPO − base at k = 1, claimed > 0", _difference("grpo", BASE, 1), +1),
            _passk_part(e, f"gain at k = 1 minus gain at k = {top}, claimed > 0", shrink, +1),
            _passk_part(e, f"GRPO − base at k = {top}, claimed < 0", _difference("grpo", BASE, top), -1),
        ]

    title = "GRPO raises Pass@1 over the base model, but its gain shrinks with k and turns into a loss"
    return conclude("C1", title, *_on_benchmarks(evaluations, ("grpo", BASE), parts))


def c2(evaluations: Sequence[Evaluations], entropy: Series) -> Verdict:
    """Positive-Dominant collapses entropy fastest and has the worst Pass@K.

    Parts: its entropy, last quarter minus first quarter of the run, < 0; its entropy minus that of GRPO and of
    Negative-Dominant, mean over all steps (all start from the same model, so less on average is a faster fall), < 0;
    for each benchmark, Pass@K minus GRPO's and minus Negative-Dominant's < 0.
    """
    arm, others = "positive_dominant", ("grpo", "negative_dominant")

    def parts(e: Evaluations) -> list[Part]:
        top = e.largest_k
        return [
            _passk_part(e, f"{label(arm)} − {label(o)} at k = {top}, claimed < 0", _difference(arm, o, top), -1)
            for o in others
        ]

    passk_parts, missing, notes = _on_benchmarks(evaluations, (arm, *others), parts)
    step_parts: list[Part] = []
    if not (absent := _absent(entropy, (arm, *others))):
        step_parts.append(_entropy_change(entropy, arm, -1))
        for other in others:
            scale = RELEVANT_ENTROPY * _early_mean(entropy[other])
            interval = window_interval(difference_series(entropy[arm], entropy[other]), [(1.0, 0.0, 1.0)])
            name = f"entropy {label(arm)} − {label(other)}, mean over steps, claimed < 0"
            step_parts.append(_part(name, interval, "nats", -1, scale))
    title = "Positive-Dominant collapses entropy fastest and has the worst Pass@k at large k"
    return conclude("C2", title, step_parts + passk_parts, (*absent, *missing), notes)


def c3(evaluations: Sequence[Evaluations], entropy: Series) -> Verdict:
    """Negative-Dominant's entropy rises; it beats GRPO more as k grows; it keeps the base's Pass@K.

    Parts: entropy, last quarter minus first quarter, > 0; for each benchmark: gain over GRPO at K > 0, gain(K) −
    gain(1) > 0, and Pass@K minus the base's above −KEEPS_MARGIN (not supported if wholly below it).
    """
    arm = "negative_dominant"

    def parts(e: Evaluations) -> list[Part]:
        top = e.largest_k
        growth = {arm: {top: 1.0, 1: -1.0}, "grpo": {top: -1.0, 1: 1.0}}
        keeps = contrast_intervals(e, [_difference(arm, BASE, top)])[0]
        name = f"{e.benchmark}: {label(arm)} − base at k = {top}, claimed > −{100 * KEEPS_MARGIN:.0f} pp"
        return [
            _passk_part(e, f"{label(arm)} − GRPO at k = {top}, claimed > 0", _difference(arm, "grpo", top), +1),
            _passk_part(e, f"gain over GRPO at k = {top} minus at k = 1, claimed > 0", growth, +1),
            Part(name, keeps, "pp", sign_verdict(keeps, +1, relevant=-KEEPS_MARGIN, zero=-KEEPS_MARGIN)),
        ]

    passk_parts, missing, notes = _on_benchmarks(evaluations, (arm, "grpo", BASE), parts)
    absent = _absent(entropy, (arm,))
    step_parts = [] if absent else [_entropy_change(entropy, arm, +1)]
    title = "Negative-Dominant's entropy rises; it beats GRPO more as k grows and keeps the base's Pass@k"
    return conclude("C3", title, step_parts + passk_parts, (*absent, *missing), notes)


def c5(correct_share: Series) -> Verdict:
    """Easy-Focused has the fastest early rise of correct counts; Hard-Focused ends higher.

    Series: share of a batch's completions that are correct. Parts: Easy minus GRPO and minus Hard, mean over the first
    third of the run, > 0; Hard minus GRPO and minus Easy, mean over the last quarter, > 0. Arms with one seed number
    see the same prompts at the same step, so differences are taken step by step.
    """
    needed = ("easy_focused", "hard_focused", "grpo")
    if absent := _absent(correct_share, needed):
        return conclude("C5", _C5_TITLE, [], absent, ())
    first_third, last_quarter = [(1.0, 0.0, 1 / 3)], [(1.0, 0.75, 1.0)]
    comparisons = (
        ("easy_focused", "grpo", first_third, "mean over the first third"),
        ("easy_focused", "hard_focused", first_third, "mean over the first third"),
        ("hard_focused", "grpo", last_quarter, "mean over the last quarter"),
        ("hard_focused", "easy_focused", last_quarter, "mean over the last quarter"),
    )
    parts = []
    for arm, other, windows, when in comparisons:
        interval = window_interval(difference_series(correct_share[arm], correct_share[other]), windows)
        name = f"correct completions, {label(arm)} − {label(other)}, {when}, claimed > 0"
        parts.append(_part(name, interval, "pp", +1, RELEVANT_SHARE))
    note = "that Hard-Focused wins on hard tests and Easy-Focused on easy ones is not judged: it needs both kinds"
    return conclude("C5", _C5_TITLE, parts, (), (note,))


def c8(entropy: Series) -> Verdict:
    """GRPO's entropy declines throughout; A-GRAE's drops at first, then holds a plateau.

    Parts, from the means of the run's thirds: GRPO second − first < 0 and third − second < 0; A-GRAE second − first
    < 0, third − second within ±PLATEAU_MARGIN of A-GRAE's own first-third mean (supported if the interval lies
    inside, not supported if it lies wholly outside), and third − second above GRPO's.
    """
    title = "GRPO's entropy declines throughout; A-GRAE's drops at first, then holds a plateau"
    if absent := _absent(entropy, ("grpo", "a_grae")):
        return conclude("C8", title, [], absent, ())
    early: list[Window] = [(1.0, 1 / 3, 2 / 3), (-1.0, 0.0, 1 / 3)]
    late: list[Window] = [(1.0, 2 / 3, 1.0), (-1.0, 1 / 3, 2 / 3)]
    parts = []
    for arm, windows, which in (("grpo", early, "second − first"), ("grpo", late, "third − second"),
                                ("a_grae", early, "second − first")):  # fmt: skip
        interval = window_interval(entropy[arm], windows)
        name = f"{label(arm)} entropy, {which} third, claimed < 0"
        parts.append(_part(name, interval, "nats", -1, RELEVANT_ENTROPY * _early_mean(entropy[arm])))
    margin = PLATEAU_MARGIN * window_interval(entropy["a_grae"], [(1.0, 0.0, 1 / 3)]).estimate
    flat = window_interval(entropy["a_grae"], late)
    name = f"{label('a_grae')} entropy, third − second third, claimed within ±{margin:.3f}"
    parts.append(Part(name, flat, "nats", plateau_verdict(flat, margin)))
    slower = window_interval(difference_series(entropy["a_grae"], entropy["grpo"]), late)
    name = f"{label('a_grae')} − {label('grpo')} entropy, third − second third, claimed > 0"
    parts.append(_part(name, slower, "nats", +1, RELEVANT_ENTROPY * _early_mean(entropy["grpo"])))
    return conclude("C8", title, parts, (), ())


_C5_TITLE = "Easy-Focused has the fastest early rise of correct counts; Hard-Focused ends higher"


def _early_mean(series: pd.DataFrame) -> float:
    return window_interval(series, [(1.0, 0.0, 0.25)]).estimate


def _entropy_change(entropy: Series, arm: str, direction: int) -> Part:
    interval = window_interval(entropy[arm], [(1.0, 0.75, 1.0), (-1.0, 0.0, 0.25)])
    sign = ">" if direction > 0 else "<"
    name = f"{label(arm)} entropy, last − first quarter of the run, claimed {sign} 0"
    return _part(name, interval, "nats", direction, RELEVANT_ENTROPY * _early_mean(entropy[arm]))


def _difference(arm: str, reference: str, k: int) -> Contrast:
    return {arm: {k: 1.0}, reference: {k: -1.0}}


def _passk_part(evaluations: Evaluations, name: str, contrast: Contrast, direction: int) -> Part:
    interval = contrast_intervals(evaluations, [contrast])[0]
    return _part(f"{evaluations.benchmark}: {name}", interval, "pp", direction, RELEVANT_PASSK)


def _part(name: str, interval: Interval, unit: str, direction: int, relevant: float) -> Part:
    return Part(name, interval, unit, sign_verdict(interval, direction, relevant=relevant))


def _absent(series: Series, arms: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"a finished run of {arm}" for arm in arms if series.get(arm, pd.DataFrame()).empty)


def _on_benchmarks(
    evaluations: Sequence[Evaluations], needed: Sequence[str], parts: Callable[[Evaluations], list[Part]]
) -> tuple[list[Part], tuple[str, ...], tuple[str, ...]]:
    """Parts of all benchmarks on which the needed arms have finished evaluations; what is missing; what to know."""
    found: list[Part] = []
    notes = []
    lacking: set[str] = set() if evaluations else set(needed)
    for e in evaluations:
        absent = [arm for arm in needed if arm not in e.correct or arm in e.unfinished]
        if absent or e.largest_k == 1:
            lacking.update(absent)
            need = f"finished evaluations of {', '.join(absent)}" if absent else "more than one sample a problem"
            notes.append(f"{e.benchmark}: not judged, needs {need}")
            continue
        found += parts(e)
        if e.largest_k < 256:
            notes.append(
                f"{e.benchmark}: the largest k is {e.largest_k}, since n = {e.num_samples}; the paper's is 256"
            )
        if 2 * e.largest_k > e.num_samples:
            notes.append(
                f"{e.benchmark}: k = {e.largest_k} > n/2 has no within-problem variance; its estimate is noisy"
            )
    missing = tuple(f"a finished evaluation of {arm}" for arm in needed if arm in lacking)
    return found, missing if not found else (), tuple(notes)
