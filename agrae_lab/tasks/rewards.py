"""What a completion is paid: named mixtures of the parts of its verdict. What is correct is accuracy's word alone.

The paper (arXiv 2602.05548) states 0.1·accuracy + 0.9·format for its vision-language runs; the authors' code has
0.9·accuracy + 0.1·format. docs/vision.md says what p, ω and "correct" are under either.
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


def shaped(parts: Mapping[str, float], name: str) -> float:
    """The reward called `name` of a completion with these parts, each from 0 to 1; from 0 to 1 itself.

    Raises:
        ValueError: no such reward, or a part that it weighs is missing; the message lists the choices.
    """
    weights = _weights(name)
    if missing := [part for part in weights if part not in parts]:
        raise ValueError(
            f"task.reward = {name!r} weighs {' and '.join(weights)}, and the verdict has no {' and '.join(missing)}; "
            f"its parts are {', '.join(parts) or 'none'}"
        )
    return sum(weight * parts[part] for part, weight in weights.items())


def reward_of(task: Task) -> str:
    """The name of the reward that a task's verdicts have."""
    return getattr(task, "reward", ACCURACY)


def is_shaped(task: Task) -> bool:
    """Whether the rewards of a task are more than accuracy."""
    return reward_of(task) != ACCURACY


def default_reward(task: Task) -> str:
    """The reward of a task when a run asks for none: what its attribute of this name says, else accuracy."""
    return getattr(task, "default_reward", ACCURACY)


def paid_by(task: Task, name: str | None) -> Task:
    """The task under the reward called `name`, or its default (None); the very task where that is accuracy.

    Raises:
        ValueError: no such reward, or one that weighs what the task's verdicts do not have.
    """
    name = default_reward(task) if name is None else name
    if name == ACCURACY:
        return task
    if missing := [part for part in _weights(name) if part not in task.parts]:
        raise ValueError(
            f"task.reward = {name!r} weighs {' and '.join(_weights(name))}, and the verdicts of task {task.name!r} "
            f"have no {' and '.join(missing)}; leave task.reward out"
        )
    return _PaidTask(task, name)


def _weights(name: str) -> dict[str, float]:
    if name not in REWARDS:
        raise ValueError(f"task.reward must be one of {', '.join(REWARDS)}, got {name!r}")
    return REWARDS[name]


class _PaidTask(Task):
    """A task whose verdicts are paid by a mixture; all else is the task's own."""

    def __init__(self, task: Task, reward: str) -> None:
        self._task, self.reward = task, reward
        self.name, self.columns, self.parts = task.name, task.columns, task.parts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # as a copy is being made, there is no task to ask yet
            raise AttributeError(name)
        return getattr(self._task, name)

    def prompt(self, problem: Problem) -> Any:
        return self._task.prompt(problem)

    def verify(self, completion: str, problem: Problem) -> Verdict:
        return self._paid(self._task.verify(completion, problem))

    def verify_all(self, completions: Sequence[str], problems: Sequence[Problem]) -> list[Verdict]:
        return [self._paid(verdict) for verdict in self._task.verify_all(completions, problems)]

    def _paid(self, verdict: Verdict) -> Verdict:
        return replace(verdict, reward=shaped(verdict.parts, self.reward)) if verdict.valid else verdict
