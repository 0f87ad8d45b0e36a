"""Sources of problems: a file, a folder with `<set>.jsonl`, the shipped files, or the Hugging Face hub.

This module lists the sets of mathematical problems, each at a pinned commit of the hub; visual_sets.py lists those
with images.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agrae_lab.tasks.base import Task, find_set, read_problems, text_problem, with_ids
from agrae_lab.tasks.hub import dataset_name, file_advice, hub_rows
from agrae_lab.tasks.vision.visual_sets import VISUAL_SPLITS, load_visual_problems
from agrae_lab.verify.answers import last_complete_box
from agrae_lab.verify.golds import gold_fault
from agrae_lab.verify.limits import SHOWN_CHARS

COLUMNS = ("problem", "answer")


def _unchanged(answer: Any) -> Any:
    return answer


def _read_solution(solution: str) -> str:
    """Return the answer of a MATH solution: its last box.

    At the pinned commit, two solutions have an empty box, for 0, and one says that its box is not the answer.
    """
    return "6" if "we have not boxed the correct answer" in solution else last_complete_box(solution) or "0"


def _read_last_line(answer: str) -> str:
    """Return the answer of a GSM8K solution, whose last line is `#### 1,234`."""
    return answer.rpartition("####")[2].replace(",", "").strip()


def _join_answers(answers: Sequence[str]) -> str:
    """Return the answers of an OlympiadBench problem, each in dollars, as one text."""
    return ", ".join(answer.replace("$", "").strip() for answer in answers)


@dataclass(frozen=True)
class HubSet:
    """A set of problems on the Hugging Face hub: commit, columns, and a reader of answers."""

    repo: str
    revision: str
    split: str = "test"
    config: str | None = None
    problem: str = "problem"
    answer: str = "answer"
    read_answer: Callable[[Any], Any] = _unchanged


_MATH = ("DigitalLearningGmbH/MATH-lighteval", "0530c78699ea5e8eb5530600900e1f328b48acad")
_GSM8K = ("openai/gsm8k", "740312add88f781978c0658806c59bc2815b9866")

SETS = {
    "math_train": HubSet(*_MATH, split="train", answer="solution", read_answer=_read_solution),
    "math_test": HubSet(*_MATH, answer="solution", read_answer=_read_solution),
    "math500": HubSet("HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),
    "gsm8k_train": HubSet(*_GSM8K, split="train", config="main", problem="question", read_answer=_read_last_line),
    "gsm8k_test": HubSet(*_GSM8K, config="main", problem="question", read_answer=_read_last_line),
    "amc23": HubSet("math-ai/amc23", "80815d37005feb82cd7f8fbc6901d5d3eff43057", problem="question"),
    "aime2024": HubSet("HuggingFaceH4/aime_2024", "2fe88a2f1091d5048c0f36abc874fb997b3dd99a", split="train"),
    "aime2025": HubSet("math-ai/aime25", "563bb8404243c5f09de6ec262f2db674fe5bce9b"),
    "minerva_math": HubSet("math-ai/minervamath", "ee46ddc498933b1977577953250ca5c66be64f96", problem="question"),
    "olympiadbench": HubSet(
        "Hothan/OlympiadBench",
        "91184b52131e7fc9455fef848035173aea8cc01a",
        split="train",
        config="OE_TO_maths_en_COMP",
        problem="question",
        answer="final_answer",
        read_answer=_join_answers,
    ),
}
# Task → its set for training (None: it has none) and for evaluation.
SPLITS: dict[str, dict[str, str | None]] = {
    "math": {"train": "math_train", "test": "math_test"},
    "math500": {"train": None, "test": "math500"},
    "gsm8k": {"train": "gsm8k_train", "test": "gsm8k_test"},
    "amc23": {"train": None, "test": "amc23"},
    "aime2024": {"train": None, "test": "aime2024"},
    "aime2025": {"train": None, "test": "aime2025"},
    "minerva_math": {"train": None, "test": "minerva_math"},
    "olympiadbench": {"train": None, "test": "olympiadbench"},
}


def load_problems(
    task: Task,
    split: str,
    *,
    file: str | Path | None = None,
    data_dir: str | Path | None = None,
    limit: int | None = None,
    on_bad_rows: Callable[[list[str]], None] = lambda sentences: None,
) -> list[dict[str, Any]]:
    """Return the problems of a task, in order.

    They come from `file` if there is one. Otherwise, those of a set on the hub come from `data_dir`/<set>.jsonl or
    .parquet, else from the hub; those of any other task come from the task itself or its shipped file.

    Args:
        on_bad_rows: for tasks with images; called once with a sentence for each row that task.on_bad_row = skip leaves
            out, if there are any.

    Raises:
        ValueError: `file` is unusable (see read_problems), `data_dir` is no directory, the task has no such split, the
            hub cannot be reached or lacks the set, or an answer or image is unusable.
    """
    if task.name in VISUAL_SPLITS:
        problems, bad = load_visual_problems(task, split, file=file, data_dir=data_dir, limit=limit)
        if bad:
            on_bad_rows(bad)
        return problems
    if task.name not in SPLITS:
        return _plain_problems(task, split, file)[:limit]
    path = find_set(SPLITS, task.name, split, file=file, data_dir=data_dir)
    if isinstance(path, str):
        return [dict(row) for row in _hub_problems(path)[:limit]]
    rows = read_problems(path, task.columns, limit=limit)
    return [math_problem(row, source=f"task file {path}, id {row['id']}") for row in rows]


def _plain_problems(task: Task, split: str, file: str | Path | None) -> list[dict[str, Any]]:
    """Return the problems of a file, else those that the task makes (its method `problems`), else the shipped ones."""
    if file is None and hasattr(task, "problems"):
        rows = tuple(dict(row) for row in task.problems(split))
        return with_ids(rows, task.columns, source=f"task {task.name!r}, problems({split!r})")
    path = Path(file or shipped_file(task.name, split))
    if file is None and not path.is_file():
        key = "task.train_file" if split == "train" else "evaluation.benchmarks.<name>.file"
        raise ValueError(f"{key}: task {task.name!r} brings no problems. Name a JSONL or Parquet file there")
    return read_problems(path, task.columns)


def shipped_file(task: str, split: str) -> Path:
    """Return the path of a task's shipped problem file, whether it exists or not."""
    return Path(__file__).parent / "data" / f"{task}_{split}.jsonl"


def math_problem(row: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Return a row's id, problem and answer, and the authors' `target` if the row has one.

    The target (`meta.upstream_target`) is the answer after the authors' text normalisation, which damages some.

    Raises:
        ValueError: the answer is blank, neither text nor a number, or unfit for the verifier; the problem is not text.
    """
    meta = row.get("meta")
    target = meta.get("upstream_target") if isinstance(meta, Mapping) else None
    problem = text_problem(row, source=source)
    answer = problem["answer"]
    if fault := gold_fault(answer):
        shown = answer if len(answer) <= SHOWN_CHARS else f"{answer[:SHOWN_CHARS]}…"
        raise ValueError(f"{source}: the answer {shown!r} {fault}. Write it in another way, or leave the row out.")
    return problem if target is None else {**problem, "target": str(target)}


@functools.lru_cache(maxsize=16)
def _hub_problems(name: str) -> tuple[dict[str, Any], ...]:
    return tuple(read_hub_set(SETS[name], name))


def read_hub_set(source: HubSet, name: str) -> list[dict[str, Any]]:
    """Return the problems of a set on the hub or in its local cache, with ids made from their content.

    Raises:
        ValueError: the set cannot be loaded, or lacks a column.
    """
    where = dataset_name(source.repo, source.revision)
    rows = hub_rows(
        source.repo,
        revision=source.revision,
        split=source.split,
        config=source.config,
        columns=(source.problem, source.answer),
        remedy=file_advice(name, " and ".join(COLUMNS)),
    )
    pairs = [{"problem": row[source.problem], "answer": source.read_answer(row[source.answer])} for row in rows]
    return [math_problem(row, source=f"{where}, row {row['id']}") for row in _distinct(pairs, where)]


def _distinct(pairs: Sequence[Mapping[str, Any]], where: str) -> list[dict[str, Any]]:
    """Return each distinct problem once, with an id."""
    once = {(pair["problem"], str(pair["answer"])): pair for pair in pairs}
    return with_ids(list(once.values()), COLUMNS, source=where)
