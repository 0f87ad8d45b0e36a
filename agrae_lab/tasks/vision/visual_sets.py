"""Sets of problems with images: their sources, and the checks of their rows before a run starts."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agrae_lab.tasks.base import Task, find_set, read_rows, text_problem, with_ids
from agrae_lab.tasks.hub import dataset_name, file_advice, hub_rows
from agrae_lab.tasks.prompts import LETTERS
from agrae_lab.tasks.vision.images import ImageFile, store_image
from agrae_lab.tasks.vision.visual import visual_problem

COLUMNS = "problem, answer, image and, for multiple choice, choices"
_LISTED = re.compile(r"\s*\n\s*Choices?:\s*\n(.*)", flags=re.DOTALL)
_CHOICE = re.compile(r"^([A-Z])[ \t]*[:.][ \t]*(.*)$", flags=re.MULTILINE)


@dataclass(frozen=True)
class VisualHubSet:
    """A set on the Hugging Face hub: commit, columns, image column, and a reader of rows."""

    repo: str
    revision: str
    split: str
    image: str
    columns: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    config: str | None = None


def _mathvision(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"problem": row["question"], "answer": row["answer"], "choices": list(row["options"] or ())}


def _mathverse(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the problem of a MathVerse row, whose choices stand in the question, or with all of it in the image."""
    question, choices = split_choices(row["question"])
    return {"problem": question or "Answer the question in the picture.", "answer": row["answer"], "choices": choices}


def split_choices(question: str) -> tuple[str, list[str] | None]:
    """Return a question and the choices listed at its end, one per line as `A: …`; None if it lists none."""
    match = _LISTED.search(question)
    found = _CHOICE.findall(match[1]) if match else []
    if match is None or len(found) < 2 or "".join(letter for letter, _ in found) != LETTERS[: len(found)]:
        return question.strip(), None
    return question[: match.start()].strip(), [text.strip() for _, text in found]


HUB_SETS = {
    "mathvision_test": VisualHubSet(
        "MathLLMs/MathVision",
        "14b5e86a95856c4231a056b82f658584eae2b309",
        split="test",
        image="decoded_image",
        columns=("question", "options", "answer"),
        read=_mathvision,
    ),
    "mathverse_testmini": VisualHubSet(
        "AI4Math/MathVerse",
        "268dfc55b62296be3bdf6406d6dea07bd06a7d64",
        split="testmini",
        config="testmini",
        image="image",
        columns=("question", "answer"),
        read=_mathverse,
    ),
}
# Sets without a commit to pin, and sources of their problems.
_ELSEWHERE = {
    "geo3k": "hiyouga/geometry3k on the hub has them as Parquet files, usable as they are",
    "medical": "the paper drew them, unpublished, from the evaluation data of HuatuoGPT-Vision",
}
# Task → split → its set; None if it has none.
VISUAL_SPLITS: dict[str, dict[str, str | None]] = {
    "geo3k": {"train": "geo3k_train", "test": "geo3k_test"},
    "mathvision": {"train": None, "test": "mathvision_test"},
    "mathverse": {"train": None, "test": "mathverse_testmini"},
    "medical_mri": {"train": "medical_mri_train", "test": "medical_mri_test"},
    "medical_ct": {"train": None, "test": "medical_ct_test"},
    "medical_xray": {"train": None, "test": "medical_xray_test"},
}


def load_visual_problems(
    task: Task, split: str, *, file: str | Path | None, data_dir: str | Path | None, limit: int | None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the problems of a task with images (see problems.load_problems), and a sentence per skipped row.

    Raises:
        ValueError: a file, folder or set is unusable; a row is unusable, unless task.on_bad_row = skip; or all are.
    """
    path = find_set(VISUAL_SPLITS, task.name, split, file=file, data_dir=data_dir)
    if isinstance(path, str):
        return _usable(_hub_problems(path), Path(), task, limit=limit, source=_source_name(path))
    source = f"task file {path}"
    rows = with_ids([_normalised_row(row) for row in read_rows(path)], task.columns, source=source)
    return _usable(rows, path.parent, task, limit=limit, source=source)


def _usable(
    rows: Iterable[Mapping[str, Any]], folder: Path, task: Task, *, limit: int | None, source: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the problems of the first `limit` usable rows, and a sentence for each row skipped on the way."""
    problems: list[dict[str, Any]] = []
    bad: list[str] = []
    for number, row in enumerate(rows, start=1):
        if len(problems) == limit:
            break
        where = f"{source}, row {number}, id {row['id']}"
        try:
            problem = text_problem(row, source=where)
            try:
                problems.append(visual_problem(row, problem, folder))
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
        except ValueError as error:
            if getattr(task, "on_bad_row", "refuse") == "refuse":
                raise
            bad.append(str(error))
    if not problems:
        raise ValueError(f"{source} has no usable row. The first fault: {bad[0]}")
    return problems, bad


def _normalised_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in our form: column `image` (Geometry3K calls it `images`), lists, and embedded images as files."""
    ours = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in row.items()}
    given = ours.pop("images", None) if ours.get("image") is None else ours["image"]
    ours["image"] = [_store_embedded(entry) for entry in given] if isinstance(given, list) else _store_embedded(given)
    return ours


def _store_embedded(entry: Any) -> Any:
    """Return an image given by its bytes as a file in the hub's cache; anything else unchanged."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("bytes"), bytes):
        return entry
    from huggingface_hub.constants import HF_HOME

    path = store_image(entry["bytes"], Path(HF_HOME) / "agrae_lab" / "pictures")
    return ImageFile(path, path.name)


def _source_name(name: str) -> str:
    return dataset_name(HUB_SETS[name].repo, HUB_SETS[name].revision)


@functools.lru_cache(maxsize=4)
def _hub_problems(name: str) -> tuple[dict[str, Any], ...]:
    return tuple(read_visual_hub_set(name))


def read_visual_hub_set(name: str) -> list[dict[str, Any]]:
    """Return the distinct rows of a set on the hub in our form, with ids made from their content.

    Raises:
        ValueError: the set cannot be loaded, or lacks a column.
    """
    if name not in HUB_SETS:
        raise ValueError(
            f"the problems of {name} do not come from the hub at a pinned commit "
            f"({_ELSEWHERE[name.split('_')[0]]}). {file_advice(name, COLUMNS)}"
        )
    from datasets import Image

    source = HUB_SETS[name]
    table = hub_rows(
        source.repo,
        revision=source.revision,
        split=source.split,
        config=source.config,
        columns=(*source.columns, source.image),
        remedy=file_advice(name, COLUMNS),
    ).cast_column(source.image, Image(decode=False))
    rows = [{**source.read(row), "image": _store_embedded(row[source.image])} for row in table]
    once = {(row["problem"], str(row["answer"]), str(row["image"])): row for row in rows}
    return with_ids(list(once.values()), ("problem", "answer", "image"), source=_source_name(name))
