"""Files of a root that several processes share: locks, and atomic writing."""

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

from agrae_lab.runs.failpoints import failpoint

_LOCK_ATTEMPTS = 5  # is_locked of another process holds the lock for an instant
_HANDED_OVER = "AGRAE_LOCK"  # <descriptor>:<device>:<inode> of an inherited lock
_held: dict[Path, int] = {}  # directory → descriptor of a lock that this process holds
_HOST = re.sub(r"[^\w-]", "_", platform.node()) or "host"


class RunError(ValueError):
    """A run directory cannot be used. The message names the directory and the remedy."""


class RunBusyError(RunError):
    """Another process holds the lock of this run directory."""


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the directory's lock during the block; the kernel frees it when the process dies.

    A lock inherited from the program before this one (hand_over_lock) is kept without a gap.

    Raises:
        RunBusyError: another process holds it and `wait` is false.
    """
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("a") as handle:
        if not _inherit(handle.fileno()):
            _acquire(handle.fileno(), path, wait=wait)
        _held[path.resolve()] = handle.fileno()
        try:
            yield
        finally:
            del _held[path.resolve()]


def _acquire(descriptor: int, path: Path, *, wait: bool) -> None:
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return
        except BlockingIOError as error:
            if attempt == _LOCK_ATTEMPTS - 1:
                raise RunBusyError(f"{path} is in use by another process. Wait for it, or stop it first") from error
            time.sleep(0.02)


def is_locked(path: Path) -> bool:
    """Return whether a live process holds the directory's lock.

    Probes with a shared lock, so that two probes do not see each other. Writes nothing: the root may be read-only.
    """
    lock_path = path / ".lock"
    if not lock_path.is_file():
        return False
    with lock_path.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def hand_over_lock(path: Path) -> None:
    """Hand the directory's lock on to the program that the next os.execv starts.

    A lock belongs to the open file, so an inherited descriptor keeps it without a gap.
    """
    descriptor = _held[path.resolve()]
    found = os.fstat(descriptor)
    os.set_inheritable(descriptor, True)
    os.environ[_HANDED_OVER] = f"{descriptor}:{found.st_dev}:{found.st_ino}"


def has_inherited_lock() -> bool:
    """Return whether this program has inherited a lock (hand_over_lock)."""
    return _HANDED_OVER in os.environ


def _inherit(descriptor: int) -> bool:
    """Put the inherited lock under `descriptor` and return True if it is of this file; else return False."""
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
    """Yield a temporary path beside `path`, which replaces `path` at the end of the block unless an error occurs.

    Its name holds host and process, since several machines may write to one file system.
    """
    temporary = path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.tmp")
    point = failpoint(path)
    point.before(path)
    try:
        yield temporary
        point.written(temporary, path)
        temporary.replace(path)
        point.renamed(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically: no reader and no crash leaves half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        RunError: the file is not readable, or holds no object.
    """
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise RunError(unreadable_message(path, error)) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not readable as JSON: {error}. Restore or delete it") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} must hold a JSON object, and holds {type(value).__name__}")
    return value


def number_in(path: Path) -> int | None:
    """Return the number in a name such as step-000004.parquet; None in other names, such as a copy's."""
    found = re.fullmatch(r"[a-z]+-(\d+)(\.parquet)?", path.name, re.ASCII)
    return None if found is None else int(found[1])


def unreadable_message(path: Path, error: OSError) -> str:
    """Return the message for a file that the system refuses to read."""
    return f"{path} cannot be read: {error.strerror or error}. Check the file, its permissions and the file system"


def read_json_if_any(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
