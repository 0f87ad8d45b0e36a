"""Rewards: named mixtures of a verdict's reward components. A completion is correct by accuracy alone.

The paper (arXiv 2602.05548) states 0.1·accuracy + 0.9·format for its vision-language runs; the authors' code has
0.9·accuracy + 0.1·format. docs/vision.md defines p, ω and "correct" under either.
"""

from __future__ import annotations

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


def shaped(components: Mapping[str, float], name: str) -> float:
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


def reward_of(task: Task) -> str:
    """Return the name of a task's reward."""
    return getattr(task, "reward", ACCURACY)


def is_shaped(task: Task) -> bool:
    """Return whether a task's reward is more than accuracy."""
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
    if missing := [component for component in _weights(name) if component not in task.components]:
        raise ValueError(
            f"task.reward = {name!r} weighs {' and '.join(_weights(name))}, and the verdicts of task {task.name!r} "
            f"have no {' and '.join(missing)}. Leave task.reward out"
        )
    return _ShapedTask(task, name)


def _weights(name: str) -> dict[str, float]:
    if name not in REWARDS:
        raise ValueError(f"task.reward must be one of {', '.join(REWARDS)}, got {name!r}")
    return REWARDS[name]


class _ShapedTask(Task):
    """A task with a shaped reward; everything else is the task's own."""

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
        return replace(verdict, reward=shaped(verdict.components, self.reward)) if verdict.valid else verdict
