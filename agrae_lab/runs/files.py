"""Files of a root that several processes share: locks, and writing that leaves no half of a file behind."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LOCK_ATTEMPTS = 5  # a process that only asks whether a run is locked holds the lock for an instant
_HANDED_OVER = "AGRAE_LOCK"  # <descriptor>:<device>:<inode> of a lock that the program before this one took
_held: dict[Path, int] = {}  # directory → descriptor, of the locks of this process
_HOST = re.sub(r"[^\w-]", "_", platform.node()) or "host"


class RunError(ValueError):
    """A run directory cannot be used; the message names the directory and says what would be right."""


class RunBusyError(RunError):
    """Another process is at work in this run directory."""


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the directory's lock for the life of the block; the kernel frees it when the process dies.

    A lock that the program before this one has handed over (hand_over_lock) is held already.

    Raises:
        RunBusyError: another process holds it and `wait` is false.
    """
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("a") as handle:
        if not _take_over(handle.fileno()):
            _take(handle.fileno(), path, wait=wait)
        _held[path.resolve()] = handle.fileno()
        try:
            yield
        finally:
            del _held[path.resolve()]


def _take(descriptor: int, path: Path, *, wait: bool) -> None:
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return
        except BlockingIOError as error:
            if attempt == _LOCK_ATTEMPTS - 1:
                raise RunBusyError(f"another process is at work in {path}; wait for it or stop it first") from error
            time.sleep(0.02)


def is_locked(path: Path) -> bool:
    """Whether a live process holds the directory's lock. It is shared to find out: two that ask do not meet."""
    with (path / ".lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def hand_over_lock(path: Path) -> None:
    """Keep the directory's lock, which this process holds, over the os.execv that follows.

    A lock belongs to the open file: a descriptor that survives keeps it without a gap.
    """
    descriptor = _held[path.resolve()]
    found = os.fstat(descriptor)
    os.set_inheritable(descriptor, True)
    os.environ[_HANDED_OVER] = f"{descriptor}:{found.st_dev}:{found.st_ino}"


def has_been_handed_a_lock() -> bool:
    """Whether this program goes on in the place of another that held a lock."""
    return _HANDED_OVER in os.environ


def _take_over(descriptor: int) -> bool:
    """Make `descriptor` a second one of the lock that was handed over, if it is of the same file."""
    handed = os.environ.get(_HANDED_OVER)
    if handed is None:
        return False
    first, device, inode = map(int, handed.split(":"))
    mine = os.fstat(descriptor)
    if (mine.st_dev, mine.st_ino) != (device, inode):
        return False
    os.dup2(first, descriptor, inheritable=False)
    os.close(first)
    del os.environ[_HANDED_OVER]
    return True


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on leaving without an error it takes the place of `path`.

    The name carries host and process, since several machines may write to one file system.
    """
    temporary = path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write to a temporary name, then rename, so that a reader or a crash never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        RunError: it holds none.
    """
    try:
        value = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not readable as JSON: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} must hold a JSON object, and holds {type(value).__name__}")
    return value


def read_json_if_any(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
