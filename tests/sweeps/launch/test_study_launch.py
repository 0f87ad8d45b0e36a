"""Studies by the command line: start, interruption, extension, resume; drift is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake_train import steps
from study_lab import StudyLab, read_events
from sweep_lab import Lab, environment, wait_until

from agrae_lab import runs
from sweeps.__main__ import main
from sweeps.planning.drift import read_code
from sweeps.planning.plan import plan_study
from sweeps.spec.compose import config_dir
from sweeps.spec.read import read_study

GRID = {"arm": ["ok"], "train.num_steps": [1, 2]}

# As agrae_lab.config.freeze, it records the code that decides the weights: here itself.
CODE_IN_CONFIG = """\
import hashlib
from pathlib import Path
from fake_train import execute, freeze as freeze_
def freeze(cfg):
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    return {**freeze_(cfg), "code": {"training": {"study_train.py": digest}}}
"""


@pytest.fixture
def night(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> StudyLab:
    made = StudyLab.make(lab, monkeypatch)
    made.write(question="Does it last?", axes={"grid": GRID}, seeds=[0, 1])
    return made


def _executed(lab: StudyLab) -> dict[str, int]:
    """`<arm> <num_steps> <seed>` → attempts."""
    return {name: len(run.meta.get("attempts", [])) for name, run in lab.by_settings().items()}


def test_a_run_of_another_study_stays_in_the_arm_of_this_one(night: StudyLab) -> None:
    with (night.conf / "config.yaml").open("a") as config:
        config.write("method: m\n")  # the run's directory is named after it
    axes = {"grid": {"train.num_steps": [1]}}
    night.write(base=["arm=ok"], axes=axes, seeds=[0])
    assert night.do("run") == 0
    night.study_file = night.study_file.with_name("later.yaml")
    for seeds in ([0], [0], [0, 1]):
        night.write(base=["arm=later"], axes=axes, seeds=seeds)
        assert night.do("run") == 0
        (manifest,) = [known for known in runs.list_experiments(night.root) if known.name == "later"]
        assert list(manifest.arms.values()) == ["later"] * len(seeds)


def test_plan_shows_the_cells_and_writes_nothing(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    assert night.do("plan") == 0
    assert not night.root.exists()
    output = capsys.readouterr().out
    rows = [line.split() for line in output.splitlines()[1:3]]
    assert [[*row[:4], *row[5:]] for row in rows] == [  # without the hash behind what differs
        ["arm=ok", f"train.num_steps={number}", "ok", f"num_steps={number}", "0", "1", "pending"] for number in (1, 2)
    ]
    assert "4 of 4 pairs of cell and seed are new" in output
    assert "duration not known" in output
    night.do("run", "--slots", "2")
    before = night.tree()
    capsys.readouterr()
    night.write(axes={"grid": GRID}, seeds=[0, 1, 2])
    assert night.do("plan", "--slots", "2") == 0
    assert night.tree() == before
    output = capsys.readouterr().out
    assert "4 finished, 2 to do" in output
    assert "2 of 6 pairs of cell and seed are new" in output
    assert "finished among these runs, scaled by steps, completions and samples" in output


def test_a_study_runs_once_and_the_same_command_finds_it_done(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert night.do("run") == 0
    assert _executed(night) == {"ok 1 0": 1, "ok 1 1": 1, "ok 2 0": 1, "ok 2 1": 1}
    (experiment,) = runs.list_experiments(night.root)
    assert (experiment.name, experiment.question, len(experiment.runs)) == ("night", "Does it last?", 4)
    assert night.do("run") == 0
    assert set(_executed(night).values()) == {1}
    assert [event["exit_code"] for event in night.happened("closed")] == [0, 0]
    assert len(night.happened("ended")) == 4


def test_whole_replicates_come_first(night: StudyLab) -> None:
    night.do("run", "--slots", "1")
    started = [event["run"].rpartition("-")[2] for event in night.happened("started")]
    assert started == ["0", "0", "1", "1"]


def test_seeds_and_values_added_later_run_only_what_is_new(night: StudyLab) -> None:
    night.do("run", "seed=0")
    night.write(axes={"grid": {**GRID, "train.num_steps": [1, 2, 3]}}, seeds=[0, 1])
    assert night.do("run") == 0
    assert _executed(night) == dict.fromkeys([f"ok {number} {seed}" for number in (1, 2, 3) for seed in (0, 1)], 1)
    assert [event["to_do"] for event in night.happened("launched")] == [2, 4]
    (experiment,) = runs.list_experiments(night.root)
    assert len(experiment.runs) == 6


def test_a_value_left_out_later_keeps_its_runs_and_the_rest_of_the_study(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    night.do("run")
    night.write(axes={"grid": {**GRID, "train.num_steps": [2]}}, seeds=[0, 1])
    capsys.readouterr()
    assert night.do("run") == 0
    assert night.do("status", "--json") == 0
    output = capsys.readouterr().out
    assert [row["cell"] for row in json.loads(output[output.index("[\n") :])] == ["arm=ok train.num_steps=2"] * 2
    assert len(night.by_settings()) == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train.num_steps=3"], "'train.num_steps=3' would have no effect: the study varies train.num_steps"),
        (["train.step_seconds=0,1"], "has several values; make it an axis in the study's file"),
        (["seed=a"], "seeds are different whole numbers from 0"),
        (["seed=1,1"], "seeds are different whole numbers from 0"),
        (["train.step_second=0.1"], "no key 'train.step_second'; did you mean 'train.step_seconds'?"),
        (["plain"], "name one study, got "),
        (["--slots", "0"], "slots is 0, but must be at least 1"),
        (["--storage", "sqlite:///x.db"], "--storage is for searches, and night is none; leave it out"),
    ],
)
def test_words_that_a_study_cannot_take_are_refused(
    night: StudyLab, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert night.do("run", *words) == 2
    assert not night.root.exists()
    fault, end = capsys.readouterr().err.splitlines()
    assert sentence in fault or "is a study, and a study runs alone" in fault
    assert end == "nothing was started"


def test_an_axis_over_a_key_that_the_config_lacks_is_refused(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    night.write(axes={"grid": {"train.num_step": [1, 2]}})
    assert night.do("plan") == 2
    assert capsys.readouterr().err.splitlines() == [
        "night: train.num_step=1 seed=0 (and 1 more): "
        "the configuration has no key 'train.num_step'; did you mean 'train.num_steps'?"
    ]


def test_a_bad_cell_anywhere_starts_and_writes_nothing(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    night.write(axes={"grid": {"train.num_steps": [1, 0]}})
    assert night.do("run") == 2
    assert "night: train.num_steps=0 seed=0: train.num_steps is 0" in capsys.readouterr().err
    assert not night.root.exists()


@pytest.mark.parametrize(
    ("study", "difference"),
    [
        (
            {"base": ["train.step_seconds=0.01"], "axes": {"grid": GRID}},
            "its base is [], not [train.step_seconds=0.01]",
        ),
        ({"axes": {"grid": {"arm": ["raise"]}}}, "the two have no cell in common"),
    ],
)
def test_the_directory_of_another_study_is_refused(
    night: StudyLab, capsys: pytest.CaptureFixture[str], study: dict, difference: str
) -> None:
    night.do("run")
    before = night.tree()
    night.write(**study)
    assert night.do("run") == 2
    assert f"{night.directory.path} is the directory of another study: {difference}" in capsys.readouterr().err
    assert night.tree() == before


def test_two_controllers_on_one_study_do_not_meet(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    night.do("run", "seed=0")
    with night.directory.controller_lock():
        assert night.do("run") == 2
    assert "another controller runs this study" in capsys.readouterr().err
    assert len(night.by_settings()) == 2


def test_changed_code_is_refused_and_on_request_recorded(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    night.write(axes={"grid": {"arm": ["ok", "raise"]}})
    assert night.do("run") == 1
    night.code.write_text(night.code.read_text() + "# edited\n")
    before = night.tree()
    assert night.do("run") == 2
    assert night.tree() == before
    fault, hint, _ = capsys.readouterr().err.splitlines()
    assert fault.startswith("since runs of this study were frozen, the code has changed: study_train.py")
    assert "--allow-drift" in hint
    assert night.do("run", "--allow-drift") == 1
    found = night.by_settings()
    assert "drift" not in found["ok 2 0"].meta
    (note,) = found["raise 2 0"].meta["drift"]
    assert note["changes"][0].startswith("the code has changed: study_train.py")
    (event,) = night.happened("drift allowed")
    assert event["runs"] == [found["raise 2 0"].key]
    assert _executed(night) == {"ok 2 0": 1, "raise 2 0": 2}


def test_drift_that_was_allowed_once_is_not_drift_again_for_what_goes_on(night: StudyLab) -> None:
    night.write(axes={"grid": {"arm": ["raise", "ok"]}}, base=["train.num_steps=9"])
    night.do("run")
    night.code.write_text(night.code.read_text() + "# edited\n")
    night.do("run", "--allow-drift")
    assert night.do("run") == 1
    assert len(night.by_settings()["raise 9 0"].meta["drift"]) == 1


def test_code_that_decides_the_weights_may_drift_once(night: StudyLab) -> None:
    night.write(axes={"grid": {"arm": ["raise", "ok"]}}, base=["train.num_steps=9"])
    night.code.write_text(f"{CODE_IN_CONFIG}PART = 1\n")
    night.do("run")
    done = night.by_settings()["ok 9 0"].key
    night.code.write_text(f"{CODE_IN_CONFIG}PART = 2\n")
    assert night.do("run") == 2
    assert night.do("run", "--allow-drift") == 1
    assert night.do("run") == 1  # the run of `raise` fails again, and what is done is not compared again
    assert night.by_settings()["ok 9 0"].key == done
    night.code.write_text(f"{CODE_IN_CONFIG}PART = 3\n")
    assert night.do("run") == 2


def test_changed_code_does_not_matter_where_nothing_is_left_to_do(night: StudyLab) -> None:
    night.do("run", "seed=0")
    night.code.write_text(night.code.read_text() + "# edited\n")
    assert night.do("run", "seed=0") == 0
    assert night.do("run", "seed=0,1") == 2  # and has not been allowed by that


def test_changed_code_matters_to_seeds_added_later(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    night.do("run", "seed=0")
    night.code.write_text(night.code.read_text() + "# edited\n")
    assert night.do("run") == 2
    assert "the code has changed" in capsys.readouterr().err


def test_another_version_of_a_library_is_refused(
    night: StudyLab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    night.write(axes={"grid": {"arm": ["raise"]}})
    night.do("run")
    monkeypatch.setattr("agrae_lab.runs.provenance.version", lambda name: f"of {name}")
    assert night.do("run") == 2
    assert "trl was 1." in capsys.readouterr().err


def test_changed_problems_are_refused_and_on_request_make_another_run(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    night.write(axes={"grid": {"arm": ["ok", "raise"]}})
    night.do("run")
    old = night.by_settings()["raise 2 0"].key
    night.data.write_text("two\n")
    assert night.do("run") == 2
    assert "the problems of 'train' have changed" in capsys.readouterr().err
    assert night.do("run", "--allow-drift") == 1
    assert len(runs.list_runs(night.root)) == 3  # what is done stays, what is not is begun with the new problems
    assert night.do("status", "--json") == 0
    output = capsys.readouterr().out
    rows = json.loads(output[output.index("[\n") :])
    assert [row["arm"] for row in rows] == ["ok", "raise"]
    assert old not in [row["run"] for row in rows]
    assert night.do("run") == 1  # allowed once, it is no drift again
    night.data.write_text("three\n")
    assert night.do("run") == 2


def test_an_edited_config_is_refused_and_on_request_reaches_new_cells_alone(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    night.write(axes={"grid": {"arm": ["raise"]}})
    night.do("run")
    config = night.conf / "config.yaml"
    config.write_text(config.read_text().replace("num_steps: 2", "num_steps: 3"))
    assert night.do("run") == 2
    assert "since runs of this study were frozen, train.num_steps was 2 and is 3" in capsys.readouterr().err
    night.write(axes={"grid": {"arm": ["raise", "ok"]}})
    assert night.do("run", "--allow-drift") == 1
    assert sorted(night.by_settings()) == ["ok 3 0", "raise 2 0"]


def test_hardware_settings_are_no_drift(night: StudyLab) -> None:
    night.write(axes={"grid": {"arm": ["raise"]}})
    night.do("run")
    config = night.conf / "config.yaml"
    config.write_text(config.read_text().replace("device: cpu", "device: cuda"))
    assert night.do("run") == 1
    assert night.by_settings()["raise 2 0"].config["hardware"]["device"] == "cuda"


def test_retry_takes_what_failed_and_on_request_what_diverged(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    night.write(axes={"grid": {"arm": ["ok", "raise", "diverge"]}})
    assert night.do("run", "seed=0") == 1
    assert night.do("retry", "seed=0,1") == 1
    assert _executed(night) == {"ok 2 0": 1, "raise 2 0": 2, "diverge 2 0": 1}  # and nothing of seed 1
    assert night.do("retry", "seed=0", "--diverged") == 1
    assert _executed(night) == {"ok 2 0": 1, "raise 2 0": 3, "diverge 2 0": 2}
    assert len(night.happened("requeued")) == 2


def _freeze_as_failed(night: StudyLab) -> None:
    """Write the study's runs as a launch whose runs have all failed."""
    study, code = read_study(night.study_file), read_code("study_train")
    with config_dir(night.conf):
        planned = plan_study(study, night.directory, train_module="study_train", code=code)
    planned.launch_plan.write()
    night.directory.record(study, planned.cells, code)
    for run in planned.all_runs:
        runs.update_meta(run.path, status="failed", error="RuntimeError: first")


def test_retry_leaves_failed_runs_alone_that_it_does_not_execute(night: StudyLab) -> None:
    night.write(axes={"grid": {"arm": ["ok", "raise"]}}, seeds=[0, 1])
    _freeze_as_failed(night)
    night.write(axes={"grid": {"arm": ["ok"]}}, seeds=[0, 1])
    assert night.do("retry", "seed=0") == 0
    assert {name: run.meta["error"] for name, run in night.by_settings().items()} == {
        "ok 2 0": None, "ok 2 1": "RuntimeError: first", "raise 2 0": "RuntimeError: first",
        "raise 2 1": "RuntimeError: first",
    }  # fmt: skip
    assert [event["runs"] for event in night.happened("requeued")] == [[night.by_settings()["ok 2 0"].key]]


def test_retry_under_changed_problems_executes_the_new_run_and_keeps_the_old_failure(night: StudyLab) -> None:
    night.write(axes={"grid": {"arm": ["ok"]}})
    _freeze_as_failed(night)
    (old,) = runs.list_runs(night.root)
    night.data.write_text("two\n")
    assert night.do("retry") == 2
    assert night.do("retry", "--allow-drift") == 0
    found = {run.key: run for run in runs.list_runs(night.root)}
    assert found.pop(old.key).meta["error"] == "RuntimeError: first"
    assert [run.status for run in found.values()] == ["done"]


def test_retry_with_nothing_to_try_says_so(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    night.do("run")
    assert night.do("retry") == 0
    assert "nothing to retry: no run of night is failed" in capsys.readouterr().out


def test_stop_rules_of_the_study_reach_the_runs(night: StudyLab) -> None:
    night.write(axes={"grid": {"arm": ["sigkill_once", "sigkill"]}}, base=["train.num_steps=9"], stop={"retries": 2})
    assert night.do("run") == 1
    assert _executed(night) == {"sigkill_once 9 0": 2, "sigkill 9 0": 3}
    assert {event["run"].partition("-")[0] for event in night.happened("retrying")} == {"sigkill_once", "sigkill"}


def test_an_engine_option_that_does_not_exist_is_refused(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    night.write(axes={"grid": GRID}, resources={"options": {"partition": "gpu"}})
    assert night.do("plan") == 2
    assert "resources.options.partition" in capsys.readouterr().err


def test_a_study_begun_before_gets_no_new_numbers_from_yaml_edited_in_mid_sweep(night: StudyLab) -> None:
    night.write(
        axes={"grid": {"arm": ["ok"], "train.step_seconds": [0.05]}}, seeds=[0, 1, 2], base=["train.num_steps=8"]
    )
    controller = _start(night)
    wait_until(lambda: any(steps(path.parent) for path in night.root.glob("*/seed-*/trace.txt")))
    config = night.conf / "config.yaml"
    config.write_text(config.read_text().replace("arm: ok", "arm: raise").replace("num_steps: 2", "num_steps: 77"))
    night.write(axes={"grid": {"arm": ["raise"]}}, seeds=[7], base=["train.num_steps=9"])
    out, _ = controller.communicate(timeout=60)
    assert controller.returncode == 0, out
    assert sorted(night.by_settings()) == ["ok 8 0", "ok 8 1", "ok 8 2"]
    assert yaml.safe_load((night.directory.path / "study.yaml").read_text())["seeds"] == [0, 1, 2]


def test_a_killed_controller_leaves_a_study_that_the_same_command_ends(night: StudyLab) -> None:
    night.write(axes={"grid": {"arm": ["ok"]}}, base=["train.num_steps=15", "train.step_seconds=0.05"], seeds=[0, 1, 2])
    first = _start(night)
    wait_until(lambda: any(steps(path.parent) for path in night.root.glob("*/seed-*/trace.txt")))
    first.kill()
    first.communicate(timeout=30)
    with (night.directory.path / "events.jsonl").open("a") as events:
        events.write('{"event": "torn')
    wait_until(lambda: not any(run.is_locked() for run in runs.list_runs(night.root)))
    assert night.do("run") == 0
    for run in runs.list_runs(night.root):
        assert [step for step, _ in steps(run.path)] == list(range(1, 16))
    assert [event["event"] for event in read_events(night.directory)].count("launched") == 2


def test_a_study_is_named_alone_and_experiments_go_on_as_before(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert night.do("run", "plain") == 2
    assert "is a study, and a study runs alone" in capsys.readouterr().err
    assert main(["plan", "plain", f"root={night.root}"], config_dir=night.conf, train_module="fake_train") == 0
    assert "1 runs: 0 finished, 1 to do" in capsys.readouterr().out
    assert (
        main(["run", "plain", "--allow-drift", f"root={night.root}"], config_dir=night.conf, train_module="fake_train")
        == 2
    )
    assert "--allow-drift is for studies" in capsys.readouterr().err


def _start(night: StudyLab) -> subprocess.Popen[str]:
    code = "import sys; from pathlib import Path; from sweeps.__main__ import main; conf, *words = sys.argv[1:]\n"
    code += "sys.exit(main(words, config_dir=Path(conf), train_module='study_train', preload=()))"
    argv = [
        sys.executable,
        "-c",
        code,
        str(night.conf),
        "run",
        str(night.study_file),
        f"root={night.root}",
        "--slots",
        "1",
    ]
    env = environment()
    env["PYTHONPATH"] += f"{os.pathsep}{Path(night.code).parent}"
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def test_a_run_that_ruins_its_books_costs_the_others_nothing(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    night.write(axes={"grid": {"arm": ["scribble", "ok"]}})
    assert night.do("run") == 1
    assert [event["status"] for event in night.happened("ended")].count("done") == 1
    assert night.do("status") == 1
    assert "meta.json is not readable as JSON" in capsys.readouterr().err


def test_a_stopped_study_says_so_in_its_events_and_goes_on(night: StudyLab) -> None:
    night.write(axes={"grid": {"arm": ["until_told"]}}, seeds=[0, 1])
    controller = _start(night)
    wait_until(lambda: any(steps(path.parent) for path in night.root.glob("*/seed-*/trace.txt")))
    controller.terminate()
    out, _ = controller.communicate(timeout=60)
    assert controller.returncode == 130, out
    assert [event["exit_code"] for event in night.happened("closed")] == [130]
    assert [event["how"] for event in night.happened("stopping")] == ["stop"]
    (night.root / "go").touch()
    assert night.do("run") == 0
    assert set(_executed(night).values()) == {1, 2}


@pytest.fixture
def login_node(night: StudyLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyLab:
    """A machine with one GPU, with stand-ins for Slurm's tools that accept every job."""
    pytest.importorskip("submitit", reason="submitit is not installed (extra: slurm)")
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool, words in (("sbatch", "echo Submitted batch job 42"), ("squeue", "true"), ("srun", "false")):
        (folder / tool).write_text(f"#!/bin/sh\n{words}\n")
        (folder / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    return night


def test_a_cluster_takes_runs_that_the_machine_of_the_command_cannot_execute(
    login_node: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = {"base": ["hardware.processes=8", "hardware.device=auto"], "seeds": [0, 1, 2]}
    login_node.write(axes={"grid": {"arm": ["ok"]}}, **wide, resources={"engine": "slurm"})
    assert login_node.do("run", "--engine", "local") == 2
    assert not login_node.root.exists()
    assert "a run of 8 processes on a machine needs 8 GPUs, and this one has 1" in capsys.readouterr().err
    assert login_node.do("run") == 0
    assert "submitted 3 runs to Slurm" in capsys.readouterr().out
