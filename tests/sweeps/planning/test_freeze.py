"""Cells become frozen configs all together or not at all; equal cells become one run."""

from __future__ import annotations

import json

import pytest
import yaml
from fake_train import steps
from sweep_lab import Lab

from agrae_lab import runs
from sweeps.__main__ import main


def test_a_bad_cell_anywhere_starts_and_writes_nothing(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.sweep("plain", "train.num_steps=2,0,-1", "seed=0,1") == 2
    assert not lab.root.exists()
    output = capsys.readouterr().err.splitlines()
    assert output == [
        "plain train.num_steps=0 seed=0 (and 1 more): train.num_steps is 0, but a run takes at least 1 step",
        "plain train.num_steps=-1 seed=0 (and 1 more): train.num_steps is -1, but a run takes at least 1 step",
        "nothing was started",
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["plain", "train.num_step=3"], "no key 'train.num_step'; did you mean 'train.num_steps'?"),
        (["plain", "zzz=3"], "no key 'zzz'; write +zzz=... to add it"),
        (["plian"], "there is no experiment 'plian' (choices: broken, other, plain)"),
        (["seed=1"], "name at least one experiment (choices: broken, other, plain)"),
        (["plain", "seed=range(0,3"], "no viable alternative at input 'range(0,3'"),
        (["plain", "seed=interval(0,1)"], "has no finite list of values"),
        (["plain", "arm=${nowhere}"], "Interpolation key 'nowhere' not found"),
        (["plain", "broken"], "broken.yaml"),
        (["plain", "--slots", "0"], "slots is 0, but must be at least 1"),
    ],
)
def test_faults_are_told_in_one_sentence(
    lab: Lab, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    lab.add_experiment("other")
    (lab.conf / "experiment" / "broken.yaml").write_text("a: [1\n")
    assert lab.sweep(*words) == 2
    assert not lab.root.exists()
    fault, end = capsys.readouterr().err.splitlines()
    assert sentence in fault
    assert end == "nothing was started"


def test_hydras_switch_for_the_whole_traceback_works(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match=r"Could not override 'train.num_step'"):
        lab.sweep("plain", "train.num_step=3")


def test_equal_cells_of_two_experiments_run_once_and_stand_in_both(lab: Lab) -> None:
    lab.add_experiment("first", arm="ok,raise")
    lab.add_experiment("second", arm="ok,diverge")
    assert lab.sweep("first", "second") == 1
    found = lab.runs()
    assert sorted(found) == ["diverge 0", "ok 0", "raise 0"]
    assert [step for step, _ in steps(found["ok 0"].path)] == [1, 2]
    manifests = {experiment.name: experiment for experiment in runs.list_experiments(lab.root)}
    assert manifests["first"].runs == (found["ok 0"].key, found["raise 0"].key)
    assert manifests["second"].runs == (found["ok 0"].key, found["diverge 0"].key)
    assert manifests["second"].question == "What does second do?"


def test_seeds_added_later_join_the_experiment(lab: Lab) -> None:
    assert lab.sweep("plain", "seed=0") == 0
    assert lab.sweep("plain", "seed=range(0,3)") == 0
    (experiment,) = runs.list_experiments(lab.root)
    assert [key.rpartition("/")[2] for key in experiment.runs] == ["seed-0", "seed-1", "seed-2"]


def test_a_manifest_of_another_version_is_refused(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    runs.write_json(lab.root / "experiments" / "plain.json", {"schema_version": 2})
    assert lab.sweep("plain") == 2
    assert "plain.json was written by schema version 2" in capsys.readouterr().err
    assert not (lab.runs()["ok 0"].path / "log.txt").exists()


def test_a_config_without_an_experiment_name_gets_no_manifest(lab: Lab) -> None:
    (lab.conf / "experiment" / "nameless.yaml").write_text("# @package _global_\narm: ok\n")
    assert lab.sweep("nameless") == 0
    assert runs.list_experiments(lab.root) == []


def test_a_config_edited_by_hand_is_refused_and_left_as_it_is(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.sweep("plain")
    path = lab.runs()["ok 0"].path / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["train"]["num_steps"] = 99
    path.write_text(yaml.safe_dump(config))
    assert lab.sweep("plain", "seed=0,1") == 2
    assert f"{path} belongs to another configuration" in capsys.readouterr().err
    assert yaml.safe_load(path.read_text())["train"]["num_steps"] == 99
    assert len(lab.runs()) == 1


def test_an_unfinished_run_goes_on_with_the_hardware_settings_of_the_new_launch(lab: Lab) -> None:
    lab.sweep("plain", "arm=raise")
    lab.sweep("plain", "arm=raise", "hardware.device=cuda")
    (run,) = lab.runs().values()
    assert run.config["hardware"]["device"] == "cuda"


def test_status_tells_what_stands_in_a_root(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.sweep("plain", "arm=ok,raise,diverge")
    cut_off = lab.runs()["diverge 0"].path
    with runs.lock(cut_off):
        runs.update_meta(cut_off, status="running")
        at_work = _status(lab, capsys)
    later = _status(lab, capsys)
    assert at_work == {"ok": "done", "raise": "failed", "diverge": "running"}
    assert later == {"ok": "done", "raise": "failed", "diverge": "cut off"}
    assert main(["status", str(lab.root)]) == 0
    table = capsys.readouterr().out
    assert "cut off" in table
    assert "the reward is on fire" in table


def test_status_of_a_root_of_another_version_is_one_sentence(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.sweep("plain")
    meta = lab.runs()["ok 0"].path / "meta.json"
    meta.write_text(meta.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    capsys.readouterr()
    assert main(["status", str(lab.root), "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert row["status"] == "unreadable"
    assert "was written by schema version 2, but this agrae_lab reads version 1" in row["error"]


def _status(lab: Lab, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    capsys.readouterr()
    assert main(["status", str(lab.root), "--json"]) == 0
    return {row["arm"]: row["status"] for row in json.loads(capsys.readouterr().out)}
