"""A search with a killed or stopped controller resumes: the same budget, nothing executed twice, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_search_train import steps
from search_lab import Quiet, SearchLab, in_lab, quest

from agrae_lab import runs
from sweeps.search.storage import requeue_unfinished_trials


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchLab]:
    with in_lab(tmp_path, monkeypatch) as lab:
        lab.make_storage()
        yield lab


def waiting_quest(num_trials: int) -> dict[str, Any]:
    """A search whose runs wait in their first step until they are let go."""
    return quest(base=["train.mood=wait"], search={"num_trials": num_trials, "sampler": "random"})


def test_the_trials_of_a_killed_controller_are_taken_up_within_the_budget(lab: SearchLab) -> None:
    plain = waiting_quest(3)
    controller = lab.start(json.dumps(plain), slots=2)
    _wait_until(lambda: sum(bool(steps(run.path)) for run in lab.runs()) == 2)
    controller.kill()
    controller.wait()
    (lab.root / "go").touch()
    before = {run.key for run in lab.runs()}

    lab.search(plain, slots=2)  # while the orphans may still be process_exit
    table = lab.table()
    assert [row["status"] for row in table] == ["requeued", "requeued", "done", "done", "done"]
    assert [(row["retry_of"], row["attempt"]) for row in table] == [
        ("", "1"),
        ("", "1"),
        ("0", "2"),
        ("1", "2"),
        ("", "1"),
    ]
    for old, new in ((0, 2), (1, 3)):
        assert table[old]["param train.x"] == table[new]["param train.x"]
        assert table[old]["runs"] == table[new]["runs"]
    assert before <= {run.key for run in lab.runs()}
    assert [steps(run.path) for run in lab.runs()] == [[1, 2]] * 3
    with lab.stored() as stored:
        assert [trial.state.name for trial in stored.trials] == ["FAIL", "FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]

    unbroken = SearchLab(lab.conf, lab.root.with_name("unbroken"))
    unbroken.root.mkdir()
    (unbroken.root / "go").touch()
    unbroken.search(plain, inline=True)
    points = [row["param train.x"] for row in table if row["status"] == "done"]
    assert points == [row["param train.x"] for row in unbroken.table()]


def test_a_stopped_search_goes_on_where_it_was(lab: SearchLab) -> None:
    plain = waiting_quest(2)
    controller = lab.start(json.dumps(plain), slots=1)
    _wait_until(lambda: any(steps(run.path) for run in lab.runs()))
    os.killpg(controller.pid, signal.SIGTERM)
    output, _ = controller.communicate(timeout=60)
    assert controller.returncode == 130, output
    assert [row["status"] for row in lab.table()] == ["requeued", "waiting"]
    assert [run.status for run in lab.runs()] == ["interrupted"]
    (lab.root / "go").touch()
    lab.search(plain)
    assert [row["status"] for row in lab.table()] == ["requeued", "done", "done"]
    assert [steps(run.path) for run in lab.runs()] == [[1, 2]] * 2


def test_cut_off_anywhere_in_taking_up_no_trial_is_queued_twice(lab: SearchLab) -> None:
    lab.search(quest(search={"num_trials": 1}), inline=True)
    with lab.stored() as stored:
        stored.enqueue_trial({"train.x": 0.25})
        trial = stored.ask()  # killed before a parameter was suggested
        stored.enqueue_trial({"train.x": 0.25}, user_attrs={"retry_of": trial.number, "attempt": 2})  # and in here
        requeue_unfinished_trials(stored)
        requeue_unfinished_trials(stored)
        assert [t.state.name for t in stored.trials] == ["COMPLETE", "FAIL", "WAITING"]
        other = stored.ask()
        requeue_unfinished_trials(stored)
        states = [t.state.name for t in stored.trials]
        assert states == ["COMPLETE", "FAIL", "FAIL", "WAITING"]
        assert stored.trials[3].user_attrs == {"retry_of": other.number, "attempt": 3}
    lab.search(quest(search={"num_trials": 2}), inline=True)
    assert [row["status"] for row in lab.table()] == ["done", "requeued", "requeued", "done"]
    assert lab.table()[3]["param train.x"] == "0.25"


def test_a_run_that_another_process_has_leaves_its_trial_for_the_next_launch(lab: SearchLab) -> None:
    plain = quest(search={"num_trials": 1})
    config = lab.space(_study(plain)).config({"train.x": _first_point(lab, plain)}, seed=0)
    path = runs.create_run(config)
    with runs.lock(path):
        outcomes, _ = lab.search(plain)
    assert [outcome.status for outcome in outcomes] == ["busy"]
    assert [row["status"] for row in lab.table()] == ["requeued", "waiting"]
    lab.search(plain)
    assert [row["status"] for row in lab.table()] == ["requeued", "done"]


def test_a_storage_that_fails_stops_the_runs_and_is_told_in_a_sentence(lab: SearchLab) -> None:
    class Breaking(Quiet):
        def ended(self, outcome: Any) -> None:
            with sqlite3.connect(lab.directory().path / "optuna.db") as connection:
                connection.execute("DROP TABLE IF EXISTS trial_user_attributes")

    space = {"train.num_steps": {"kind": "categorical", "choices": [1, 60]}}  # one ends at once, the other does not
    plain = quest(base=["train.step_seconds=0.5"], search={"space": space, "sampler": "random"})
    with pytest.raises(runs.RunError, match=r"storage has failed: .*no such table.*run the same command to resume"):
        lab.search(plain, slots=2, display=Breaking())
    assert sorted(run.status for run in lab.runs()) == ["done", "interrupted"]
    assert not any(run.is_locked() for run in lab.runs())


def _study(plain: dict[str, Any]) -> Any:
    from sweeps.spec.read import parse_study

    return parse_study(plain)


def _first_point(lab: SearchLab, plain: dict[str, Any]) -> float:
    """Return the first point that a search with this seed proposes."""
    other = SearchLab(lab.conf, lab.root.with_name("other"))
    other.search(plain, inline=True)
    return float(other.table()[0]["param train.x"])


def _wait_until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
