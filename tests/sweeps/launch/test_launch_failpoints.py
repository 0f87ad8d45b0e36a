"""A study or search that a failpoint broke: the next launch ends it, or one sentence names the damaged file."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from search_lab import SearchLab, in_lab, quest
from study_lab import StudyLab
from sweep_lab import Lab

from agrae_lab import runs
from agrae_lab.runs import failpoints

# name → ordinals of its writes by the controller
OF_STUDY = {"config": (1, 3), "manifest": (1,), "frozen": (1,), "study": (1,), "events": (1, 3), "meta": (1, 2)}
OF_SEARCH = {"config": (2,), "frozen": (1, 3), "study": (2,), "trials": (1, 4), "trial books": (1, 3), "meta": (2,)}
QUICK = [("frozen", 1, "torn"), ("config", 3, "full"), ("events", 3, "torn"), ("manifest", 1, "lost")]
QUICK_SEARCH = [("trial books", 3, "torn"), ("trials", 4, "kill"), ("frozen", 3, "torn")]


def all_of(writes: dict[str, tuple[int, ...]], quick: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    found = [
        (name, number, kind) for name, numbers in writes.items() for number in numbers for kind in failpoints.KINDS
    ]
    return [one for one in found if one not in quick]


def test_every_name_of_a_study_or_search_has_its_walk() -> None:
    """The others: of runs (tests/training/test_failpoints.py), and of files that nothing resumes from."""
    of_runs = {
        "progress",
        "metrics",
        "rollouts",
        "checkpoint",
        "checkpoint list",
        "model",
        "chunk",
        "samples",
        "policy",
    }
    not_resumed = {"thumbnail", "task", "protocol", "looks", "table", "archive"}
    assert {*OF_STUDY, *OF_SEARCH, *of_runs, *not_resumed} == failpoints.NAMES.keys()


def broken(act: Callable[[], object], name: str, number: int, kind: str) -> int | None:
    """Act in a forked process with this failpoint; return its exit code."""

    def child() -> None:
        os.environ[failpoints.VARIABLE] = f"{name}:{number}:{kind}"
        code = 1
        try:
            code = int(bool(act()))
        finally:
            os._exit(code)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.fixture
def night(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> StudyLab:
    made = StudyLab.make(lab, monkeypatch)
    made.write(axes={"grid": {"arm": ["ok"], "train.num_steps": [1, 2]}}, seeds=[0, 1])
    return made


@pytest.mark.parametrize(("name", "number", "kind"), QUICK)
def test_a_study_broken_at_a_write_resumes(night, capfd, name, number, kind):
    check_study(night, capfd, name, number, kind)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number", "kind"), all_of(OF_STUDY, QUICK))
def test_the_walk_of_a_study(night, capfd, name, number, kind):
    check_study(night, capfd, name, number, kind)


def check_study(night: StudyLab, capfd, name: str, number: int, kind: str) -> None:
    assert broken(lambda: night.do("run", "--slots", "1"), name, number, kind) != 0, "the failpoint was not reached"
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
    return failpoints.NAMES[name].strip("*").strip("-") in sentences


@pytest.fixture
def hunt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchLab]:
    with in_lab(tmp_path, monkeypatch) as lab:
        lab.make_storage()
        yield lab


@pytest.mark.parametrize(("name", "number", "kind"), QUICK_SEARCH)
def test_a_search_broken_at_a_write_resumes(hunt, name, number, kind):
    check_search(hunt, name, number, kind)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number", "kind"), all_of(OF_SEARCH, QUICK_SEARCH))
def test_the_walk_of_a_search(hunt, name, number, kind):
    check_search(hunt, name, number, kind)


def check_search(hunt: SearchLab, name: str, number: int, kind: str) -> None:
    plain = quest(search={"sampler": "random"})
    assert broken(lambda: hunt.search(plain, inline=True) and 0, name, number, kind) != 0, "not reached"
    fault = ""
    try:
        hunt.search(plain, inline=True)
    except ValueError as error:  # PlanError, RunError
        fault = str(error)
    if fault:
        assert names_file(fault, name), fault
        return
    ended = [row for row in hunt.table() if row["status"] == "done"]
    assert len(ended) == 4
    whole = SearchLab(hunt.conf, hunt.root.with_name("unbroken"))
    whole.search(plain, inline=True)
    assert {row["param train.x"] for row in ended} == {row["param train.x"] for row in whole.table()}
