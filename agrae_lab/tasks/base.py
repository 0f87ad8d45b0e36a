"""What a task is: problems in a file, a prompt made from a problem, and a verifier that judges completions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

Problem = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """A verifier's word on one completion.

    `reward` trains the policy, `correct` counts for Pass@k; they are equal unless the reward has other parts.
    `valid` is false where the verifier could not decide: such a completion has no reward (NaN) and is left out
    of its group's mean and standard deviation. `parts` are what the reward is made of, one for each of the task's.
    `answer` is the answer as read from the completion, in a form in which equal answers are equal text (for votes,
    maj@k); None if there is none.
    """

    correct: bool
    reward: float
    valid: bool = True
    parts: Mapping[str, float] = field(default_factory=dict)
    answer: str | None = None

    @classmethod
    def undecided(cls) -> Verdict:
        return cls(correct=False, reward=float("nan"), valid=False)


class Task(Protocol):
    """A task module's `TASK`. Every problem has a unique `id` besides the task's own `columns`.

    `parts` names the parts of a reward, for estimators that weigh them apart; () if it has but one.
    """

    name: str
    columns: tuple[str, ...]
    parts: tuple[str, ...]

    def prompt(self, problem: Problem) -> str | list[dict[str, str]]:
        """The text, or the chat messages, that the policy continues."""
        ...

    def verify(self, completion: str, problem: Problem) -> Verdict:
        """Judge a completion. It is hostile text: never evaluated, parsed within bounds, and no input raises."""
        ...


def read_problems(path: str | Path, columns: tuple[str, ...], *, limit: int | None = None) -> list[dict[str, Any]]:
    """Read problems from JSONL or Parquet, in file order, `limit` of them at most.

    Raises:
        ValueError: no such file, another format, a column missing, ids that repeat, or no problem at all.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"task file {path} does not exist")
    problems = _read_rows(path)
    if not problems:
        raise ValueError(f"task file {path} holds no problems")
    for number, problem in enumerate(problems, start=1):
        missing = [c for c in ("id", *columns) if c not in problem]
        if missing:
            raise ValueError(
                f"task file {path}, row {number}: column {', '.join(missing)} is missing; "
                f"the task needs {', '.join(('id', *columns))}, the row has {', '.join(problem)}"
            )
    ids = [str(p["id"]) for p in problems]
    if len(set(ids)) < len(ids):
        repeated = next(i for i in ids if ids.count(i) > 1)
        raise ValueError(f"task file {path}: id {repeated!r} occurs more than once; every problem needs its own id")
    return problems[:limit]


def _read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pd.read_parquet(path).to_dict(orient="records")  # type: ignore[return-value]
    if path.suffix != ".jsonl":
        raise ValueError(f"task file {path} must be .jsonl or .parquet")
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"task file {path}, line {number}: not JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise ValueError(f"task file {path}, line {number}: not a JSON object")
        rows.append(row)
    return rows


def fingerprint_problems(problems: list[dict[str, Any]]) -> str:
    """12 hex digits of the problems' content and order."""
    return hashlib.sha256(json.dumps(problems, sort_keys=True, default=str).encode()).hexdigest()[:12]
