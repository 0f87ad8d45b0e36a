"""Small pictures of a run's problems, for reports: kept once by content, under the root that runs share.

    <root>/pictures/<sha256>.png                 a picture, at most SIDE pixels wide and high
    <root>/pictures/<fingerprint>/index.json     of a set of problems: id → the names of its pictures, in their order

The fingerprint is the set's, as the config of every run on it has it (`data_fingerprints`). Ids are somebody's text and
stand within the index alone. Who finds a set's index there has nothing to do.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agrae_lab.runs import SCHEMA_VERSION, Run, RunBusyError, lock, replacing, write_json
from agrae_lab.tasks import Problem, Task, load_task
from agrae_lab.tasks.encoding import images_in

SIDE = 256  # pixels


def keep_thumbnails(run: Run, problem_sets: Mapping[str, Sequence[Problem]]) -> None:
    """Keep the pictures of the problems that a run is trained and evaluated on; nothing for tasks of text alone."""
    section, benchmarks = run.config["task"], run.config["evaluation"]["benchmarks"]
    for name, problems in problem_sets.items():
        task = load_task(section["name"] if name == "train" else benchmarks[name]["task"], section)
        index = run.root / "pictures" / run.config["data_fingerprints"][name] / "index.json"
        if not index.is_file() and _pictures(task, problems[0]):
            _keep(task, problems, index)


def _keep(task: Task, problems: Sequence[Problem], index: Path) -> None:
    folder = index.parents[1]
    try:
        with lock(index.parent):
            names = {str(p["id"]): [_kept(picture, folder) for picture in _pictures(task, p)] for p in problems}
            write_json(index, {"schema_version": SCHEMA_VERSION, "pictures": names})
    except RunBusyError:  # another run is at it
        return


def _pictures(task: Task, problem: Problem) -> list[Any]:
    """The pictures of a problem's prompt; none where they cannot be loaded, which is for the trainer to complain of."""
    try:
        return images_in(task.prompt(problem))
    except ValueError:
        return []


def _kept(picture: Any, folder: Path) -> str:
    """The SHA-256 of a picture's thumbnail, which is then in the folder under that name."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE))
    encoded = io.BytesIO()
    small.save(encoded, format="PNG")
    name = hashlib.sha256(encoded.getvalue()).hexdigest()
    path = folder / f"{name}.png"
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_bytes(encoded.getvalue())
    return name
