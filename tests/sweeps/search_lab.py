"""A small lab for searches: configs with a group, a root, and a search in this process or in one of its own."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import fake_search_train
import optuna
import pytest
from sweep_lab import environment, start_fork_server

from agrae_lab import runs
from sweeps.execution.executor import ActiveRun, run_all
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import Outcome
from sweeps.execution.shutdown import StopLevel
from sweeps.execution.slots import Slot
from sweeps.planning.drift import Code
from sweeps.planning.study_directory import StudyDirectory
from sweeps.search.search import run_search
from sweeps.search.space import Space, make_space
from sweeps.search.storage import default_url, storage_at
from sweeps.search.table import FILE_NAME, read_table
from sweeps.spec.compose import config_dir
from sweeps.spec.read import parse_study
from sweeps.spec.study import Study

CONFIG = """\
defaults:
  - _self_
  - kind: plain
schema_version: 1
root: ???
arm: trial
seed: 0
train: {num_steps: 2, step_seconds: 0.0, x: 0.5, mood: ok}
evaluation: {num_samples: 40, benchmarks: {problems: {}}}
experiment: {name: null, question: null}
"""
KINDS = {"plain": "name: plain\nalpha: 0.5\n", "other": "name: other\nbeta: 1.0\n"}

# A search in a process of its own that a test can kill or interrupt.
CONTROLLER = """\
import json, signal, sys
from pathlib import Path
from search_lab import SearchLab
signal.signal(signal.SIGINT, signal.default_int_handler)
conf, root, study, slots = sys.argv[1:]
lab = SearchLab(Path(conf), Path(root))
_, interrupted = lab.search(json.loads(study), slots=int(slots))
sys.exit(130 if interrupted else 0)
"""


class Quiet:
    """Display that only counts waiting runs."""

    def __init__(self) -> None:
        self.waiting: list[int] = []

    def started(self, run: runs.Run) -> None:
        pass

    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None:
        self.waiting.append(num_waiting)

    def stopping(self, level: StopLevel, num_active: int, reason: str) -> None:
        pass

    def retrying(self, outcome: Outcome, pause: float) -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        pass


@contextmanager
def in_lab(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchLab]:
    """A lab for the life of the block."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    start_fork_server()
    lab = SearchLab(folder / "conf", folder / "root")
    lab.make_configs()
    yield lab
    lab.stop()


@dataclass
class SearchLab:
    conf: Path
    root: Path
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def make_configs(self) -> None:
        (self.conf / "kind").mkdir(parents=True)
        (self.conf / "config.yaml").write_text(CONFIG)
        for name, text in KINDS.items():
            (self.conf / "kind" / f"{name}.yaml").write_text(text)

    def directory(self, name: str = "quest") -> StudyDirectory:
        return StudyDirectory(self.root, name)

    def space(self, study: Study) -> Space:
        with config_dir(self.conf):
            return make_space(study, fake_search_train.freeze, root=self.root)

    def search(
        self,
        plain: Mapping[str, Any],
        *,
        slots: int = 1,
        display: Any = None,
        space: Space | None = None,
        storage: str | None = None,
        failed_too: bool = False,
        inline: bool = False,
    ) -> tuple[list[Outcome], bool]:
        """Execute a search.

        Args:
            inline: execute the runs in this process, one by one, for a test of trials alone.
        """
        study = parse_study(plain)
        execute = (
            run_inline
            if inline
            else partial(
                run_all,
                slots=[Slot(1, None)] * slots,
                train_module="fake_search_train",
                preload=(),
                retry_policy=RetryPolicy(retries=0),
            )
        )
        directory = self.directory(study.name)
        self.make_storage(study.name)
        with directory.controller_lock():
            return run_search(
                study,
                space or self.space(study),
                directory=directory,
                code=Code(None),
                run_all=execute,
                display=display or Quiet(),
                storage=storage,
                failed_too=failed_too,
            )

    def make_storage(self, name: str = "quest") -> None:
        """Copy an empty storage, which is faster than Optuna's own creation."""
        path = self.directory(name).path / "optuna.db"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(empty_storage(), path)

    def start(self, plain: str, *, slots: int = 1) -> subprocess.Popen[str]:
        """Start a search in a process group of its own; the study as JSON."""
        argv = [sys.executable, "-c", CONTROLLER, str(self.conf), str(self.root), plain, str(slots)]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), start_new_session=True
        )
        self._started.append(process)
        return process

    def stop(self) -> None:
        """End the processes of a failed test."""
        for process in self._started:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def table(self, name: str = "quest") -> list[dict[str, str]]:
        return read_table(self.directory(name).path / FILE_NAME)

    def runs(self) -> list[runs.Run]:
        return runs.list_runs(self.root)

    @contextmanager
    def stored(self, name: str = "quest") -> Iterator[optuna.Study]:
        """The Optuna study, read by another than the controller."""
        storage = optuna.storages.RDBStorage(default_url(self.directory(name).path))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield optuna.load_study(study_name=name, storage=storage)
        finally:
            storage.remove_session()
            storage.engine.dispose()


def run_inline(todo: Iterable[runs.Run], *, display: Any) -> tuple[list[Outcome], bool]:
    """Execute the runs one by one in this process, in place of an engine."""
    outcomes = []
    for run in todo:
        display.started(run)
        with suppress(RuntimeError):
            fake_search_train.execute(str(run.path))
        found = runs.read_run(run.path)
        outcomes.append(Outcome(found, found.status, 0.0))
        display.ended(outcomes[-1])
    return outcomes, False


@cache
def empty_storage() -> Path:
    """Return a storage with its tables, whose creation takes Optuna seconds."""
    path = Path(tempfile.mkdtemp()) / "optuna.db"
    atexit.register(shutil.rmtree, path.parent)
    with storage_at(f"sqlite:///{path}"):
        return path


def quest(*, search: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A study of one objective and one dimension, as plain data, with changes."""
    plain = {
        "name": "quest",
        "objective": [{"metric": "pass@1/problems", "direction": "maximize"}],
        "search": {
            "sampler": "tpe",
            "num_trials": 4,
            "space": {"train.x": {"kind": "float", "low": 0.0, "high": 1.0}},
            **(search or {}),
        },
    }
    return {**plain, **changes}
