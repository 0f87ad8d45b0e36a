"""Numbers of a preview: finished runs behind an estimate, runs at a time, trials left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fake_search_train
import pytest
from rich.console import Console
from search_lab import SearchLab, quest

from agrae_lab import runs
from sweeps.inspect.preview import print_plan, print_search
from sweeps.planning.drift import Code
from sweeps.planning.freeze import Plan
from sweeps.planning.study_directory import FrozenCell
from sweeps.search.table import FILE_NAME, write_table
from sweeps.spec.compose import config_dir
from sweeps.spec.read import parse_study
from sweeps.spec.study import Study

CONSOLE = Console(width=160)


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def make_run(root: Path, *, seed: int, seconds: float | None = None, **changes: Any) -> runs.Run:
    """Return a run on disk, finished in so many seconds or still to do."""
    config = {"schema_version": 1, "root": str(root), "arm": "grpo", "seed": seed, "train": {"num_steps": 10}}
    path = runs.create_run({**config, "hardware": {"processes": 1}, **changes})
    if seconds is not None:
        runs.update_meta(path, status="done", timings={"train_seconds": seconds})
    return runs.read_run(path)


def test_an_estimate_names_the_finished_runs_that_it_is_made_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [{"train": {"num_steps": num_steps}} for num_steps in (10, 20)]
    finished = [make_run(tmp_path, seed=i, seconds=60 + 60 * i, **cell) for cell in cells for i in range(3)]
    other = make_run(tmp_path, seed=0, seconds=9000, model={"path": "large"})
    todo = make_run(tmp_path, seed=3, **cells[0])
    print_plan(CONSOLE, Plan((*finished, other, todo), ()), num_slots=1)
    told = capsys.readouterr().out
    assert "8 runs: 7 finished, 1 to do" in told
    # per 10 steps: 60, 120, 180 and 30, 60, 90 s, with median 75 s
    assert "about 1 min 15 s, 1 at a time: a run takes 1 min 15 s (from 6 finished among these runs, scaled by" in told


@pytest.mark.parametrize(
    ("engine", "num_slots", "at_a_time"),
    [
        ("local", None, "8 at a time: "),
        ("slurm", None, "100 at a time if the cluster has room: "),
        ("slurm", 5, "5 at a time if the cluster has room: "),
        ("ray", 200, "100 at a time if the cluster has room: "),
    ],
)
def test_a_cluster_may_execute_all_runs_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str, num_slots: int | None, at_a_time: str
) -> None:
    make_run(tmp_path, seed=0, seconds=30)
    todo = [make_run(tmp_path, seed=seed) for seed in range(1, 101)]
    print_plan(CONSOLE, Plan(tuple(todo), ()), num_slots=num_slots, engine=engine)
    assert at_a_time in capsys.readouterr().out


def test_an_unreadable_run_costs_the_preview_of_others_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = {"hardware": {"processes": 2, "device": "cpu"}}
    finished = make_run(tmp_path, seed=0, seconds=3600, **two)
    (make_run(tmp_path, seed=1, seconds=1).path / "meta.json").write_text("{")
    todo = make_run(tmp_path, seed=2, **two)
    print_plan(CONSOLE, Plan((finished, todo), ()), num_slots=1)
    assert "1 runs, each 2 CPU processes" in capsys.readouterr().out


def search(tmp_path: Path, **changes: Any) -> tuple[SearchLab, Study]:
    lab = SearchLab(tmp_path / "conf", tmp_path / "root")
    lab.make_configs()
    return lab, parse_study(quest(base=["+hardware={processes: 4, device: cpu}"], **changes))


def preview_search(lab: SearchLab, study: Study) -> None:
    with config_dir(lab.conf):
        print_search(CONSOLE, study, lab.directory(), freeze=fake_search_train.freeze, num_slots=None)


def test_a_search_has_as_many_runs_at_a_time_as_its_processes_leave(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab, study = search(tmp_path, seeds=[0, 1])
    run = make_run(lab.root, seed=0, seconds=60)
    lab.directory().path.mkdir(parents=True)
    frozen = FrozenCell({"train.x": 0.5}, 0, run.key, runs.training_hash(run.config), Code(None).fingerprint)
    lab.directory().record(study, [frozen], Code(None))
    preview_search(lab, study)
    told = capsys.readouterr().out
    assert "4 trials by tpe, each with seeds 0, 1: none started yet" in told
    assert "about 4 min 00 s, 2 at a time: a run takes 1 min 00 s, the median so far" in told


def test_a_search_without_a_trial_left_has_no_duration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, study = search(tmp_path)
    lab.directory().path.mkdir(parents=True)
    write_table([{"trial": i, "status": "failed", "runs": ""} for i in range(4)], lab.directory().path / FILE_NAME)
    preview_search(lab, study)
    told = capsys.readouterr().out
    assert "4 trials by tpe, each with seed 0: 4 failed" in told
    assert told.splitlines()[-1] == "no trial is left to run"
