"""Rewards: named mixtures of a verdict's reward components, and control rewards. Accuracy alone says what is correct.

A control reward is independent of correctness or its opposite. A gain that also appears under it is no evidence for the
verifier or the estimator (arXiv 2506.10947). It replaces what training sees, and verdicts keep what the verifier found.

The paper (arXiv 2602.05548) states 0.1·accuracy + 0.9·format for its vision-language runs; the authors' code has
0.9·accuracy + 0.1·format. docs/vision.md defines p, ω and "correct" under either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agrae_lab.tasks.base import Problem, Task, Verdict

ACCURACY = "accuracy"
REWARDS: dict[str, dict[str, float]] = {
    ACCURACY: {"accuracy": 1.0},
    "code": {"accuracy": 0.9, "format": 0.1},
    "paper": {"accuracy": 0.1, "format": 0.9},
}
FORMAT, RANDOM = "format", "random"
CONTROLS: dict[str, str] = {  # control reward → its definition
    RANDOM: "0 or 1 by a fair coin of the seed, step, prompt and completion index",
    "constant": "1 for every completion",
    FORMAT: "the reward component format alone",
    "inverted": "1 for an incorrect completion, 0 for a correct one",
}


def mixed_reward(components: Mapping[str, float], name: str) -> float:
    """Return the reward called `name`, from 0 to 1, of components from 0 to 1.

    Raises:
        ValueError: there is no such reward, or a component is missing; the message lists the choices.
    """
    weights = _weights(name)
    if missing := [component for component in weights if component not in components]:
        raise ValueError(
            f"task.reward = {name!r} weighs {' and '.join(weights)}, and the verdict has no {' and '.join(missing)}. "
            f"Its reward components are {', '.join(components) or 'none'}"
        )
    return sum(weight * components[component] for component, weight in weights.items())


def is_control(task: Task) -> bool:
    """Return whether a task's reward is a control."""
    return reward_of(task) in CONTROLS


def with_random_rewards(
    task: Task, verdicts: Sequence[Verdict], problem_ids: Sequence[str], *, seed: int, step: int, first: int
) -> list[Verdict]:
    """Return the verdicts with the rewards of `task.reward = random`; under any other reward, the verdicts themselves.

    A reward depends on its arguments alone, so that a resumed run and any number of processes draw the same ones.

    Args:
        first: index of the first verdict among the completions of the step.
    """
    if reward_of(task) != RANDOM:
        return list(verdicts)

    def coin(index: int, problem_id: str) -> float:
        key = f"{seed}/{step}/{problem_id}/{index}"
        return float(hashlib.sha256(key.encode()).digest()[0] & 1)

    coins = [coin(first + i, problem_id) for i, problem_id in enumerate(problem_ids)]
    return [replace(v, reward=c) if v.valid else v for v, c in zip(verdicts, coins, strict=True)]


def reward_of(task: Task) -> str:
    """Return the name of a task's reward."""
    return getattr(task, "reward", ACCURACY)


def differs_from_accuracy(task: Task) -> bool:
    """Return whether a task's reward is not accuracy."""
    return reward_of(task) != ACCURACY


def default_reward(task: Task) -> str:
    """Return the name of a task's default reward: its attribute `default_reward`, else accuracy."""
    return getattr(task, "default_reward", ACCURACY)


def with_reward(task: Task, name: str | None) -> Task:
    """Return the task with the reward called `name`, or with its default (None); the task itself for accuracy.

    Raises:
        ValueError: there is no such reward, or the task lacks one of its components.
    """
    name = default_reward(task) if name is None else name
    if name == ACCURACY:
        return task
    if name in CONTROLS and name != FORMAT:
        return _ControlRewardTask(task, name)
    if missing := [component for component in _weights(name) if component not in task.components]:
        raise ValueError(
            f"task.reward = {name!r} weighs {' and '.join(_weights(name))}, and the verdicts of task {task.name!r} "
            f"have no {' and '.join(missing)}. Leave task.reward out"
        )
    return _MixedRewardTask(task, name)


def _weights(name: str) -> dict[str, float]:
    if name == FORMAT:
        return {"format": 1.0}
    if name not in REWARDS:
        raise ValueError(f"task.reward must be one of {', '.join([*REWARDS, *CONTROLS])}, got {name!r}")
    return REWARDS[name]


class _MixedRewardTask(Task):
    """Task with a mixture of components as its reward; everything else is the task's own."""

    def __init__(self, task: Task, reward: str) -> None:
        self._task, self.reward = task, reward
        self.name, self.columns, self.components = task.name, task.columns, task.components

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copy.copy looks these up before __init__ has run
            raise AttributeError(name)
        return getattr(self._task, name)

    def prompt(self, problem: Problem) -> Any:
        return self._task.prompt(problem)

    def verify(self, completion: str, problem: Problem) -> Verdict:
        return self._with_reward(self._task.verify(completion, problem))

    def verify_all(self, completions: Sequence[str], problems: Sequence[Problem]) -> list[Verdict]:
        return [self._with_reward(verdict) for verdict in self._task.verify_all(completions, problems)]

    def _with_reward(self, verdict: Verdict) -> Verdict:
        return replace(verdict, reward=mixed_reward(verdict.components, self.reward)) if verdict.valid else verdict


class _ControlRewardTask(_MixedRewardTask):
    """Task with a control reward that is not a mixture of components."""

    def _with_reward(self, verdict: Verdict) -> Verdict:
        """Return the verdict with its reward; a random one is 0.5 until `with_random_rewards` draws it."""
        if not verdict.valid:
            return verdict
        rewards = {RANDOM: 0.5, "constant": 1.0, "inverted": 1.0 - verdict.correct}
        return replace(verdict, reward=rewards[self.reward])
