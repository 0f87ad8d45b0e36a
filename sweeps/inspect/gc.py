"""Removable files of a root: `python -m sweeps gc` lists them, and removes them on request. Runs in progress stay."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agrae_lab import runs
from sweeps.planning.run_dirs import read_run_meta
from sweeps.planning.study_directory import list_study_directories

CHECKPOINTS = "checkpoints of a finished run"
PARTIAL_FILE = "partial file of a process that died"
UNREFERENCED_RUN = "unfinished run of no study or experiment"

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")  # as named by agrae_lab.runs.replacing


@dataclass(frozen=True)
class Removable:
    """A file or folder to remove. `lock`: the directory whose free lock shows that nothing in it is in progress."""

    path: Path
    reason: str
    num_bytes: int
    lock: Path


def is_temporary(path: Path) -> bool:
    """Return True for the name of a file that is being written."""
    return _TEMPORARY.fullmatch(path.name) is not None


def find_removable(root: Path, run_dirs: Sequence[Path], *, everything: bool) -> list[Removable]:
    """Return the removable files and folders of these run directories, largest first.

    Args:
        everything: also runs of no study or experiment, and partial files of the root outside its runs.

    Raises:
        agrae_lab.runs.RunError: a run directory or a manifest that cannot be read.
    """
    named = {key for experiment in runs.list_experiments(root) for key in experiment.runs}
    named |= {cell.run for directory in list_study_directories(root) for cell in directory.frozen_cells().values()}
    found = []
    for path in run_dirs:
        try:
            run = read_run_meta(path)
        except runs.RunError:  # `status` names it; nothing of it is removed
            continue
        if _in_progress(path):
            continue
        if everything and run.key not in named and run.status not in runs.FINAL_STATUSES:
            found.append(_removable(path, UNREFERENCED_RUN, path))
            continue
        if run.status in runs.FINAL_STATUSES and (path / "checkpoints").is_dir():
            found.append(_removable(path / "checkpoints", CHECKPOINTS, path))
        found += [
            _removable(torn, PARTIAL_FILE, path) for torn in _partial_files(path) if "checkpoints" not in torn.parts
        ]
    if everything:
        shared = [*root.glob("base/*/"), *root.glob("studies/*/")]
        found += [
            _removable(torn, PARTIAL_FILE, folder)
            for folder in shared
            if not _in_progress(folder)
            for torn in _partial_files(folder)
        ]
    return sorted(found, key=lambda removable: -removable.num_bytes)


def remove(removable: Sequence[Removable]) -> list[Removable]:
    """Remove everything that is still not in progress, and return it."""
    removed = []
    for item in removable:
        with suppress(runs.RunBusyError), runs.lock(item.lock):
            if item.reason == CHECKPOINTS and read_run_meta(item.lock).status not in runs.FINAL_STATUSES:
                continue
            if item.path.is_dir():
                shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
            removed.append(item)
    for folder in {item.lock.parent for item in removed}:
        with suppress(OSError):  # it has another seed
            folder.rmdir()
    return removed


def print_removable(console: Console, removable: Sequence[Removable]) -> None:
    table = Table("size", "kind", "path", box=None, pad_edge=False)
    for item in removable:
        table.add_row(_size(item.num_bytes), item.reason, Text(str(item.path), overflow="fold"))
    console.print(table)


def total(removable: Sequence[Removable]) -> str:
    return f"{len(removable)} items, {_size(sum(item.num_bytes for item in removable))}"


def _removable(path: Path, reason: str, lock: Path) -> Removable:
    files = [path] if path.is_file() else [inside for inside in path.rglob("*") if inside.is_file()]
    return Removable(path, reason, sum(file.stat().st_size for file in files), lock)


def _in_progress(folder: Path) -> bool:
    return runs.Run(folder, {}).is_locked()


def _partial_files(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob(".*.tmp") if is_temporary(path))


def _size(num_bytes: int) -> str:
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
