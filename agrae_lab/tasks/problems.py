"""Where problems come from: a file, a folder with `<set>.jsonl`, what ships with the project, or the Hugging Face hub.

The sets of mathematical problems are named here once, each with its copy on the hub at a pinned commit; those with
images are in visual_sets.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agrae_lab.tasks.base import Task, find_set, read_problems, text_problem, with_ids
from agrae_lab.tasks.hub import give_a_file, hub_rows, named
from agrae_lab.tasks.vision.visual_sets import VISUAL_SPLITS, load_visual_problems
from agrae_lab.verify.answers import last_complete_box
from agrae_lab.verify.golds import gold_fault
from agrae_lab.verify.limits import SHOWN_CHARS

COLUMNS = ("problem", "answer")


def _as_it_is(answer: Any) -> Any:
    return answer


def _of_solution(solution: str) -> str:
    """MATH: the last box. Of the pinned commit's solutions two have an empty one, for 0, and one has boxed the notation
    of its problem and says so."""
    return "6" if "we have not boxed the correct answer" in solution else last_complete_box(solution) or "0"


def _after_hashes(answer: str) -> str:
    """GSM8K: a solution whose last line is `#### 1,234`."""
    return answer.rpartition("####")[2].replace(",", "").strip()


def _all_of(answers: Sequence[str]) -> str:
    """OlympiadBench: a list, mostly of one answer, each in dollars."""
    return ", ".join(answer.replace("$", "").strip() for answer in answers)


@dataclass(frozen=True)
class HubSet:
    """A set of problems on the Hugging Face hub: which columns of which commit, and how a row's answer is read."""

    repo: str
    revision: str
    split: str = "test"
    config: str | None = None
    problem: str = "problem"
    answer: str = "answer"
    read_answer: Callable[[Any], Any] = _as_it_is


_MATH = ("DigitalLearningGmbH/MATH-lighteval", "0530c78699ea5e8eb5530600900e1f328b48acad")
_GSM8K = ("openai/gsm8k", "740312add88f781978c0658806c59bc2815b9866")

SETS = {
    "math_train": HubSet(*_MATH, split="train", answer="solution", read_answer=_of_solution),
    "math_test": HubSet(*_MATH, answer="solution", read_answer=_of_solution),
    "math500": HubSet("HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),
    "gsm8k_train": HubSet(*_GSM8K, split="train", config="main", problem="question", read_answer=_after_hashes),
    "gsm8k_test": HubSet(*_GSM8K, config="main", problem="question", read_answer=_after_hashes),
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
        read_answer=_all_of,
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
    """The problems of a task, in order: of `file`, else of `data_dir`/<set>.jsonl (or .parquet) if there is one, else
    what ships with the project or the hub holds.

    Args:
        on_bad_rows: called with a sentence for each row that task.on_bad_row = skip has left out, if there is any.

    Raises:
        ValueError: `file` cannot be used (see read_problems), `data_dir` is no directory, the task has no such split,
            the hub cannot be reached or holds something else, an answer is empty, a image cannot be used.
    """
    if task.name in VISUAL_SPLITS:
        problems, bad = load_visual_problems(task, split, file=file, data_dir=data_dir, limit=limit)
        if bad:
            on_bad_rows(bad)
        return problems
    if task.name not in SPLITS:
        return read_problems(file or shipped_file(task.name, split), task.columns, limit=limit)
    path = find_set(SPLITS, task.name, split, file=file, data_dir=data_dir)
    if isinstance(path, str):
        return [dict(row) for row in _hub_problems(path)[:limit]]
    rows = read_problems(path, task.columns, limit=limit)
    return [math_problem(row, source=f"task file {path}, id {row['id']}") for row in rows]


def shipped_file(task: str, split: str) -> Path:
    """The problem file that ships with a task; reading it says so if there is none."""
    return Path(__file__).parent / "data" / f"{task}_{split}.jsonl"


def math_problem(row: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """What training and evaluation need of a row: id, problem, answer, and `target` where the authors reward another.

    Their target (`meta.upstream_target` in our data) is the answer after their text normalisation, in places damaged.

    Raises:
        ValueError: an answer that is neither text nor a number, or nothing but spaces, or too heavy for the verifier,
            or not fit for a box; a problem that is not text.
    """
    meta = row.get("meta")
    target = meta.get("upstream_target") if isinstance(meta, Mapping) else None
    kept = text_problem(row, source=source)
    if fault := gold_fault(kept["answer"]):
        shown = kept["answer"] if len(kept["answer"]) <= SHOWN_CHARS else f"{kept['answer'][:SHOWN_CHARS]}…"
        raise ValueError(f"{source}: the answer {shown!r} {fault}. Write it in another way, or leave the row out.")
    return kept if target is None else {**kept, "target": str(target)}


@functools.lru_cache(maxsize=16)
def _hub_problems(name: str) -> tuple[dict[str, Any], ...]:
    return tuple(read_hub_set(SETS[name], name))


def read_hub_set(source: HubSet, name: str) -> list[dict[str, Any]]:
    """The problems of a set on the hub (or in its local cache), ids made from their content.

    Raises:
        ValueError: it cannot be loaded, or lacks a column.
    """
    where = named(source.repo, source.revision)
    rows = hub_rows(
        source.repo,
        revision=source.revision,
        split=source.split,
        config=source.config,
        columns=(source.problem, source.answer),
        instead=give_a_file(name, " and ".join(COLUMNS)),
    )
    pairs = [{"problem": row[source.problem], "answer": source.read_answer(row[source.answer])} for row in rows]
    return [math_problem(row, source=f"{where}, row {row['id']}") for row in _distinct(pairs, where)]


def _distinct(pairs: Sequence[Mapping[str, Any]], where: str) -> list[dict[str, Any]]:
    """With ids; a problem that a set holds twice is kept once."""
    once = {(pair["problem"], str(pair["answer"])): pair for pair in pairs}
    return with_ids(list(once.values()), COLUMNS, source=where)
