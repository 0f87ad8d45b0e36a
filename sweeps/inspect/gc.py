"""What a root could do without: `python -m sweeps gc` lists it, and removes it on request. What is at work stays."""

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
from sweeps.planning.glance import glance
from sweeps.planning.study_directory import list_ledgers

CHECKPOINTS = "checkpoints of a finished run"
TORN = "a file that was being written when its process died"
NAMELESS = "a run that no study or experiment names"

_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")  # as agrae_lab.runs.replacing names them


@dataclass(frozen=True)
class Waste:
    """A file or folder to be removed, and why. `lock`: the directory whose lock says that nobody is at work in it."""

    path: Path
    why: str
    num_bytes: int
    lock: Path


def is_temporary(path: Path) -> bool:
    return _TEMPORARY.fullmatch(path.name) is not None


def find_waste(root: Path, run_dirs: Sequence[Path], *, everything: bool) -> list[Waste]:
    """What could go from these run directories, largest first.

    Args:
        everything: also runs that no study or experiment names, and what lies in the root beside its runs.

    Raises:
        agrae_lab.runs.RunError: a run directory or a manifest that cannot be read.
    """
    named = {key for one in runs.list_experiments(root) for key in one.runs}
    named |= {cell.run for ledger in list_ledgers(root) for cell in ledger.frozen().values()}
    found = []
    for path in run_dirs:
        run = glance(path)
        if _at_work(path):
            continue
        if everything and run.key not in named:
            found.append(_waste(path, NAMELESS, path))
            continue
        if run.status in runs.FINAL_STATUSES and (path / "checkpoints").is_dir():
            found.append(_waste(path / "checkpoints", CHECKPOINTS, path))
        found += [_waste(torn, TORN, path) for torn in _torn(path) if "checkpoints" not in torn.parts]
    if everything:
        shared = [*root.glob("base/*/"), *root.glob("studies/*/")]
        found += [_waste(torn, TORN, folder) for folder in shared if not _at_work(folder) for torn in _torn(folder)]
    return sorted(found, key=lambda waste: -waste.num_bytes)


def remove(waste: Sequence[Waste]) -> list[Waste]:
    """Remove what nobody has come to work on meanwhile; returns what is gone."""
    gone = []
    for one in waste:
        with suppress(runs.RunBusyError), runs.lock(one.lock):
            if one.why == CHECKPOINTS and glance(one.lock).status not in runs.FINAL_STATUSES:
                continue
            if one.path.is_dir():
                shutil.rmtree(one.path)
            else:
                one.path.unlink(missing_ok=True)
            gone.append(one)
    for folder in {one.lock.parent for one in gone}:
        with suppress(OSError):  # another seed lies there
            folder.rmdir()
    return gone


def print_waste(console: Console, waste: Sequence[Waste]) -> None:
    table = Table("size", "what", "where", box=None, pad_edge=False)
    for one in waste:
        table.add_row(_size(one.num_bytes), one.why, Text(str(one.path), overflow="fold"))
    console.print(table)


def total(waste: Sequence[Waste]) -> str:
    return f"{len(waste)} items, {_size(sum(one.num_bytes for one in waste))}"


def _waste(path: Path, why: str, lock: Path) -> Waste:
    files = [path] if path.is_file() else [inside for inside in path.rglob("*") if inside.is_file()]
    return Waste(path, why, sum(file.stat().st_size for file in files), lock)


def _at_work(folder: Path) -> bool:
    return runs.Run(folder, {}).is_locked()


def _torn(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob(".*.tmp") if is_temporary(path))


def _size(num_bytes: int) -> str:
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
