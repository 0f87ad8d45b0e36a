"""Run directories: identity, schema, locks, manifests."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from agrae_lab import lifecycle, runs
from agrae_lab.difficulty import recorded_counts
from agrae_lab.runs import Experiment, RunBusyError, RunError
from agrae_lab.runs.ending import _accuracies
from agrae_lab.training.checkpoints import last_checkpoint, mark_complete, remove_torn
from agrae_lab.training.recorder import Recorder


def config(root, **changes):
    return {"schema_version": 1, "root": str(root), "arm": "grpo", "seed": 0, "train": {"x": 1}} | changes


def test_create_read_list(tmp_path):
    path = runs.create_run(config(tmp_path))
    run = runs.read_run(path)
    assert (run.arm, run.seed, run.status, run.key) == ("grpo", 0, "pending", f"{path.parent.name}/seed-0")
    runs.create_run(config(tmp_path, seed=1))
    assert [r.seed for r in runs.list_runs(tmp_path)] == [0, 1]
    assert runs.list_runs(tmp_path / "nowhere") == []


def test_creating_again_changes_how_an_unfinished_run_goes_on_and_nothing_else(tmp_path):
    path = runs.create_run(config(tmp_path))
    runs.create_run(config(tmp_path, tracking={"name": "wandb"}, experiment={"name": "other"}))
    assert runs.read_run(path).config == config(tmp_path, tracking={"name": "wandb"})
    runs.update_meta(path, status="done")
    before = (path / "config.yaml").read_text()
    runs.create_run(config(tmp_path, tracking={"name": "none"}))
    assert (path / "config.yaml").read_text() == before
    (path / "config.yaml").write_text(before.replace("x: 1", "x: 2"))
    with pytest.raises(RunError, match="belongs to another configuration"):
        runs.create_run(config(tmp_path))


def test_an_unfinished_run_takes_other_checkpoints_and_validations(tmp_path):
    """So that one that is killed before its first checkpoint can get more of them."""
    before, now = ({"x": 1, "checkpoint_every": every, "validate_every": every} for every in (50, 2))
    path = runs.create_run(config(tmp_path, train=before))
    assert runs.create_run(config(tmp_path, train=now)) == path
    assert runs.read_run(path).config["train"] == now
    (path / "model").mkdir()  # training is over
    runs.create_run(config(tmp_path, train=before))
    assert runs.read_run(path).config["train"] == now


@pytest.mark.parametrize("text", ["a: [", "- 1", "model_fingerprint: x", "task: 3\nadvantage: {base: 7}", "\x00"])
def test_a_damaged_config_costs_its_own_run_only(tmp_path, text):
    first = runs.create_run(config(tmp_path))
    (first / "config.yaml").write_text(text)
    other = runs.create_run(config(tmp_path, train={"x": 2}))
    assert runs.read_run(other).config["train"] == {"x": 2}


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00"])
def test_a_config_that_cannot_be_read_is_named_with_the_remedy(tmp_path, text):
    path = runs.create_run(config(tmp_path)) / "config.yaml"
    path.write_text(text)
    with pytest.raises(RunError, match=rf"{path} .*\. Restore it, or delete the run's directory$"):
        runs.create_run(config(tmp_path))


def test_another_schema_version_is_refused(tmp_path):
    path = runs.create_run(config(tmp_path))
    runs.write_json(path / "meta.json", {"schema_version": 99, "status": "done"})
    with pytest.raises(RunError, match="written by schema version 99, but this agrae_lab reads version 1"):
        runs.list_runs(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "\x00"])
def test_torn_meta_is_named(tmp_path, text):
    path = runs.create_run(config(tmp_path))
    (path / "meta.json").write_text(text)
    with pytest.raises(RunError, match=r"meta\.json is not readable as JSON"):
        runs.read_run(path)


def test_not_a_run_directory(tmp_path):
    with pytest.raises(RunError, match=r"is not a run directory: it has no config\.yaml"):
        runs.read_run(tmp_path)


def test_the_lock_is_held_by_one_process_and_freed_by_its_death(tmp_path):
    path = runs.create_run(config(tmp_path))
    code = "import sys, time; from pathlib import Path; from agrae_lab import runs\n"
    code += "with runs.lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        assert runs.read_run(path).is_locked()
        with pytest.raises(RunBusyError, match="in use by another process"), runs.lock(path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    assert not runs.read_run(path).is_locked()


def test_a_manifest_keeps_the_runs_of_earlier_launches(tmp_path):
    Experiment("e", "Q?", ("a/seed-0", "b/seed-0")).write(tmp_path)
    Experiment("e", "Q?", ("a/seed-0", "a/seed-1")).write(tmp_path)
    (experiment,) = runs.list_experiments(tmp_path)
    assert experiment.runs == ("a/seed-0", "b/seed-0", "a/seed-1")


def test_a_launch_without_a_question_keeps_the_known_one(tmp_path):
    for question in ("Why?", ""):
        path = Experiment("x", question, ()).write(tmp_path)
    assert Experiment.read(path).question == "Why?"


def test_a_copy_of_a_run_is_no_further_seed(tmp_path):
    run_dir = runs.create_run(config(tmp_path))
    shutil.copytree(run_dir, run_dir.with_name(f"{run_dir.name}.bak"))
    assert [run.path for run in runs.list_runs(tmp_path)] == [run_dir]


def test_a_sample_without_a_verdict_is_not_called_correct(tmp_path):
    run = runs.read_run(runs.create_run(config(tmp_path)))
    path = run.path / "eval" / "digits-12345678" / "samples.parquet"
    path.parent.mkdir(parents=True)
    rows = {"problem_id": ["a"] * 4, "decoding": ["sample"] * 4, "correct": [True, None, False, None]}
    pd.DataFrame(rows).to_parquet(path)
    (told,) = _accuracies(run)
    assert told == "Pass@1 on digits, 1 problem: grpo 25.0 % (n = 4)"


def test_the_pace_of_an_attempt_is_of_its_own_steps(tmp_path, monkeypatch):
    run = runs.read_run(runs.create_run(config(tmp_path)))
    clock = iter((0.0, 10.0, 22.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    progress = lifecycle._Progress(run, "train")
    told = []
    for step in (51, 52):  # the attempt goes on from step 50
        progress(step, 100)
        told.append(run.progress()["pace"])
    assert told == [None, 12.0]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    runs.write_json(path, {"a": 1})

    def write_half():
        with runs.replacing(path) as temporary:
            temporary.write_text('{"a"')
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.yaml", b"arm: \xff", r"config.yaml is not readable as YAML: "),
        ("config.yaml", b"arm: [1", r"config.yaml is not readable as YAML: "),
        ("meta.json", b"[1]", r"meta.json must hold a JSON object, and holds list"),
    ],
)
def test_files_edited_by_hand_are_named_in_one_line(tmp_path, file, content, message):
    path = runs.create_run(config(tmp_path))
    (path / file).write_bytes(content)
    with pytest.raises(RunError, match=message) as caught:
        runs.read_run(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", ["config.yaml", "meta.json"])
def test_files_that_the_system_refuses_to_read_are_named(tmp_path, monkeypatch, file):
    path = runs.create_run(config(tmp_path))
    runs.write_json(path / "meta.json", {"schema_version": 1})
    read_text = Path.read_text

    def refuse(self, *args, **kwargs):
        if self.name == file:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return read_text(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(RunError, match=rf"{path / file} cannot be read: Permission denied") as caught:
        runs.read_run(path)
    assert "\n" not in str(caught.value)


def test_a_run_in_a_read_only_root_has_a_status(tmp_path, monkeypatch):
    run = runs.read_run(runs.create_run(config(tmp_path)))
    assert not run.is_locked()
    assert not (run.path / ".lock").exists()  # no file is made by looking
    with runs.lock(run.path):
        opened = Path.open

        def read_only(self, mode="r", *args, **kwargs):
            if set(mode) & set("wax+"):
                raise OSError(errno.EROFS, "Read-only file system", str(self))
            return opened(self, mode, *args, **kwargs)

        monkeypatch.setattr(Path, "open", read_only)
        assert run.is_locked()
    assert not run.is_locked()


def test_copies_beside_numbered_files_are_passed_over(tmp_path):
    run = runs.read_run(runs.create_run(config(tmp_path)))
    for name in ("step-000004", "step-000004-old", "step-last"):
        (run.policy_dir(0).with_name(name) / "eval" / "b-1").mkdir(parents=True)
        (run.policy_dir(0).with_name(name) / "eval" / "b-1" / "samples.parquet").touch()
    assert run.evaluated_steps() == [4]
    for name in ("step-000004", "step-000009", "dropped-000009", "step-000009-old", "step-new"):
        (run.path / "rollouts").mkdir(exist_ok=True)
        rows = pd.DataFrame({"prompt_id": ["p"], "correct": [True], "valid": [True]})
        rows.to_parquet(run.path / "rollouts" / f"{name}.parquet")
    assert recorded_counts([run]) == {"p": (3, 3)}
    Recorder(run.path).resume_after(4)
    left = {path.stem for path in (run.path / "rollouts").iterdir()}
    assert left == {"step-000004", "step-000009-old", "step-new"}  # copies are the user's


def test_copies_beside_checkpoints_are_passed_over(tmp_path):
    for name in ("checkpoint-2", "checkpoint-4-old", "checkpoint-6.old"):
        (tmp_path / name).mkdir()
        mark_complete(tmp_path / name)
    (tmp_path / "checkpoint-torn").mkdir()
    remove_torn(tmp_path)
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert len(list(tmp_path.iterdir())) == 4


def test_an_experiment_that_lists_no_runs_is_named(tmp_path):
    runs.write_json(tmp_path / "experiments" / "mine.json", {"schema_version": 1, "name": "mine"})
    with pytest.raises(RunError, match=r"mine.json is not a list of runs: it has no question, runs"):
        runs.list_experiments(tmp_path)


def test_a_base_evaluation_that_is_null_is_not_known(tmp_path):
    path = runs.create_run(config(tmp_path))
    runs.update_meta(path, base_eval=None)
    assert runs.read_run(path).base_samples_path("math") is None
