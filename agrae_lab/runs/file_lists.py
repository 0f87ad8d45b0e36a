"""List of a folder's files with their sizes and digests, and the first difference from it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Listed = Mapping[str, Mapping[str, Any]]  # name → {"size": bytes, "sha256": hex digits}


def list_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the list of all files below a folder."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: {"size": path.stat().st_size, "sha256": _digest_now(path)} for name, path in files.items()}


def fault_of(folder: Path, listed: Listed) -> str | None:
    """Return a phrase about the first file that is not as listed, beginning with its name; None if all are."""
    for name, expected in listed.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != expected["size"]:
            return f"{name} has {size} bytes, not {expected['size']}"
        if _digest_now(path) != expected["sha256"]:
            return f"{name} is not what was saved (another SHA-256)"
    return None


def _digest_now(path: Path) -> str:
    return _digest(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1024)  # a checkpoint is checked more than once
def _digest(path: Path, mtime_ns: int) -> str:
    """Return the SHA-256 of a file, 64 hex digits; `mtime_ns` tells the cache of a change."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
