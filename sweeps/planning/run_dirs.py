"""Run directories of a root, read without their configs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from agrae_lab import runs
from sweeps.errors import PlanError


def read_run_meta(path: Path) -> runs.Run:
    """Return a run with its arm, seed and meta.json. Its whole config would take twenty times as long to read.

    Raises:
        agrae_lab.runs.RunError: the directory has not the name of a run's, or meta.json cannot be read, or is of
            another schema version.
    """
    seed = _seed_or_none(path)
    if seed is None:
        named = "the directory of a run is named seed-<number>"
        raise runs.RunError(f"{path}: {named}. Rename it, or move it out of the root")
    try:
        meta = json.loads((path / "meta.json").read_bytes())
    except FileNotFoundError:
        meta = {"schema_version": runs.SCHEMA_VERSION}
    except ValueError:
        meta = None
    if not isinstance(meta, dict) or meta.get("schema_version") != runs.SCHEMA_VERSION:
        return runs.read_run(path)  # raises the error
    return runs.Run(path, {"arm": meta.get("arm", arm_in_name(path)), "seed": seed}, meta)


def readable_runs(paths: Iterable[Path]) -> Iterator[runs.Run]:
    """Yield the runs that can be read, as `read_run_meta`; `status` names the others."""
    for path in paths:
        with suppress(runs.RunError):
            yield read_run_meta(path)


def arm_in_name(path: Path) -> str:
    """Return the arm, as far as the name of the run's cell directory tells it."""
    return path.parent.name.rpartition("-")[0]


def seed_in_name(path: Path) -> int:
    """Return the seed in the name of a run directory; -1 if the name has none."""
    seed = _seed_or_none(path)
    return -1 if seed is None else seed


def _seed_or_none(path: Path) -> int | None:
    found = re.fullmatch(r"seed-(\d{1,18})", path.name, flags=re.ASCII)
    return None if found is None else int(found.group(1))


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
