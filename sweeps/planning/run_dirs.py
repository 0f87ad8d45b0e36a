"""Run directories of a root, read without their configs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from agrae_lab import runs
from sweeps.errors import PlanError


def read_run_meta(path: Path) -> runs.Run:
    """Return a run with its arm, seed and meta.json. Its whole config would take fifty times as long to read.

    Raises:
        agrae_lab.runs.RunError: meta.json cannot be read, or is of another schema version.
    """
    try:
        meta = json.loads((path / "meta.json").read_bytes())
    except FileNotFoundError:
        meta = {"schema_version": runs.SCHEMA_VERSION}
    except ValueError:
        meta = None
    if not isinstance(meta, dict) or meta.get("schema_version") != runs.SCHEMA_VERSION:
        return runs.read_run(path)  # raises the error
    arm, seed = path.parent.name.rpartition("-")[0], int(path.name.removeprefix("seed-"))
    return runs.Run(path, {"arm": meta.get("arm", arm), "seed": seed}, meta)


def check_root(root: Path) -> None:
    """Check that runs can be written under a root, which need not exist yet.

    Raises:
        PlanError: it is a file, or lies on a disk that cannot be written.
    """
    found = next(path for path in (root, *root.absolute().parents) if path.exists() or path.is_symlink())
    if not found.is_dir():
        raise PlanError([f"root={root}: {found} is a file, not a directory; choose another root"])
    if not os.access(found, os.W_OK | os.X_OK):
        raise PlanError([f"root={root}: {found} cannot be written (read-only); choose another root"])


def shown_status(run: runs.Run) -> str:
    """Return the run's status; "pruned" for a run that a search has stopped early."""
    return "pruned" if run.status == "interrupted" and run.meta.get("pruned") else run.status


def list_run_dirs(root: Path) -> list[Path]:
    """Return all run directories of a root, sorted by name; [] where there is none."""
    return [path.parent for path in sorted(root.glob("*/seed-*/config.yaml"))]
