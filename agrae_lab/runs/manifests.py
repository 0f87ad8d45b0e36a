"""Experiments: which runs answer one question. `experiments/<name>.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agrae_lab.runs.directory import SCHEMA_VERSION, check_schema
from agrae_lab.runs.files import RunError, lock, read_json, write_json


@dataclass(frozen=True)
class Experiment:
    """The runs of one question, and what the question calls them."""

    name: str
    question: str
    runs: tuple[str, ...]  # run keys
    arms: Mapping[str, str] = field(default_factory=dict)  # run key → arm, where it is not what the run calls itself

    @classmethod
    def read(cls, path: Path) -> Experiment:
        """Read a manifest.

        Raises:
            RunError: unreadable, incomplete, or of another schema version.
        """
        raw = read_json(path)
        check_schema(raw, path)
        if missing := [key for key in ("name", "question", "runs") if key not in raw]:
            raise RunError(f"{path} is not a list of runs: it has no {', '.join(missing)}; launch the experiment again")
        return cls(name=raw["name"], question=raw["question"], runs=tuple(raw["runs"]), arms=raw.get("arms", {}))

    def write(self, root: Path) -> Path:
        """Write, keeping the runs that other launches of the same experiment listed (other seeds, say).

        Launches may write at the same time: each waits for the lock, then reads what is there.
        """
        path = root / "experiments" / f"{self.name}.json"
        with lock(path.parent, wait=True):
            known = Experiment.read(path) if path.exists() else Experiment(self.name, "", ())
            value = {
                "schema_version": SCHEMA_VERSION,
                "name": self.name,
                "question": self.question,
                "runs": list(dict.fromkeys([*known.runs, *self.runs])),
                "arms": {**known.arms, **self.arms},
            }
            write_json(path, value)
        return path


def list_experiments(root: str | Path) -> list[Experiment]:
    """All experiments under a root, sorted by name."""
    return [Experiment.read(p) for p in sorted((Path(root) / "experiments").glob("*.json"))]
