"""Killed runs, several processes: the records come out the same."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from agrae_lab import runs
from agrae_lab.advantages import make
from agrae_lab.lifecycle import execute
from agrae_lab.tasks.problems import shipped_file
from agrae_lab.training.checkpoints import COMPLETE, last_checkpoint, mark_complete, naming_unreadable_file, remove_torn
from tests.forked import Forked
from tests.training.conftest import SMALL, compose_config
from tests.training.test_runs_end_to_end import TIMES, metrics, policy_gradient_norm, rollouts

EXECUTE = "import sys; from agrae_lab.lifecycle import execute; execute(sys.argv[1])"


def start(run_dir) -> Forked:
    return Forked("-c", EXECUTE, run_dir)


def wait_for(path, process, *, seconds=240) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, f"ended before {path} was there"
        assert time.monotonic() < end, f"no {path} after {seconds} s"
        time.sleep(0.005)


def checkpoints_at(folder, *numbers):
    for number in numbers:
        checkpoint = folder / f"checkpoint-{number}"
        (checkpoint / "sub").mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(bytes(range(200)))
        (checkpoint / "sub" / "rng_state.pth").write_bytes(b"rng")
        mark_complete(checkpoint)


def test_a_checkpoint_whose_saving_was_interrupted_is_not_resumed_from(tmp_path):
    checkpoints_at(tmp_path, 4, 8, 12)
    (tmp_path / "checkpoint-12" / COMPLETE).unlink()
    assert last_checkpoint(tmp_path).name == "checkpoint-8"
    remove_torn(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-4", "checkpoint-8"]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda c: (c / "sub" / "rng_state.pth").unlink(), "sub/rng_state.pth is missing"),
        (lambda c: flip(c / "model.safetensors"), "model.safetensors is not what was saved"),
        (lambda c: (c / "model.safetensors").write_bytes(b"short"), "model.safetensors has 5 bytes, not 200"),
        (lambda c: (c / COMPLETE).write_text("{"), "its list of files, .complete, is damaged"),
        (lambda c: (c / COMPLETE).write_text(""), "its list of files, .complete, is damaged"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_resumed_from(tmp_path, caplog, damage, fault):
    checkpoints_at(tmp_path, 4, 8)
    damage(tmp_path / "checkpoint-8")
    assert last_checkpoint(tmp_path).name == "checkpoint-4"
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"checkpoint-8: {fault}" in line
    assert "resumes from the checkpoint before" in line


def test_a_killed_run_with_a_damaged_checkpoint_ends_as_an_uninterrupted_one(small_run, tmp_path):
    unbroken = small_run("advantage=a_grae")
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, "advantage=a_grae"))
    process = start(run_dir)
    wait_for(run_dir / "checkpoints" / "checkpoint-8" / COMPLETE, process)  # after step 4
    process.kill()
    process.wait()
    cut_off = runs.read_run(run_dir)
    assert cut_off.status == "running"
    assert not cut_off.is_locked()
    assert not (run_dir / "model").exists()
    for path in (run_dir / "checkpoints").glob("checkpoint-[89]*/rng_state*.pth"):
        path.unlink()
    for path in (run_dir / "checkpoints").glob("checkpoint-1?/rng_state*.pth"):
        path.unlink()
    process = start(run_dir)
    assert process.wait(timeout=240) == 0
    resumed = runs.read_run(run_dir)
    assert resumed.status == "done"
    pd.testing.assert_frame_equal(rollouts(resumed), rollouts(unbroken))
    samples = [pd.read_parquet(r.samples_path("countdown_test")) for r in (resumed, unbroken)]
    pd.testing.assert_frame_equal(*samples)
    pd.testing.assert_frame_equal(metrics(resumed).drop(columns=TIMES), metrics(unbroken).drop(columns=TIMES))
    weights = [load_file(run.path / "model" / "model.safetensors") for run in (resumed, unbroken)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_a_run_that_could_not_save_its_model_trains_no_further(small_run, tmp_path, monkeypatch):
    """All steps are done and checkpointed, the disk is full: the next attempt saves what the last step made."""
    from agrae_lab.training import session

    words = ["advantage=a_grae", "train.num_steps=2"]
    unbroken = small_run(*words)
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, *words))

    def full(*arguments):
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr(session, "save_policy", full)
        with pytest.raises(OSError, match="no space left"):
            execute(run_dir)
    assert runs.read_run(run_dir).status == "failed"
    execute(run_dir)
    again = runs.read_run(run_dir)
    pd.testing.assert_frame_equal(rollouts(again), rollouts(unbroken))
    weights = [load_file(run.path / "model" / "model.safetensors") for run in (again, unbroken)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert len(again.meta["attempts"]) == 2


def test_changed_problems_are_refused(tmp_path):
    problems = tmp_path / "problems.jsonl"
    text = shipped_file("countdown", "train").read_text()
    problems.write_text(text)
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, f"task.train_file={problems}"))
    problems.write_text(text.replace('"target": 55', '"target": 56', 1))
    with pytest.raises(runs.RunError, match="the problems of 'train' have changed"):
        execute(run_dir)


def test_sigterm_leaves_an_interrupted_run(tmp_path):
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, "train.num_steps=1000"))
    process = start(run_dir)
    wait_for(run_dir / "rollouts" / "step-000001.parquet", process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) != 0
    assert runs.read_run(run_dir).status == "interrupted"


@pytest.mark.slow
def test_two_processes_give_the_advantages_of_one(tmp_path):
    """Groups are spread over the processes; ω and the groups' statistics must come from the whole batch."""
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, "advantage=a_grae", "train.num_minibatches=1"))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29577"]
    script = tmp_path / "execute.py"
    script.write_text(EXECUTE)
    subprocess.run(
        [*launch, str(script), str(run_dir)], check=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    run = runs.read_run(run_dir)
    assert run.status == "done"
    assert len(run.rollout_paths()) == 6
    for path in run.rollout_paths():
        step = pd.read_parquet(path)
        assert len(step) == 32
        assert step.groupby("group")["prompt_id"].nunique().max() == 1
        rewards = torch.tensor(step["reward"].to_numpy(), dtype=torch.float32).view(8, 4)
        recorded = torch.tensor(step["advantage"].to_numpy(), dtype=torch.float32).view(8, 4)
        torch.testing.assert_close(recorded, make("a_grae")(rewards))
    # the update used them too, each with its own completion
    assert metrics(run)["grad_norm"][0] == pytest.approx(policy_gradient_norm(run), rel=1e-3)
    assert metrics(run)["correct_count"].tolist() == rollouts(run).groupby("step")["correct"].sum().tolist()


class Unsafe:
    """Content of a file that torch refuses to load, with the advice to load it unsafely."""


def test_a_checkpoint_file_that_cannot_be_read_is_named(tmp_path):
    checkpoints_at(tmp_path, 4)
    checkpoint = tmp_path / "checkpoint-4"
    for path in checkpoint.rglob("*.*"):
        path.unlink()
    torch.save({"step": 1}, checkpoint / "scheduler.pt")
    with pytest.raises(KeyError), naming_unreadable_file(checkpoint):
        raise KeyError  # all files can be read: another error
    torch.save(Unsafe(), checkpoint / "optimizer.pt")
    with pytest.raises(runs.RunError) as refused, naming_unreadable_file(checkpoint):
        torch.load(checkpoint / "optimizer.pt", weights_only=True)
    sentence = str(refused.value)
    assert sentence.startswith(f"{checkpoint}/optimizer.pt cannot be read by torch")
    assert f"Delete {checkpoint}: the run then resumes from the checkpoint before" in sentence
    assert "weights_only" not in sentence
    assert "\n" not in sentence
