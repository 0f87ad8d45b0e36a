"""A study or search that a failpoint broke: the next launch ends it, or one sentence names the damaged file."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from search_lab import SearchLab, in_lab, quest
from study_lab import StudyLab
from sweep_lab import Lab, environment
from test_protocol import TWO, ProtocolLab, changed

from agrae_lab import runs
from agrae_lab.runs import failpoints
from sweeps.engines import job, slurm
from sweeps.execution.retry_policy import RetryPolicy
from tests.failpoints_lab import broken

# name → ordinals of its writes by the controller
OF_STUDY = {"config": (1, 3), "manifest": (1,), "frozen": (1,), "study": (1,), "events": (1, 3), "meta": (1, 2)}
OF_SEARCH = {"config": (2,), "frozen": (1, 3), "study": (2,), "trials": (1, 4), "trial books": (1, 3), "meta": (2,)}
OF_PROTOCOL = {"protocol": (1,), "looks": (1, 2)}
QUICK = [("frozen", 1, "torn"), ("config", 3, "full"), ("events", 3, "torn"), ("manifest", 1, "lost")]
QUICK_PROTOCOL = [("protocol", 1, "torn"), ("looks", 1, "flip")]
QUICK_SEARCH = [("trial books", 3, "torn"), ("trials", 4, "kill"), ("frozen", 3, "torn")]


def cases(writes: dict[str, tuple[int, ...]], quick: list[tuple[str, int, str]]) -> list[Any]:
    """Return every kind of break at every write; all but the quick ones are slow."""
    every = [
        (name, number, kind) for name, numbers in writes.items() for number in numbers for kind in failpoints.KINDS
    ]
    assert set(quick) <= set(every)
    return [case if case in quick else pytest.param(*case, marks=pytest.mark.slow) for case in every]


def test_every_name_of_a_study_or_search_has_its_walk() -> None:
    """Those of runs: tests/training/test_failpoints.py, and of thumbnails, test_thumbnails.py beside it."""
    of_runs = {
        "progress",
        "metrics",
        "rollouts",
        "dropped rollouts",
        "checkpoint",
        "checkpoint list",
        "model",
        "chunk",
        "samples",
        "policy",
    }
    others = {"thumbnail", "task", "table", "archive"}  # the last three below
    assert {*OF_STUDY, *OF_SEARCH, *OF_PROTOCOL, *of_runs, *others} == failpoints.NAMES.keys()


@pytest.fixture
def night(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> StudyLab:
    made = StudyLab.make(lab, monkeypatch)
    made.write(axes={"grid": {"arm": ["ok"], "train.num_steps": [1, 2]}}, seeds=[0, 1])
    return made


@pytest.mark.parametrize(("name", "number", "kind"), cases(OF_STUDY, QUICK))
def test_a_study_broken_at_a_write_resumes(night: StudyLab, capfd, name: str, number: int, kind: str) -> None:
    assert broken(lambda: night.do("run", "--slots", "1"), name, number, kind), "the failpoint was not reached"
    capfd.readouterr()
    code = night.do("run", "--slots", "1")
    told = capfd.readouterr().err
    if code == 0:
        assert {run.status for run in runs.list_runs(night.root)} == {"done"}
        for run in runs.list_runs(night.root):
            steps = list(range(1, run.config["train"]["num_steps"] + 1))
            assert json.loads((run.path / "result.json").read_text())["steps"] == steps
    else:
        assert "Traceback" not in told
        assert names_file(told, name), told


def names_file(sentences: str, name: str) -> bool:
    return failpoints.NAMES[name].strip("*").split("*")[0].strip("-") in sentences


@pytest.fixture
def hunt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchLab]:
    with in_lab(tmp_path, monkeypatch) as lab:
        lab.make_storage()
        yield lab


@pytest.mark.parametrize(("name", "number", "kind"), cases(OF_SEARCH, QUICK_SEARCH))
def test_a_search_broken_at_a_write_resumes(hunt: SearchLab, name: str, number: int, kind: str) -> None:
    plain = quest(search={"sampler": "random"})
    assert broken(lambda: hunt.search(plain, inline=True) and 0, name, number, kind), "not reached"
    fault = ""
    try:
        hunt.search(plain, inline=True)
    except ValueError as error:  # PlanError, RunError
        fault = str(error)
    if fault:
        assert names_file(fault, name), fault
        return
    ended = [row for row in hunt.table() if row["status"] in ("done", "failed")]
    assert len(ended) == 4
    for row in ended:
        assert row["status"] == "done" or names_file(row["reason"], name)  # a damaged file costs its own trial
    whole = SearchLab(hunt.conf, hunt.root.with_name("unbroken"))
    whole.search(plain, inline=True)
    assert {row["param train.x"] for row in ended} == {row["param train.x"] for row in whole.table()}


@pytest.fixture
def protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProtocolLab]:
    with in_lab(tmp_path, monkeypatch) as made:
        monkeypatch.syspath_prepend(Path(__file__).parents[1])
        monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])  # of the fork server that `broken` starts
        yield ProtocolLab(made.conf, made.root)


@pytest.mark.parametrize(("name", "number", "kind"), cases(OF_PROTOCOL, QUICK_PROTOCOL))
def test_a_protocol_broken_at_a_write_resumes(protocol: ProtocolLab, capfd, name: str, number: int, kind: str) -> None:
    study = changed(arms=TWO, looks=[3, 5], smallest_effect="0.001pp")  # no look decides
    assert broken(lambda: protocol.do("protocol", study), name, number, kind), "the failpoint was not reached"
    capfd.readouterr()
    code = protocol.do("protocol", study)
    told = capfd.readouterr().err
    if code != 0:
        assert "Traceback" not in told
        assert str(protocol.folder) in told
        assert names_file(told, name), told
        return
    whole = protocol.root.with_name("unbroken")
    assert protocol.do("protocol", study, root=whole) == 0
    assert protocol.looks() == protocol.looks(whole)


# All kinds at one write: tests/runs/test_failpoints.py.
@pytest.mark.parametrize(
    "kind",
    [kind if kind in ("torn", "full") else pytest.param(kind, marks=pytest.mark.slow) for kind in failpoints.KINDS],
)
@pytest.mark.parametrize(
    ("name", "words"), [("table", ("collect", "--out", "runs.csv")), ("archive", ("export", "--out", "night.tar.gz"))]
)
def test_a_table_or_an_archive_broken_at_its_write_is_made_again(
    night, tmp_path, monkeypatch, capfd, name, words, kind
):
    monkeypatch.chdir(tmp_path)
    command, _, file = words
    assert night.do("run", "--slots", "1") == 0
    assert broken(lambda: night.do(*words), name, 1, kind), "the failpoint was not reached"
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert kind != "full" or f"{file}: No space left on device" in told
    code = night.do(*words)
    if command == "export" and kind in ("torn", "flip"):
        assert code == 2
        assert f"{file} exists; choose another name, or remove it first" in capfd.readouterr().err
        Path(file).unlink()
        code = night.do(*words)
    assert code == 0
    assert night.do(command, "--out", f"again-{file}") == 0
    if command == "collect":
        assert Path(file).read_text() == Path(f"again-{file}").read_text()
    else:
        with tarfile.open(file) as archive, tarfile.open(f"again-{file}") as again:
            assert archive.getnames() == again.getnames()


@pytest.mark.parametrize("kind", failpoints.KINDS)
def test_a_run_whose_task_of_slurm_was_not_recorded_is_submitted_again(lab, monkeypatch, kind):
    """A second job of the same run finds it busy or done, and ends."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra: slurm)")
    folder = lab.conf.parent / "bin"
    folder.mkdir()
    (folder / "srun").write_text("#!/bin/sh\n")
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(slurm, "submit", lambda executor, jobs: [f"7_{i}" for i in range(len(jobs))])
    fixed = {"schema_version": 1, "root": str(lab.root), "arm": "ok", "train": {"num_steps": 2, "step_seconds": 0.0}}
    todo = [runs.read_run(runs.create_run({**fixed, "seed": seed})) for seed in (0, 1)]
    policy = RetryPolicy()
    jobs = [
        (run.path, job.Job.for_run(run, train_module="fake_train", preload=(), num_threads=1, retry_policy=policy))
        for run in todo
    ]

    def submit():
        slurm.submit_arrays(lab.root / "slurm", slurm.DEFAULTS, jobs)

    assert broken(submit, "task", 2, kind), "the failpoint was not reached"
    outcomes, unqueued = slurm.split_queued(todo, {"7_0", "7_1"})
    assert [one.run.seed for one in outcomes][:1] == [0]
    assert {one.run.seed for one in outcomes} | {run.seed for run in unqueued} == {0, 1}
    submit()
    assert [one.status for one in slurm.split_queued(todo, {"7_0", "7_1"})[0]] == ["queued", "queued"]
