"""Failpoints: a switch for tests that breaks one named write of a root.

AGRAE_FAILPOINT=metrics:2:torn breaks a process at its second write of metrics.parquet. Unset, as always outside of
tests, it costs one look into the environment for each write.

    kill    the process is killed before it writes
    torn    half of the file is in its place, then the process is killed
    lost    the file is whole under its temporary name but was never renamed, then the process is killed
    full    OSError: no space left on device
    flip    the file is in its place with one bit changed, then the process is killed
"""

from __future__ import annotations

import errno
import fnmatch
import os
import signal
from collections import Counter
from pathlib import Path

VARIABLE = "AGRAE_FAILPOINT"
KINDS = ("kill", "torn", "lost", "full", "flip")

# name → pattern of the written file's name; the first that matches counts. A test refuses the removal of a name.
NAMES = {
    "config": "config.yaml",
    "meta": "meta.json",
    "progress": "progress.json",
    "metrics": "metrics.parquet",
    "rollouts": "step-*.parquet",
    "dropped rollouts": "dropped-*.parquet",
    "checkpoint": "checkpoint-*",  # the folder, once its files are written
    "checkpoint list": ".complete",
    "model": "model",  # the folder
    "chunk": "[gs]*-?????.parquet",
    "samples": "samples.parquet",
    "policy": "policy.json",
    "thumbnail": "*.png",
    "task": "slurm.json",
    "frozen": "frozen.json",
    "study": "study.yaml",
    "events": "events.jsonl",
    "trials": "trials.csv",
    "trial books": "optuna.db",
    "protocol": "frozen-*.json",
    "looks": "looks.json",
    "manifest": "*.json",  # of an experiment, and the list of thumbnails
    "table": "runs.*",
    "archive": "*.tar.gz",
}

_num_writes: Counter[str] = Counter()


class Failpoint:
    """The armed failure of one write, or nothing."""

    def __init__(self, kind: str | None) -> None:
        self._kind = kind

    def before(self, path: Path) -> None:
        """Fail before anything is written."""
        if self._kind == "kill":
            _kill()
        if self._kind == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def written(self, temporary: Path, path: Path) -> None:
        """Fail after the temporary file or folder is whole, before it is renamed to `path`."""
        if self._kind == "lost":
            _kill()
        if self._kind == "torn":
            _damage(temporary, torn=True)
            temporary.replace(path)
            _kill()

    def renamed(self, path: Path) -> None:
        """Fail after the file or folder is in its place."""
        if self._kind == "flip":
            _damage(path, torn=False)
            _kill()


_NOTHING = Failpoint(None)


def failpoint(path: Path) -> Failpoint:
    """Return the failpoint of a write of this file; count it.

    Raises:
        ValueError: the switch is on, and it names no failpoint, or the file matches no pattern of NAMES.
    """
    armed = os.environ.get(VARIABLE)
    if not armed:
        return _NOTHING
    name, ordinal, kind = armed.split(":")
    if name not in NAMES or kind not in KINDS:
        raise ValueError(f"{VARIABLE}={armed}: there is no such failpoint")
    found = next((known for known, pattern in NAMES.items() if fnmatch.fnmatch(path.name, pattern)), None)
    if found is None:
        raise ValueError(f"{path.name} has no failpoint; add its name to {__name__}.NAMES")
    _num_writes[found] += 1
    return Failpoint(kind) if found == name and _num_writes[found] == int(ordinal) else _NOTHING


def _damage(path: Path, *, torn: bool) -> None:
    """Cut a file in half, or change one bit in its middle; of a folder, its largest file."""
    if path.is_dir():
        path = max((file for file in path.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if not torn and content:
        content[middle] ^= 1
    path.write_bytes(content[:middle] if torn else content)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
