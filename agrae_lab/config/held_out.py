"""Held-out part of the training problems, which is a benchmark, and benchmarks that do not fit the task.

`task.held_out: 0.1` takes a tenth of the training problems out of training. They are the benchmark `held_out`, in the
place of all others: the world's are of other problems. Their accuracy is what train.validate_on asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from agrae_lab.tasks import load_task

NAME = "held_out"  # of the benchmark


def evaluate_held_out(config: Mapping[str, Any]) -> None:
    """Make the held-out problems a config's only benchmark, if it holds some out, with its settings for them."""
    section, train, evaluation = (config.get(key) for key in ("task", "train", "evaluation"))
    if not (isinstance(section, dict) and isinstance(train, dict) and isinstance(evaluation, dict)):
        return  # the check of the schema names it
    if section.get("held_out") is None:
        return
    given = (evaluation.get("benchmarks") or {}).get(NAME) or {}
    benchmark = {"task": section.get("name"), "file": section.get("train_file"), "limit": given.get("limit")}
    evaluation["benchmarks"] = {NAME: benchmark}
    train["validate_on"] = NAME


def divide(problems: Sequence[dict[str, Any]], share: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the problems to train on and the held-out ones, each in the order of the file.

    A problem's id decides, so that a problem that is added leaves most of the others where they were. Of n problems
    share · n are held out, rounded, and at least one.
    """
    ranked = sorted(problems, key=lambda problem: hashlib.sha256(str(problem["id"]).encode()).hexdigest())
    held = {str(problem["id"]) for problem in ranked[: max(1, round(share * len(problems)))]}
    kept = [problem for problem in problems if str(problem["id"]) not in held]
    return kept, [problem for problem in problems if str(problem["id"]) in held]


def foreign_benchmarks_warning(config: Mapping[str, Any]) -> str | None:
    """Return a warning if no benchmark of a frozen config has problems of the kind that it trains on; else None."""
    section, benchmarks = config["task"], config["evaluation"]["benchmarks"]
    columns = load_task(section["name"], section).columns
    if any(load_task(benchmark["task"], section).columns == columns for benchmark in benchmarks.values()):
        return None
    name, are = section["name"], "is" if len(benchmarks) == 1 else "are"
    removed = " ".join(f"evaluation.benchmarks.{benchmark}=null" for benchmark in benchmarks)
    return (
        f"evaluation.benchmarks: {', '.join(benchmarks)} {are} of another kind of problems than {name}, which is "
        "trained on, so its accuracy says nothing of them. Set "
        f"'+evaluation.benchmarks.{name}_test={{task: {name}}}' {removed} train.validate_on={name}_test, or "
        "task.held_out=0.1"
    )
