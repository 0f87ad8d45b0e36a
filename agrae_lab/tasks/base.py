"""Interface of tasks: problems in a file, a prompt for each problem, and a verifier of completions."""

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
    """Verdict on one completion.

    correct: counts for Pass@k.
    reward: trains the policy; equal to `correct` unless the task mixes several reward components.
    valid: false if the verifier reached no verdict. An invalid completion has no reward (NaN) and is left out of its
        group's mean and standard deviation.
    components: reward component → value, for each of the task's components.
    answer: in canonical form, so that equal answers are equal text (for majority votes); None if there is none.
    rule: name of the verifier's rule that decided; None if it has no rules.
    """

    correct: bool
    reward: float
    valid: bool = True
    components: Mapping[str, float] = field(default_factory=dict)
    answer: str | None = None
    rule: str | None = None

    @classmethod
    def invalid(cls, rule: str | None = None) -> Verdict:
        """Return the verdict on an invalid completion."""
        return cls(correct=False, reward=float("nan"), valid=False, rule=rule)


class Task(Protocol):
    """Interface of a task module's `TASK`.

    columns: the columns of a problem, besides its unique `id`.
    components: names of the reward components, for estimators that weight them; () if there is only one.
    """

    name: str
    columns: tuple[str, ...]
    components: tuple[str, ...]

    def prompt(self, problem: Problem) -> str | list[dict[str, Any]]:
        """Return the prompt: a text, or chat messages.

        The content of a message with images is a list of blocks: {"type": "image", "image": <PIL image, mode RGB>} and
        {"type": "text", "text": …}.
        """
        ...

    def verify(self, completion: str, problem: Problem) -> Verdict:
        """Judge a completion. It is hostile text: never evaluate it, bound its parsing, and raise on no input."""
        ...

    def verify_all(self, completions: Sequence[str], problems: Sequence[Problem]) -> list[Verdict]:
        """Judge a batch. A task overrides this if its verifier works in parallel."""
        return [self.verify(completion, problem) for completion, problem in zip(completions, problems, strict=True)]


def read_problems(path: str | Path, columns: tuple[str, ...], *, limit: int | None = None) -> list[dict[str, Any]]:
    """Return problems of a JSONL or Parquet file in file order, at most `limit`.

    Problems without ids get ids from their content. An unchanged file is read once per process; the rows are copies.

    Raises:
        ValueError: no such file, another format, a missing column, repeated ids, or no problem.
    """
    return with_ids(read_rows(path), columns, source=f"task file {path}")[:limit]


def read_rows(path: str | Path) -> tuple[dict[str, Any], ...]:
    """Return the rows of a JSONL or Parquet file unchanged; callers must not modify them.

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
    """Return a task's problem file: `file`, else the set in `data_dir`, else the name of the set on the hub.

    Args:
        splits: task → split → the name of its set; None if the task has none.

    Raises:
        ValueError: the task has no such split, or `data_dir` is no directory.
    """
    if file is not None:
        return Path(file)
    name = splits[task][split]
    if name is None:
        raise ValueError(f"task {task!r} has no problems to train on. Give a file as task.train_file")
    return (None if data_dir is None else _find_file(Path(data_dir), name)) or name


def _find_file(folder: Path, name: str) -> Path | None:
    """Return `folder`/<name>.jsonl or .parquet; None if there is none.

    Raises:
        ValueError: no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"hardware.data_dir {str(folder)!r} is not a directory")
    return next((path for suffix in ("jsonl", "parquet") if (path := folder / f"{name}.{suffix}").is_file()), None)


def text_problem(row: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Return a row's id, problem and answer, as text.

    Raises:
        ValueError: the answer is neither text nor a number, or blank; the problem is not text.
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
    """Return copies of rows with an id each, made from `columns` if no row has one.

    Args:
        source: name of the rows in messages.

    Raises:
        ValueError: no rows, a missing column, or repeated ids.
    """
    if not rows:
        raise ValueError(f"{source} holds no problems")
    has_ids = any("id" in row for row in rows)
    needed = ("id", *columns) if has_ids else columns
    for number, row in enumerate(rows, start=1):
        missing = [c for c in needed if c not in row]
        if missing:
            raise ValueError(
                f"{source}, row {number}: column {', '.join(missing)} is missing. "
                f"The task needs {', '.join(needed)}, the row has {', '.join(row)}"
            )
    problems = [dict(row) if has_ids else {"id": _content_id(row, columns), **row} for row in rows]
    first_row: dict[str, int] = {}
    for number, problem in enumerate(problems, start=1):
        if (earlier := first_row.setdefault(str(problem["id"]), number)) != number:
            raise ValueError(
                f"{source}: id {str(problem['id'])!r} occurs more than once. Give every problem its own id"
                if has_ids
                else f"{source}: row {number} repeats row {earlier}. Remove it, or give every row an id"
            )
    return problems


def _content_id(row: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    return fingerprint_problems([{c: row[c] for c in columns}])


@functools.lru_cache(maxsize=32)
def _read_rows(path: Path, mtime_ns: int, size: int) -> tuple[dict[str, Any], ...]:
    """Return the rows of a file, cached by its time and size. Callers must not modify them."""
    if path.suffix == ".parquet":
        return tuple(pd.read_parquet(path).to_dict(orient="records"))  # type: ignore[arg-type]
    if path.suffix != ".jsonl":
        raise ValueError(f"task file {path} must be .jsonl or .parquet")
    try:
        # splitlines() would cut at U+2028 within a string
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
    """Return 12 hex digits of the problems' content and order."""
    return hashlib.sha256(json.dumps(problems, sort_keys=True, default=str).encode()).hexdigest()[:12]


def count_shared(task: Task, problems: Sequence[Problem], of_task: Task, others: Sequence[Problem]) -> int:
    """Return the number of `problems` that are also among `others`.

    Problems are equal if all columns but id and answer agree: text in any case and spacing, images by content.
    """
    known = {_question_key(of_task, problem) for problem in others}
    return sum(_question_key(task, problem) in known for problem in problems)


def _question_key(task: Task, problem: Problem) -> str:
    """Return a text that equal questions share."""
    columns = [column for column in task.columns if column != "answer"]
    question = {column: " ".join(str(problem.get(column)).casefold().split()) for column in columns}
    return json.dumps(question, sort_keys=True)
