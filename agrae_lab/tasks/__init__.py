"""Tasks: prompts, gold answers, verifiers.

A task is a file `<name>.py` in text/ or vision/ with a `TASK` that implements `Task`. The tasks of mathematics share
one file, and those with real images another. `task._target_=my_task:TASK` names a task in a file of the user.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from agrae_lab.tasks import text, vision
from agrae_lab.tasks.base import Problem, Task, Verdict, count_shared, fingerprint_problems, read_problems
from agrae_lab.tasks.problems import SPLITS, load_problems
from agrae_lab.tasks.rewards import (
    ACCURACY,
    default_reward,
    differs_from_accuracy,
    is_control,
    reward_of,
    with_random_rewards,
    with_reward,
)
from agrae_lab.tasks.text.mathematics import MathTask
from agrae_lab.tasks.vision.visual import VisualTask
from agrae_lab.tasks.vision.visual_sets import VISUAL_SPLITS

__all__ = [
    "Problem",
    "Task",
    "Verdict",
    "count_shared",
    "differs_from_accuracy",
    "fingerprint_problems",
    "is_control",
    "load_problems",
    "load_task",
    "own_task",
    "read_problems",
    "settings_of_task",
    "task_names",
    "task_settings",
    "with_random_rewards",
]

_ROOMS = (text, vision)
_FAMILIES = ("mathematics", "visual")  # one file for several tasks
_HELPERS = ("choices", "images", "visual_sets")
_INTERFACE = ("name", "columns", "components", "prompt", "verify", "verify_all")
_SETTINGS = ("prompt_template", "verifier")
_VISUAL_SETTINGS = ("max_pixels", "on_bad_row")


def task_names() -> list[str]:
    """Return the tasks with a file of their own, then those of mathematics, then those with real images."""
    return [*sorted(_modules()), *SPLITS, *VISUAL_SPLITS]


def _modules() -> dict[str, str]:
    """Return task → module name for the tasks with a file of their own."""
    files = ((room.__name__, file.name) for room in _ROOMS for file in pkgutil.iter_modules(room.__path__))
    return {name: f"{room}.{name}" for room, name in files if name not in (*_FAMILIES, *_HELPERS)}


def load_task(name: str, settings: Mapping[str, Any] | None = None) -> Task:
    """Return the task called `name`.

    Args:
        settings: a run's section `task`. `prompt_template` and `verifier` apply to all tasks of mathematics,
            `max_pixels` and `on_bad_row` to all tasks with real images, in training and benchmarks. `reward` applies to
            the task that the run trains on.

    Raises:
        ValueError: there is no such task or setting; the message lists the choices.
    """
    given = settings or {}
    reward = given.get("reward") if given.get("name", name) == name else None
    return with_reward(_find_task(name, given), reward)


def _find_task(name: str, given: Mapping[str, Any]) -> Task:
    """Return the task with its settings and its default reward."""
    if (target := given.get("_target_")) is not None and (own := own_task(str(target))).name == name:
        return own
    if name not in task_names():
        own_names = [own.name] if target is not None else []
        raise ValueError(f"unknown task {name!r}; choose from {', '.join([*own_names, *task_names()])}")
    if name in SPLITS:
        return MathTask(name, **_given(given, _SETTINGS))
    if name in VISUAL_SPLITS:
        return VisualTask(name, **_given(given, _VISUAL_SETTINGS))
    return importlib.import_module(_modules()[name]).TASK


def own_task(target: str) -> Task:
    """Return the task that a file of the user defines, such as `my_task:TASK`.

    Raises:
        ValueError: no such file or object, an object that is no task, or one with the name of a shipped task.
    """
    from agrae_lab.advantages.external import load_object  # imports torch

    def is_task(value: Any) -> bool:
        return all(hasattr(value, name) for name in _INTERFACE) and not isinstance(value, type)

    wanted = f"task (an object with {', '.join(_INTERFACE)})"
    task: Task = load_object(target, wanted, "my_task:TASK", is_task)
    if task.name in task_names():
        raise ValueError(f"task._target_={target}: its name, {task.name!r}, is a shipped task's; give it another name")
    return task


def _given(section: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return those keys of a section that have a value."""
    return {key: section[key] for key in keys if section.get(key) is not None}


def settings_of_task(name: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings of a run's section `task` that the task called `name` uses."""
    keys = _SETTINGS if name in SPLITS else _VISUAL_SETTINGS if name in VISUAL_SPLITS else ()
    return _given(section, (*keys, "reward"))


def task_settings(section: Mapping[str, Any], benchmark_tasks: list[str]) -> dict[str, Any]:
    """Return the settings of a run's tasks with defaults filled in; a default reward of accuracy is left out.

    Args:
        section: the run's section `task`.
        benchmark_tasks: the tasks of its benchmarks.

    Raises:
        ValueError: a setting is unknown, or no task of the run uses it.
    """
    task = load_task(section["name"], section)
    is_plain = reward_of(task) == default_reward(task) == ACCURACY
    reward = {} if is_plain else {"reward": reward_of(task)}
    names = (section["name"], *benchmark_tasks)
    for keys, splits in ((_SETTINGS, SPLITS), (_VISUAL_SETTINGS, VISUAL_SPLITS)):
        given = _given(section, keys)
        if given and not any(name in splits for name in names):
            raise ValueError(
                f"task.{next(iter(given))} is for the tasks {', '.join(splits)}, and this run has none of them"
            )
    visual = _given(section, _VISUAL_SETTINGS)  # without keys that are not set
    mathematics = [name for name in names if name in SPLITS]
    if not mathematics:
        return reward | visual
    task = load_task(mathematics[0], section)
    return reward | visual | {key: getattr(task, key) for key in _SETTINGS}
