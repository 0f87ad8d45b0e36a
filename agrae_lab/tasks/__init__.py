"""Tasks: prompts, gold answers, verifiers. A task is one file here, `<name>.py`, with a `TASK` that meets `Task`."""

from __future__ import annotations

import importlib
import pkgutil

from agrae_lab.tasks.base import Problem, Task, Verdict, fingerprint_problems, read_problems

__all__ = ["Problem", "Task", "Verdict", "fingerprint_problems", "load_task", "read_problems", "task_names"]


def task_names() -> list[str]:
    """Every module of this package is a task, but for `base`."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name != "base")


def load_task(name: str) -> Task:
    """The task called `name`.

    Raises:
        ValueError: no task of that name; the message lists the choices.
    """
    if name not in task_names():
        raise ValueError(f"unknown task {name!r}; choose from {', '.join(task_names())}")
    return importlib.import_module(f"agrae_lab.tasks.{name}").TASK
