"""Export of a study without checkpoints and models, laid out as a root that analysis reads."""

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
from sweeps.planning.run_dirs import read_run_meta
from sweeps.planning.study_directory import StudyDirectory

LEFT_OUT = ("checkpoints", "model")  # large folders of a run, which the same config makes again


def export(directory: StudyDirectory, run_dirs: Sequence[Path], target: Path) -> int:
    """Copy a study into a new folder or .tar.gz, and return the number of files.

    Raises:
        PlanError: the target exists, or has another suffix.
    """
    if target.exists():
        raise PlanError([f"{target} exists; choose another name, or remove it first"])
    if target.suffix and not target.name.endswith(".tar.gz"):
        raise PlanError(
            [f"{target}: a target with a suffix must end in .tar.gz. Name it so, or name a folder without a dot"]
        )
    files = list(dict.fromkeys(_files(directory, run_dirs)))
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.name.endswith(".tar.gz"):
        with runs.replacing(target) as temporary, tarfile.open(temporary, "w:gz") as archive:
            for path in files:
                archive.add(path, Path(directory.path.name) / path.relative_to(directory.root))
        return len(files)
    with _replacing_folder(target) as folder:
        for path in files:
            copy = folder / path.relative_to(directory.root)
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


def _files(directory: StudyDirectory, run_dirs: Sequence[Path]) -> Iterator[Path]:
    yield from _files_to_copy(directory.path)
    manifest = directory.root / "experiments" / f"{directory.path.name}.json"
    if manifest.is_file():
        yield manifest
    protocol = runs.protocol_dir(directory.root, directory.path.name)
    if protocol.is_dir():
        yield from _files_to_copy(protocol)
    for path in run_dirs:
        yield from _files_to_copy(path)
        run = read_run_meta(path)
        for benchmark in run.meta.get("base_eval", {}):
            samples = run.base_samples_path(benchmark)
            if samples is not None and samples.is_file():
                yield from _files_to_copy(samples.parent)


def _files_to_copy(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, except left-out folders, locks and partial files of a crash."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        is_left_out = path.name == ".lock" or is_temporary(path) or {*inside.parts[:-1]} & {*LEFT_OUT}
        if path.is_file() and not is_left_out:
            yield path
