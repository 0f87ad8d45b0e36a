"""A study to be handed on: everything but checkpoints and models, laid out as a root that analysis reads."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.inspect.gc import is_temporary
from sweeps.planning.glance import glance
from sweeps.planning.study_directory import Ledger

LEFT_OUT = ("checkpoints", "model")  # of a run's directory: large, and made again by the same config


def export(ledger: Ledger, run_dirs: Sequence[Path], target: Path) -> int:
    """Copy a study into a new folder, or a .tar.gz; returns the number of files.

    Raises:
        PlanError: the target exists, or ends in what is neither.
    """
    if target.exists():
        raise PlanError([f"{target} exists; choose another name, or remove it first"])
    if target.suffix and not target.name.endswith(".tar.gz"):
        raise PlanError([f"{target} is neither a folder nor a .tar.gz"])
    files = list(dict.fromkeys(_files(ledger, run_dirs)))
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.name.endswith(".tar.gz"):
        with runs.replacing(target) as temporary, tarfile.open(temporary, "w:gz") as archive:
            for path in files:
                archive.add(path, Path(ledger.path.name) / path.relative_to(ledger.root))
        return len(files)
    with _replacing_folder(target) as folder:
        for path in files:
            copy = folder / path.relative_to(ledger.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    return len(files)


@contextmanager
def _replacing_folder(target: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
        folder = Path(temporary) / target.name
        folder.mkdir()
        yield folder
        folder.replace(target)


def _files(ledger: Ledger, run_dirs: Sequence[Path]) -> Iterator[Path]:
    yield from _whole(ledger.path)
    manifest = ledger.root / "experiments" / f"{ledger.path.name}.json"
    if manifest.is_file():
        yield manifest
    for path in run_dirs:
        yield from _whole(path)
        run = glance(path)
        for benchmark in run.meta.get("base_eval", {}):
            samples = run.base_samples_path(benchmark)
            if samples is not None and samples.is_file():
                yield from _whole(samples.parent)


def _whole(folder: Path) -> Iterator[Path]:
    """All files below a folder, less what is left out, locks and what a crash left behind."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        is_left_out = path.name == ".lock" or is_temporary(path) or {*inside.parts[:-1]} & {*LEFT_OUT}
        if path.is_file() and not is_left_out:
            yield path
