"""Checkpoints to resume from. A complete checkpoint has a list of its files; a damaged one is named and skipped.

The list, `.complete`, is written last: {"files": {name: {"size": bytes, "sha256": hex digits}}}.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate.state import PartialState
from safetensors import safe_open
from transformers import TrainerCallback

from agrae_lab.runs import RunError, number_in, replacing
from agrae_lab.runs.failpoints import failpoint
from agrae_lab.runs.file_lists import Listed, fault_of, list_files

logger = logging.getLogger(__name__)

COMPLETE = ".complete"


class MarkComplete(TrainerCallback):
    """Callback that lists a checkpoint's files once all processes have written theirs."""

    def on_save(self, args: Any, state: Any, control: Any, **unused: Any) -> None:
        """Write the list, on the main process."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            point = failpoint(checkpoint)
            point.before(checkpoint)
            point.written(checkpoint, checkpoint)
            mark_complete(checkpoint)
            point.renamed(checkpoint)


def mark_complete(checkpoint: Path) -> None:
    """Write the list of a checkpoint's files."""
    listed = list_files(checkpoint)
    with replacing(checkpoint / COMPLETE) as temporary:
        temporary.write_text(json.dumps({"files": listed}, indent=1))


def last_checkpoint(checkpoints: Path) -> Path | None:
    """Return the newest complete checkpoint, None if there is none; warn of newer ones, each with its fault."""
    for checkpoint in sorted(_numbered(checkpoints), key=num_updates_before, reverse=True):
        fault = _fault(checkpoint)
        if fault is None:
            return checkpoint
        logger.warning("%s: %s. The run removes it and resumes from the checkpoint before, if any", checkpoint, fault)
    return None


def remove_torn(checkpoints: Path) -> None:
    """Remove checkpoints that are damaged, or whose saving was interrupted."""
    whole = last_checkpoint(checkpoints)
    for path in _numbered(checkpoints):
        if not (path / COMPLETE).is_file() or whole is None or num_updates_before(path) > num_updates_before(whole):
            shutil.rmtree(path)


def _numbered(checkpoints: Path) -> list[Path]:
    return [path for path in checkpoints.glob("checkpoint-*") if number_in(path) is not None]


def num_updates_before(checkpoint: Path) -> int:
    """Return the number of optimizer updates before a checkpoint."""
    return int(checkpoint.name.split("-")[1])


def _fault(checkpoint: Path) -> str | None:
    """Return the reason why a checkpoint cannot be resumed from; None if it can."""
    try:
        listed: Listed = json.loads((checkpoint / COMPLETE).read_text())["files"]
    except FileNotFoundError:
        return "its saving was interrupted"
    except (ValueError, KeyError, TypeError):
        return f"its list of files, {COMPLETE}, is damaged"
    return fault_of(checkpoint, listed)


@contextmanager
def naming_unreadable_file(checkpoint: Path | None) -> Iterator[None]:
    """Turn an error of the block into one that names the checkpoint's file which cannot be read, if there is one.

    A file may be what was saved and yet unreadable, for example by another version of torch, whose own message advises
    to load it unsafely.

    Raises:
        RunError: such a file; says what to delete, and where the run then resumes.
    """
    try:
        yield
    except Exception as error:
        name = None if checkpoint is None else _unreadable_file(checkpoint)
        if checkpoint is None or name is None:
            raise
        how = f"Delete {checkpoint}: the run then resumes from the checkpoint before, or from the start"
        raise RunError(f"{checkpoint / name} cannot be read by torch {torch.__version__}. {how}") from error


def _unreadable_file(checkpoint: Path) -> str | None:
    """Return the first file that cannot be read as what its suffix says; None if all can."""
    for path in sorted(checkpoint.rglob("*")):
        try:
            if path.suffix in (".pt", ".pth", ".bin") and path.name != "training_args.bin":
                torch.load(path, map_location="cpu", weights_only=True)
            elif path.suffix == ".safetensors":
                with safe_open(path, framework="pt"):
                    pass
            elif path.suffix == ".json":
                json.loads(path.read_text())
        except Exception as error:
            logger.debug("%s: %s", path, error)
            return str(path.relative_to(checkpoint))
    return None
