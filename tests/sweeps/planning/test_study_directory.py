"""A study's directory survives crashes and has one controller."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from study_lab import read_events
from sweep_lab import environment, wait_until

from sweeps.errors import PlanError
from sweeps.planning.drift import Code, code_changes, config_changes, read_code
from sweeps.planning.study_directory import FrozenCell, StudyDirectory, cell_id, list_study_directories
from sweeps.spec.study import Study

HOLD = """\
import sys, time
from pathlib import Path
from sweeps.planning.study_directory import StudyDirectory
with StudyDirectory(Path(sys.argv[1]), "night").controller_lock():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    directory = StudyDirectory(tmp_path, "night")
    directory.path.mkdir(parents=True)
    return directory


def _frozen(settings: dict[str, object], code: Code, *, seed: int = 0, run: str = "a-1/seed-0") -> FrozenCell:
    return FrozenCell(settings, seed, run, "hash", code.fingerprint)


def test_what_was_recorded_is_read_back_and_added_to(directory: StudyDirectory) -> None:
    study = Study("night", seeds=(0, 1), base=("a=1",))
    old, new = Code("abc", {"x.py": "1"}), Code("def+", {"x.py": "2"}, {"torch": "3"})
    first = _frozen({"a": 1e-4, "b": [None, "x"]}, old)
    directory.record(study, [first], old)
    second = _frozen({"a": 2}, new, run="b-2/seed-0")
    directory.record(study, [second], new)
    assert directory.study() == study
    assert directory.frozen_cells() == {first.identifier: first, second.identifier: second}
    assert directory.codes() == {old.fingerprint: old, new.fingerprint: new}
    assert [one.path for one in list_study_directories(directory.root)] == [directory.path]


def test_a_cell_is_known_in_whatever_order_its_settings_stand() -> None:
    assert cell_id({"a": 1, "b": 2}, 0) == cell_id({"b": 2, "a": 1}, 0)
    assert len({cell_id({"a": 1}, 0), cell_id({"a": 1}, 1), cell_id({"a": "1"}, 0), cell_id({"a": True}, 0)}) == 4


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path / "nowhere", "night")
    assert (directory.study(), directory.frozen_cells(), directory.codes(), read_events(directory)) == (
        None,
        {},
        {},
        [],
    )
    directory.check_no_controller()
    assert list_study_directories(directory.root) == []
    assert not directory.root.exists()


@pytest.mark.parametrize("torn", ['{"event": "tor', '{"event": "torn"}', "\x00\x00\x00", ""])
def test_a_torn_last_event_is_left_out_and_the_next_stands_on_its_own(directory: StudyDirectory, torn: str) -> None:
    directory.log("one", run="a")
    with (directory.path / "events.jsonl").open("a") as file:
        file.write(torn)
    directory.log("two", run="b")
    directory.log("three", run="c")
    events = [event["event"] for event in read_events(directory) if event["event"] != "torn"]
    assert events == ["one", "two", "three"]


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", '{"schema_version": 2, "codes": {}, "cells": []}', '{"schema_version": 1, "cells": []}'),
        '{"schema_version": 1, "codes": {}, "cells": [{"settingr": {}}]}',
    ],
)
def test_a_ledger_that_cannot_be_read_is_refused(directory: StudyDirectory, text: str) -> None:
    (directory.path / "frozen.json").write_text(text)
    with pytest.raises(PlanError, match=r"frozen\.json (is truncated or damaged|has schema version 2)"):
        directory.frozen_cells()


def test_a_study_file_edited_by_hand_is_refused(directory: StudyDirectory) -> None:
    (directory.path / "study.yaml").write_text("name: night\nsedes: [1]\n")
    with pytest.raises(PlanError, match=r"study\.yaml cannot be read .*did you mean 'seeds'.*Restore it"):
        directory.study()


def test_the_lock_of_a_controller_dies_with_it(directory: StudyDirectory) -> None:
    argv = [sys.executable, "-c", HOLD, str(directory.root)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment()) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(PlanError, match="another controller runs this study"):
            directory.check_no_controller()
        holder.kill()
        wait_until(lambda: holder.poll() is not None)
    with directory.controller_lock():
        pass


def test_a_busy_run_inside_the_block_is_not_taken_for_a_busy_study(directory: StudyDirectory) -> None:
    from agrae_lab import runs

    with pytest.raises(runs.RunBusyError), directory.controller_lock():
        raise runs.RunBusyError("a run, not the study")


def test_only_what_can_change_a_result_is_a_change_of_code() -> None:
    was = Code("aaaaaaaaaaaa", {"lab/a.py": "1", "lab/b.py": "1"}, {"torch": "2.9"})
    assert code_changes(was, Code("bbbbbbbbbbbb+", was.files, was.packages)) == []
    assert was.fingerprint == Code(None, was.files, was.packages).fingerprint
    now = Code("aaaaaaaaaaaa+", {"lab/a.py": "2", "lab/c.py": "1"}, {"torch": "2.10", "trl": "1.17"})
    assert code_changes(was, now) == [
        "the code has changed: lab/a.py, lab/b.py, lab/c.py (from aaaaaaaa to aaaaaaaa+)",
        "torch was 2.9 and is 2.10",
        "trl was not there and is 1.17",
    ]


def test_many_changed_files_are_counted() -> None:
    was, now = (Code("abc+", {f"{i}.py": text for i in range(9)}) for text in ("1", "2"))
    assert code_changes(was, now) == ["the code has changed: 0.py, 1.py, 2.py, 3.py and 5 more (uncommitted, at abc+)"]
    unversioned = Code(None, was.files, {}), Code(None, now.files, {})
    assert code_changes(*unversioned)[0].endswith("(no git revision)")


def test_changed_code_of_a_benchmark_is_told_from_changed_training_code() -> None:
    was = {"code": {"training": {"agrae_lab/a.py": "1"}, "evaluation": {"countdown_test": "1"}}}
    now = {"code": {"training": {"agrae_lab/a.py": "2"}, "evaluation": {"countdown_test": "2"}}}
    assert config_changes(was, now) == [
        "the code has changed: agrae_lab/a.py",
        "the code that samples or judges countdown_test has changed",
    ]


def test_lists_and_empty_sections_can_differ_too() -> None:
    was, now = {"evaluation": {"ks": [1, 2]}, "code": {}}, {"evaluation": {"ks": [1, 4]}, "code": {"training": {}}}
    kept = config_changes(was, now, accepted={("code", ""), ("evaluation.ks", "[1, 4]")})
    assert not [sentence for sentence in kept if "ks" in sentence]
    assert "evaluation.ks was [1, 2] and is [1, 4]" in config_changes(was, now, accepted={("code", "")})


def test_every_source_file_of_the_train_modules_package_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_lab"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__.py", "train.py", "inner/deep.py"):
        (package / name).write_text("x = 1\n")
    (package / "notes.txt").write_text("no code")
    monkeypatch.syspath_prepend(tmp_path)
    before = read_code("some_lab.train")
    assert sorted(before.files) == ["some_lab/__init__.py", "some_lab/inner/deep.py", "some_lab/train.py"]
    assert set(before.packages) == {"torch", "trl", "transformers"}
    (package / "notes.txt").write_text("still none")
    assert read_code("some_lab.train") == before
    (package / "inner" / "deep.py").write_text("x = 2\n")
    (sentence,) = code_changes(before, read_code("some_lab.train"))
    assert sentence.startswith("the code has changed: some_lab/inner/deep.py (")
    json.dumps(before.files)


def test_settings_that_make_no_result_are_no_change_of_config() -> None:
    was = {"root": "a", "hardware": {"device": "cpu"}, "train": {"x": 1, "y": 2}, "data_fingerprints": {"test": "1"}}
    assert config_changes(was, {**was, "root": "b", "hardware": {"device": "cuda"}}) == []
    now = {**was, "train": {"x": 3, "z": 4}, "data_fingerprints": {"test": "2"}}
    assert config_changes(was, now) == [
        "train.x was 1 and is 3",
        "train.y was 2 and is not there",
        "the problems of 'test' have changed",
        "train.z was not there and is 4",
    ]
