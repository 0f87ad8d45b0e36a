"""Gains over the base model that a control has too: an arm whose training cannot learn from the verifier's verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.estimates.answers import BETTER, question_ks, word_of
from analysis.estimates.passk_curves import collect
from analysis.io.study import BASE, Study
from analysis.presentation.style import sort_arms
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import Contrast, Evaluations
from analysis.statistics.intervals import Interval

# Rewards of agrae_lab/tasks/rewards.py that say nothing of correctness, or its opposite (a test compares them).
CONTROL_REWARDS = ("random", "constant", "format", "inverted")
NO_ADVANTAGE = "zero"


@dataclass(frozen=True)
class ControlGain:
    """Gain of one arm over the base model on one benchmark at one k, beside the control that comes nearest to it.

    The nearest control is one that the arm's gain is not clearly beyond, if there is any; of several, one with a gain
    of its own; of these, the one with the lowest bound of the difference.

    controls: all of them. exceeded: those that the arm's gain is clearly beyond: the interval of Pass@k of the arm
    minus the control's is above 0. control_gain: of the nearest control over the base model. has_gain: its
    interval is above 0. beyond: Pass@k of the arm minus the nearest control's.
    """

    benchmark: str
    arm: str
    k: int
    control: str
    control_gain: Interval
    has_gain: bool
    beyond: Interval
    controls: tuple[str, ...]
    exceeded: tuple[str, ...]

    @property
    def is_beyond(self) -> bool:
        """True if the gain is clearly beyond that of every control."""
        return self.exceeded == self.controls


def is_control(config: Mapping[str, Any]) -> bool:
    """Return whether a frozen config trains a control: by a control reward, or without any advantage."""
    reward = (config.get("task") or {}).get("reward")
    return reward in CONTROL_REWARDS or config["advantage"]["base"]["name"] == NO_ADVANTAGE


def control_arms(study: Study) -> list[str]:
    """Return the controls among a study's arms, by their configs."""
    return sort_arms([arm for arm, runs in study.arms.items() if is_control(runs[0].config)])


def control_gains(study: Study, benchmarks: Sequence[str] | None = None) -> list[ControlGain]:
    """Return the gains over the base model of arms that are no controls, each beside the nearest control.

    benchmarks: those that count (all by default).

    A gain is one if its interval is above 0. Without a control, or without the base model's evaluation, there is none.

    Raises:
        FrameError: an evaluation cannot be read, or two of them cannot be compared.
    """
    named = control_arms(study)
    found: list[ControlGain] = []
    benchmarks = study.benchmarks if benchmarks is None else benchmarks
    for benchmark in benchmarks if named else ():
        evaluations = collect(study, benchmark)
        if evaluations is None or BASE not in evaluations.correct:
            continue
        controls = [arm for arm in named if arm in evaluations.correct]
        arms = [arm for arm in evaluations.correct if arm not in (BASE, *named)]
        ks = question_ks(evaluations.num_samples, study.comparison)
        smallest = study.comparison.smallest_share
        own = {control: _differences(evaluations, control, BASE, ks) for control in controls}
        has_gain = {(control, k): word_of(own[control][k], smallest) == BETTER for control in controls for k in ks}
        for arm in sort_arms(arms) if controls else ():
            gains = _differences(evaluations, arm, BASE, ks)
            for k in [k for k in ks if word_of(gains[k], smallest) == BETTER]:
                beyond = {control: _differences(evaluations, arm, control, [k])[k] for control in controls}
                exceeded = tuple(control for control in controls if word_of(beyond[control], smallest) == BETTER)
                left = [control for control in controls if control not in exceeded] or controls
                near = [control for control in left if has_gain[control, k]] or left
                nearest = nearest_control(near, beyond)
                found.append(
                    ControlGain(
                        *(benchmark, arm, k, nearest, own[nearest][k], has_gain[nearest, k], beyond[nearest]),
                        controls=tuple(controls),
                        exceeded=exceeded,
                    )
                )
    return found


def nearest_control(controls: Sequence[str], beyond: Mapping[str, Interval]) -> str:
    """Return the control with the lowest bound of the difference; one without a bound comes after all others."""
    return min(controls, key=lambda control: (np.isnan(beyond[control].lo), beyond[control].lo))


def _differences(evaluations: Evaluations, arm: str, other: str, ks: list[int]) -> dict[int, Interval]:
    """Return k → Pass@k of an arm minus another's."""
    contrasts: list[Contrast] = [{arm: {k: 1.0}, other: {k: -1.0}} for k in ks]
    return dict(zip(ks, contrast_intervals(evaluations, contrasts, bands=False), strict=True))
