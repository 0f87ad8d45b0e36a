"""Checkpoints to resume from: a list of its files marks one as whole, and one that is not whole is named and passed by.

A checkpoint's `.complete` is written last: {"files": {name: {"size": bytes, "sha256": hex digits}}}.
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
    """Lists a checkpoint's files once all processes have written theirs."""

    def on_save(self, args: Any, state: Any, control: Any, **unused: Any) -> None:
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
    """The newest checkpoint that is whole; newer ones that are not are named in a warning, with what is the matter."""
    for checkpoint in sorted(checkpoints.glob("checkpoint-*"), key=number_of, reverse=True):
        fault = _fault(checkpoint)
        if fault is None:
            return checkpoint
        logger.warning("%s: %s. The run goes on from the checkpoint before, or from the start", checkpoint, fault)
    return None


def remove_torn(checkpoints: Path) -> None:
    """Remove checkpoints that were cut off while being saved, or are damaged."""
    whole = last_checkpoint(checkpoints)
    for path in checkpoints.glob("checkpoint-*"):
        if not (path / COMPLETE).is_file() or whole is None or number_of(path) > number_of(whole):
            shutil.rmtree(path)


def number_of(checkpoint: Path) -> int:
    """Optimizer updates before a checkpoint."""
    return int(checkpoint.name.split("-")[1])


def _fault(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be resumed from; None if it can."""
    try:
        listed: Mapping[str, Mapping[str, Any]] = json.loads((checkpoint / COMPLETE).read_text())["files"]
    except FileNotFoundError:
        return "was cut off while it was being saved"
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


@functools.lru_cache(maxsize=1024)  # a checkpoint is looked at more than once
def _digest(path: Path, mtime_ns: int) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
