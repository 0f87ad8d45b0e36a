"""What a task is: problems in a file, a prompt made from a problem, and a verifier that judges completions."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
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
    maj@k); None if there is none. `rule` is the verifier's name for what decided; None where it names none.
    """

    correct: bool
    reward: float
    valid: bool = True
    parts: Mapping[str, float] = field(default_factory=dict)
    answer: str | None = None
    rule: str | None = None

    @classmethod
    def invalid(cls, rule: str | None = None) -> Verdict:
        return cls(correct=False, reward=float("nan"), valid=False, rule=rule)


class Task(Protocol):
    """A task module's `TASK`. Every problem has a unique `id` besides the task's own `columns`.

    `parts` names the parts of a reward, for estimators that weigh them apart; () if it has but one.
    """

    name: str
    columns: tuple[str, ...]
    parts: tuple[str, ...]

    def prompt(self, problem: Problem) -> str | list[dict[str, Any]]:
        """The text, or the chat messages, that the policy continues. A message with images is a list of blocks:
        {"type": "image", "image": <PIL image, mode RGB>} and {"type": "text", "text": …}."""
        ...

    def verify(self, completion: str, problem: Problem) -> Verdict:
        """Judge a completion. It is hostile text: never evaluated, parsed within bounds, and no input raises."""
        ...

    def verify_all(self, completions: Sequence[str], problems: Sequence[Problem]) -> list[Verdict]:
        """Judge a batch; a task whose verifier works in parallel has its own."""
        return [self.verify(completion, problem) for completion, problem in zip(completions, problems, strict=True)]


def read_problems(path: str | Path, columns: tuple[str, ...], *, limit: int | None = None) -> list[dict[str, Any]]:
    """Read problems from JSONL or Parquet, in file order, `limit` of them at most.

    A file without ids gets them from its content. An unchanged file is read once, whoever asks; the rows are copies.

    Raises:
        ValueError: no such file, another format, a column missing, ids that repeat, or no problem at all.
    """
    return with_ids(read_rows(path), columns, source=f"task file {path}")[:limit]


def read_rows(path: str | Path) -> tuple[dict[str, Any], ...]:
    """The rows of a JSONL or Parquet file, as they stand there; callers must not change them.

    Raises:
        ValueError: no such file, or another format.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"task file {path} does not exist")
    stat = path.stat()
    return _read_rows(path.resolve(), stat.st_mtime_ns, stat.st_size)


def find_set(
    splits: Mapping[str, Mapping[str, str | None]],
    task: str,
    split: str,
    *,
    file: str | Path | None,
    data_dir: str | Path | None,
) -> Path | str:
    """Where a task's problems are: `file`, else a file of `data_dir` if it has the set, else the set's name on the hub.

    Args:
        splits: task → split → the name of its set; None: the task has none.

    Raises:
        ValueError: the task has no such split, or `data_dir` is no directory.
    """
    if file is not None:
        return Path(file)
    name = splits[task][split]
    if name is None:
        raise ValueError(f"task {task!r} has no problems to train on; give a file as task.train_file")
    return (None if data_dir is None else _file_of_set(Path(data_dir), name)) or name


def _file_of_set(folder: Path, name: str) -> Path | None:
    """`folder`/<name>.jsonl or .parquet; None if there is none.

    Raises:
        ValueError: no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"hardware.data_dir {str(folder)!r} is not a directory")
    return next((path for suffix in ("jsonl", "parquet") if (path := folder / f"{name}.{suffix}").is_file()), None)


def text_problem(row: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """A row's id, problem and answer, as text.

    Raises:
        ValueError: an answer that is neither text nor a number, or nothing but spaces; a problem that is not text.
    """
    answer, problem = row["answer"], row["problem"]
    if isinstance(answer, (int, float)) and not isinstance(answer, bool) and math.isfinite(answer):
        answer = str(answer)
    if not isinstance(answer, str) or not answer.strip():
        raise ValueError(f"{source}: answer must be text or a number, got {row['answer']!r}")
    if not isinstance(problem, str) or not problem.strip():
        raise ValueError(f"{source}: problem must be text, got {problem!r}")
    return {"id": str(row["id"]), "problem": problem, "answer": answer.strip()}


def with_ids(rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...], *, source: str) -> list[dict[str, Any]]:
    """Copies of rows that have all `columns` and an id of their own, made from those columns where no row has one.

    Raises:
        ValueError: no rows, a column missing, or ids that repeat; `source` is what the message names.
    """
    if not rows:
        raise ValueError(f"{source} holds no problems")
    has_ids = any("id" in row for row in rows)
    needed = ("id", *columns) if has_ids else columns
    for number, row in enumerate(rows, start=1):
        missing = [c for c in needed if c not in row]
        if missing:
            raise ValueError(
                f"{source}, row {number}: column {', '.join(missing)} is missing; "
                f"the task needs {', '.join(needed)}, the row has {', '.join(row)}"
            )
    problems = [dict(row) if has_ids else {"id": _content_id(row, columns), **row} for row in rows]
    first_row: dict[str, int] = {}
    for number, problem in enumerate(problems, start=1):
        if (earlier := first_row.setdefault(str(problem["id"]), number)) != number:
            raise ValueError(
                f"{source}: id {str(problem['id'])!r} occurs more than once; every problem needs its own id"
                if has_ids
                else f"{source}: row {number} repeats row {earlier}; remove it, or give every row an id"
            )
    return problems


def _content_id(row: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    return fingerprint_problems([{c: row[c] for c in columns}])


@functools.lru_cache(maxsize=32)
def _read_rows(path: Path, mtime_ns: int, size: int) -> tuple[dict[str, Any], ...]:
    """The rows of a file as it stood at `mtime_ns`. Callers must not change them."""
    if path.suffix == ".parquet":
        return tuple(pd.read_parquet(path).to_dict(orient="records"))  # type: ignore[arg-type]
    if path.suffix != ".jsonl":
        raise ValueError(f"task file {path} must be .jsonl or .parquet")
    try:
        # not splitlines(), which cuts at U+2028 within a string
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"task file {path} is not UTF-8 text (byte {error.start})") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"task file {path}, line {number}: not JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise ValueError(f"task file {path}, line {number}: not a JSON object")
        rows.append(row)
    return tuple(rows)


def fingerprint_problems(problems: Sequence[Mapping[str, Any]]) -> str:
    """12 hex digits of the problems' content and order."""
    return hashlib.sha256(json.dumps(problems, sort_keys=True, default=str).encode()).hexdigest()[:12]


def count_shared(task: Task, problems: Sequence[Problem], of_task: Task, others: Sequence[Problem]) -> int:
    """Return the number of `problems` that are among `others` too, whatever their ids and answers say.

    Problems are the same if the columns that ask agree: text in any case and spacing, images in their content.
    """
    known = {_asked(of_task, problem) for problem in others}
    return sum(_asked(task, problem) in known for problem in problems)


def _asked(task: Task, problem: Problem) -> str:
    columns = [column for column in task.columns if column != "answer"]
    asked = {column: " ".join(str(problem.get(column)).casefold().split()) for column in columns}
    return json.dumps(asked, sort_keys=True)
