"""Thumbnails of the images in a run's problems, for reports: kept once by content, under the root that runs share.

    <root>/pictures/<sha256>.png                 a thumbnail, at most SIDE pixels wide and high
    <root>/pictures/<fingerprint>/index.json     of a set of problems: id → the names of its thumbnails, in order

The fingerprint is the set's, as in the config of every run on it (`data_fingerprints`). Ids are untrusted text, so they
appear in the index alone, never in a file name. A set whose index can be read is done.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from agrae_lab.runs import SCHEMA_VERSION, Run, RunBusyError, RunError, lock, read_json_if_any, replacing, write_json
from agrae_lab.tasks import Problem, Task, load_task
from agrae_lab.tasks.encoding import images_in

SIDE = 256  # pixels


def keep_thumbnails(run: Run, problem_sets: Mapping[str, Sequence[Problem]]) -> None:
    """Keep thumbnails of the problems that a run trains and evaluates on; none for tasks of text alone."""
    section, benchmarks = run.config["task"], run.config["evaluation"]["benchmarks"]
    for name, problems in problem_sets.items():
        task = load_task(section["name"] if name == "train" else benchmarks[name]["task"], section)
        index = run.root / "pictures" / run.config["data_fingerprints"][name] / "index.json"
        if not _is_readable(index) and _images(task, problems[0]):
            _write_set(task, problems, index)


def _is_readable(index: Path) -> bool:
    """Return whether a set's index is there, and whole as far as its JSON tells."""
    with suppress(RunError):
        return bool(read_json_if_any(index))
    return False


def _write_set(task: Task, problems: Sequence[Problem], index: Path) -> None:
    """Write the thumbnails of a set, then its index."""
    folder = index.parents[1]
    try:
        with lock(index.parent):
            names = {str(p["id"]): [_write_thumbnail(image, folder) for image in _images(task, p)] for p in problems}
            write_json(index, {"schema_version": SCHEMA_VERSION, "pictures": names})
    except RunBusyError:  # another run writes them
        return


def _images(task: Task, problem: Problem) -> list[Any]:
    """Return the images of a problem's prompt; none where they cannot be loaded, which the trainer reports."""
    try:
        return images_in(task.prompt(problem))
    except ValueError:
        return []


def _write_thumbnail(image: Any, folder: Path) -> str:
    """Write an image's thumbnail to the folder, unless it is there; return its name, the SHA-256 of its file."""
    small = image.copy()
    small.thumbnail((SIDE, SIDE))
    encoded = io.BytesIO()
    small.save(encoded, format="PNG")
    name = hashlib.sha256(encoded.getvalue()).hexdigest()
    path = folder / f"{name}.png"
    if not path.is_file() or path.read_bytes() != encoded.getvalue():  # torn by a crash
        with replacing(path) as temporary:
            temporary.write_bytes(encoded.getvalue())
    return name
