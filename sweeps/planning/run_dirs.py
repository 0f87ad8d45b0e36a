"""Run directories of a root, read without their configs."""

from __future__ import annotations

import json
from pathlib import Path

from agrae_lab import runs


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


def list_run_dirs(root: Path) -> list[Path]:
    """Return all run directories of a root, sorted by name; [] where there is none."""
    return [path.parent for path in sorted(root.glob("*/seed-*/config.yaml"))]
