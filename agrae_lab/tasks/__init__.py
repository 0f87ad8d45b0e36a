"""Tasks: prompts, gold answers, verifiers.

A task is one file here, `<name>.py`, with a `TASK` that meets `Task`; the tasks of mathematics share one file.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any

from agrae_lab.tasks.base import Problem, Task, Verdict, fingerprint_problems, read_problems
from agrae_lab.tasks.mathematics import MathTask
from agrae_lab.tasks.problems import SPLITS, load_problems

__all__ = [
    "Problem",
    "Task",
    "Verdict",
    "fingerprint_problems",
    "load_problems",
    "load_task",
    "read_problems",
    "task_names",
    "task_settings",
]

_NOT_TASKS = ("base", "mathematics", "problems", "prompts")
_SETTINGS = ("prompt_template", "verifier")


def task_names() -> list[str]:
    """The tasks with a file of their own, then those of mathematics."""
    return [*sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_TASKS), *SPLITS]


def load_task(name: str, settings: Mapping[str, Any] | None = None) -> Task:
    """The task called `name`.

    Args:
        settings: a run's section `task`; of its keys, `prompt_template` and `verifier` are for the tasks of
            mathematics, and the same for training and every benchmark.

    Raises:
        ValueError: no task of that name, or no such setting; the message lists the choices.
    """
    if name not in task_names():
        raise ValueError(f"unknown task {name!r}; choose from {', '.join(task_names())}")
    if name in SPLITS:
        return MathTask(name, **{key: value for key in _SETTINGS if (value := (settings or {}).get(key)) is not None})
    return importlib.import_module(f"agrae_lab.tasks.{name}").TASK


def task_settings(section: Mapping[str, Any], benchmark_tasks: list[str]) -> dict[str, str]:
    """The settings of a run's tasks, defaults filled in; {} for a run without mathematics.

    Args:
        section: the run's section `task`.
        benchmark_tasks: the tasks of its benchmarks.

    Raises:
        ValueError: an unknown setting, or one that no task of the run uses.
    """
    mathematics = [name for name in (section["name"], *benchmark_tasks) if name in SPLITS]
    given = [key for key in _SETTINGS if section.get(key) is not None]
    if given and not mathematics:
        raise ValueError(f"task.{given[0]} is for the tasks {', '.join(SPLITS)}, and this run has none of them")
    if not mathematics:
        return {}
    task = load_task(mathematics[0], section)
    return {key: getattr(task, key) for key in _SETTINGS}
