"""A lab for studies: a study file, a train module that a test may edit, and the command line."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from sweep_lab import Lab

from agrae_lab import runs
from sweeps.__main__ import main
from sweeps.planning.study_directory import StudyDirectory

# As agrae_lab.config.freeze, it records what is in the problem files; `problems` is added to the lab's config.
TRAIN = """\
import hashlib
from pathlib import Path
from fake_train import execute, freeze as freeze_
def freeze(cfg):
    config = freeze_(cfg)
    digest = hashlib.sha256(Path(config["problems"]).read_bytes()).hexdigest()
    return {**config, "data_fingerprints": {"train": digest}}
"""


class StudyLab(Lab):
    """`Lab`, whose train module is `code`, whose problems are `data`, and whose study is `study_file`."""

    code: Path
    data: Path
    study_file: Path

    @classmethod
    def make(cls, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> StudyLab:
        self = cls(lab.conf, lab.root)
        self.code = lab.conf.parent / "study_train.py"
        self.code.write_text(TRAIN)
        self.data = lab.conf.parent / "problems.jsonl"
        self.data.write_text("one\n")
        self.study_file = lab.conf.parent / "night.yaml"
        with (lab.conf / "config.yaml").open("a") as config:
            config.write(f"problems: {self.data}\n")
        monkeypatch.syspath_prepend(self.code.parent)
        monkeypatch.delitem(sys.modules, "study_train", raising=False)
        return self

    def write(self, **study: Any) -> None:
        self.study_file.write_text(yaml.safe_dump(study, sort_keys=False))

    def do(self, command: str, *words: str) -> int:
        """`python -m sweeps <command> night.yaml …` in this process; the exit code."""
        argv = [command, str(self.study_file), *words, f"root={self.root}"]
        return main(argv, config_dir=self.conf, train_module="study_train", preload=())

    @property
    def directory(self) -> StudyDirectory:
        return StudyDirectory(self.root, "night")

    def happened(self, event: str) -> list[dict[str, Any]]:
        return [one for one in read_events(self.directory) if one["event"] == event]

    def tree(self) -> dict[str, bytes]:
        """Every file of the root with its content."""
        paths = sorted(self.root.rglob("*")) if self.root.exists() else []
        return {str(path.relative_to(self.root)): path.read_bytes() for path in paths if path.is_file()}

    def by_settings(self) -> dict[str, runs.Run]:
        """`<arm> <num_steps> <seed>` → run."""
        found = runs.list_runs(self.root)
        return {f"{run.arm} {run.config['train']['num_steps']} {run.seed}": run for run in found}


def read_events(directory: StudyDirectory) -> list[dict[str, Any]]:
    """Return the events of a study in the order of writing, without lines that a crash cut short."""
    path, events = directory.path / "events.jsonl", []
    for line in path.read_text(errors="replace").splitlines() if path.is_file() else []:
        with suppress(json.JSONDecodeError):
            events.append(json.loads(line))
    return events
