"""Checkpoints to resume from. A complete checkpoint has a list of its files; a damaged one is named and skipped.

The list, `.complete`, is written last: {"files": {name: {"size": bytes, "sha256": hex digits}}}.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.state import PartialState
from transformers import TrainerCallback

from agrae_lab.runs import replacing

logger = logging.getLogger(__name__)

COMPLETE = ".complete"


class MarkComplete(TrainerCallback):
    """Callback that lists a checkpoint's files once all processes have written theirs."""

    def on_save(self, args: Any, state: Any, control: Any, **unused: Any) -> None:
        """Write the list, on the main process."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def mark_complete(checkpoint: Path) -> None:
    """Write the list of a checkpoint's files."""
    files = {str(p.relative_to(checkpoint)): p for p in sorted(checkpoint.rglob("*")) if p.is_file()}
    listed = {
        name: {"size": path.stat().st_size, "sha256": _digest(path, path.stat().st_mtime_ns)}
        for name, path in files.items()
    }
    with replacing(checkpoint / COMPLETE) as temporary:
        temporary.write_text(json.dumps({"files": listed}, indent=1))


def last_checkpoint(checkpoints: Path) -> Path | None:
    """Return the newest complete checkpoint, None if there is none; warn of newer ones, each with its fault."""
    for checkpoint in sorted(checkpoints.glob("checkpoint-*"), key=num_updates_before, reverse=True):
        fault = _fault(checkpoint)
        if fault is None:
            return checkpoint
        logger.warning("%s: %s. The run resumes from the checkpoint before, or from the start", checkpoint, fault)
    return None


def remove_torn(checkpoints: Path) -> None:
    """Remove checkpoints that are damaged, or whose saving was interrupted."""
    whole = last_checkpoint(checkpoints)
    for path in checkpoints.glob("checkpoint-*"):
        if not (path / COMPLETE).is_file() or whole is None or num_updates_before(path) > num_updates_before(whole):
            shutil.rmtree(path)


def num_updates_before(checkpoint: Path) -> int:
    """Return the number of optimizer updates before a checkpoint."""
    return int(checkpoint.name.split("-")[1])


def _fault(checkpoint: Path) -> str | None:
    """Return the reason why a checkpoint cannot be resumed from; None if it can."""
    try:
        listed: Mapping[str, Mapping[str, Any]] = json.loads((checkpoint / COMPLETE).read_text())["files"]
    except FileNotFoundError:
        return "its saving was interrupted"
    except (ValueError, KeyError, TypeError):
        return f"its list of files, {COMPLETE}, is damaged"
    for name, expected in listed.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != expected["size"]:
            return f"{name} has {size} bytes, not {expected['size']}"
        if _digest(path, path.stat().st_mtime_ns) != expected["sha256"]:
            return f"{name} is not what was saved (another SHA-256)"
    return None


@functools.lru_cache(maxsize=1024)  # a checkpoint is checked more than once
def _digest(path: Path, mtime_ns: int) -> str:
    """Return the SHA-256 of a file, 64 hex digits; `mtime_ns` tells the cache of a change."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
