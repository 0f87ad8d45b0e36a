"""Experiments: the runs that answer one question, in `experiments/<name>.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agrae_lab.runs.comparison import Comparison
from agrae_lab.runs.directory import SCHEMA_VERSION, check_schema
from agrae_lab.runs.files import RunError, lock, read_json, write_json


@dataclass(frozen=True)
class Experiment:
    """The runs of one question, with their arms' names."""

    name: str
    question: str
    runs: tuple[str, ...]  # run keys
    arms: Mapping[str, str] = field(default_factory=dict)  # run key → arm, if it differs from the run's own
    comparison: Comparison | None = None  # None: not told

    @classmethod
    def read(cls, path: Path) -> Experiment:
        """Read a manifest.

        Raises:
            RunError: the file is unreadable, incomplete, or of another schema version.
        """
        raw = read_json(path)
        check_schema(raw, path)
        _check_form(raw, path)
        if missing := [key for key in ("name", "question", "runs") if key not in raw]:
            raise RunError(f"{path} is not a list of runs: it has no {', '.join(missing)}. Launch the experiment again")
        try:
            comparison = Comparison.of(raw.get("comparison", {}))
        except ValueError as error:
            raise RunError(f"{path}: comparison.{error}") from error
        return cls(raw["name"], raw["question"], tuple(raw["runs"]), raw.get("arms", {}), comparison)

    def write(self, root: Path) -> Path:
        """Write the manifest, and keep the runs that other launches of the same experiment have listed.

        Launches may write at the same time: each waits for the lock, then merges into the file.
        """
        path = root / "experiments" / f"{self.name}.json"
        with lock(path.parent, wait=True):
            known = Experiment.read(path) if path.exists() else Experiment(self.name, "", ())
            comparison = self.comparison or known.comparison
            value = {
                "schema_version": SCHEMA_VERSION,
                "name": self.name,
                "question": self.question or known.question,
                "runs": list(dict.fromkeys([*known.runs, *self.runs])),
                "arms": {**known.arms, **self.arms},
                **({"comparison": asdict(comparison)} if comparison else {}),
            }
            write_json(path, value)
        return path


def _check_form(raw: Mapping[str, Any], path: Path) -> None:
    """Raise RunError if a key of a manifest holds another type of value."""
    for key, kind, words in (
        ("name", str, "text"),
        ("question", str, "text"),
        ("runs", list, "a list of text"),
        ("arms", dict, "an object"),
        ("comparison", dict, "an object"),
    ):
        value = raw.get(key, kind())
        if not isinstance(value, kind) or (kind is list and not all(isinstance(entry, str) for entry in value)):
            raise RunError(f"{path}: {key} must be {words}, got {value!r}. Launch the experiment again")


def list_experiments(root: str | Path) -> list[Experiment]:
    """Return all experiments under a root, sorted by name."""
    return [Experiment.read(p) for p in sorted((Path(root) / "experiments").glob("*.json"))]
