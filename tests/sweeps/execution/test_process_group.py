"""Runs of two processes: one launcher each; a kill, a stop and a time limit act on all processes of the run."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_group_train import others
from fake_train import pids, steps
from sweep_lab import Lab, environment, failures, wait_until

from agrae_lab import runs
from agrae_lab.runs import launchers
from agrae_lab.runs.processes import Layout, resume_fault
from sweeps.errors import PlanError
from sweeps.execution import slots
from sweeps.execution.display import LineDisplay
from sweeps.execution.executor import run_all
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import Outcome

HARDWARE = {"device": "cpu", "processes": 2, "nodes": 1, "launcher": None, "strategy": "ddp"}


@pytest.fixture
def execute(lab: Lab) -> Callable[..., list[Outcome]]:
    def execute(*arms: str, num_steps: int = 3, step_seconds: float = 0.3, **policy: float) -> list[Outcome]:
        train = {"num_steps": num_steps, "step_seconds": step_seconds}
        fixed = {"schema_version": 1, "root": str(lab.root), "train": train, "hardware": HARDWARE}
        dirs = [runs.create_run({**fixed, "arm": arm, "seed": seed}) for seed, arm in enumerate(arms)]
        todo = [runs.read_run(path) for path in dirs]
        return run_all(
            todo,
            slots=slots.make_slots(len(todo), num_slots=2, layout=Layout(2)),
            train_module="fake_group_train",
            preload=(),
            display=LineDisplay(io.StringIO(), num_runs=len(todo)),
            retry_policy=RetryPolicy(**{"retries": 0, **policy}),
        )[0]

    return execute


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_pids(lab: Lab) -> list[int]:
    return [pid for run in lab.runs().values() for pid in (*pids(run.path), *others(run.path))]


def test_a_lost_process_ends_its_run_and_the_run_resumes(lab, execute):
    """The log holds the last words of both processes. That no other run ends with it: the next test."""
    (outcome,) = execute("lost_once", retries=1)
    assert outcome.status == "done"
    assert failures(lab) == {"lost_once 0": ("signal", 1)}
    resumed = lab.runs()["lost_once 0"]
    assert [step for step, _ in steps(resumed.path)] == [1, 2, 3]  # none lost, none taken twice
    assert (len(set(pids(resumed.path))), len(set(others(resumed.path)))) == (2, 2)
    log = (resumed.path / "log.txt").read_text()
    assert "=== process 0 of 2: pid" in log
    assert "=== process 1 of 2: pid" in log
    assert not any(map(is_alive, all_pids(lab)))


@pytest.mark.slow
def test_each_end_of_a_process_is_told_for_what_it_is(lab, execute):
    outcomes = execute("lost", "odd", "raise", "diverge", "exit", "ok")
    assert {one.run.arm: one.status for one in outcomes} == {
        **dict.fromkeys(("lost", "odd", "raise", "exit"), "failed"),
        "diverge": "diverged",
        "ok": "done",
    }
    assert len(set(pids(lab.runs()["ok 5"].path))) == 1  # in one attempt
    errors = {name.split()[0]: run.meta.get("error") for name, run in lab.runs().items()}
    assert errors["lost"] == "process 1 of 2 of this run was ended by a signal that the sweep did not send"
    assert errors["odd"] == "ValueError: train.beta is 7, but it lies between 0 and 1 (process 1 of 2)"
    assert errors["raise"] == "RuntimeError: the reward is on fire"
    classes = {name.split()[0]: found and found[0] for name, found in failures(lab).items()}
    assert classes == {
        "lost": "signal",
        "odd": "config",
        "raise": "error",
        "diverge": "diverged",
        "exit": "error",
        "ok": None,
    }
    assert "ValueError: train.beta is 7" in (lab.runs()["odd 1"].path / "log.txt").read_text()
    assert not any(map(is_alive, all_pids(lab)))


@pytest.mark.slow
def test_a_time_limit_ends_all_processes(lab, execute):
    (outcome,) = execute("hang", timeout_seconds=12.0)
    assert outcome.status == "failed"
    assert failures(lab) == {"hang 0": ("timeout", 1)}
    assert len(all_pids(lab)) == 2
    assert not any(map(is_alive, all_pids(lab)))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_controller_that_ends_takes_all_processes_along_and_the_next_resumes(lab, number):
    command = [sys.executable, "-c", "import sys; from sweeps.__main__ import main; from pathlib import Path; "]
    command[-1] += "sys.exit(main(sys.argv[2:], config_dir=Path(sys.argv[1]), train_module='fake_group_train', "
    command[-1] += "preload=()))"
    words = ["run", "plain", f"root={lab.root}", "train.num_steps=40", "train.step_seconds=0.1"]
    words += ["hardware.processes=2", "seed=0,1", "--slots", "2"]
    first = subprocess.Popen([*command, str(lab.conf), *words], env=environment(), stdout=subprocess.DEVNULL)
    wait_until(lambda: len(lab.runs()) == 2 and all(others(run.path) for run in lab.runs().values()), seconds=90)
    first.send_signal(number)
    assert first.wait(timeout=60) == (-9 if number == signal.SIGKILL else 130)
    wait_until(lambda: not any(map(is_alive, all_pids(lab))), seconds=40)
    assert set(lab.statuses().values()) == {"interrupted"}
    subprocess.run([*command, str(lab.conf), *words], env=environment(), check=True, stdout=subprocess.DEVNULL)
    for run in lab.runs().values():
        assert run.status == "done"
        assert [step for step, _ in steps(run.path)] == list(range(1, 41))


def test_slots_are_groups_of_gpus_or_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.setattr(slots, "visible_gpus", list)
    pairs = [slots.Slot(1, None, tuple(range(i, i + 2))) for i in (0, 2, 4, 6)]
    assert slots.make_slots(20, layout=Layout(2)) == pairs
    assert slots.make_slots(1, layout=Layout(2)) == [slots.Slot(4, None)]
    monkeypatch.setattr(slots, "visible_gpus", lambda: ["0", "1", "2", "3", "4"])
    two = slots.make_slots(20, layout=Layout(2))
    assert [slot.gpu for slot in two] == ["0,1", "2,3"]
    assert two[0].environment(2)["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert two[0].environment(1)["CUDA_VISIBLE_DEVICES"] == "0"  # with two, the trainer would use both
    with pytest.raises(
        PlanError, match=r"hardware\.processes: a run of 8 processes .* needs 8 GPUs, and this one has 5"
    ):
        slots.make_slots(20, layout=Layout(8))
    with pytest.raises(PlanError, match=r"hardware\.nodes: .* needs resources\.engine slurm or ray"):
        slots.check_here([{"hardware": {"processes": 16, "nodes": 2}}])
    monkeypatch.setattr(slots, "visible_gpus", list)
    with pytest.raises(PlanError, match=r"hardware\.strategy: fsdp needs 8 GPUs, and this machine has none"):
        slots.check_here([{"hardware": {"processes": 8, "strategy": "fsdp"}}])


def test_the_launcher_follows_the_strategy():
    config = {"hardware": {"processes": 8, "strategy": "ddp"}, "model": {"dtype": "bfloat16"}}
    words = launchers.command(config, ["-m", "agrae_lab.process"])
    assert words[2:6] == ["-m", "torch.distributed.run", "--nnodes=1", "--nproc-per-node=8"]
    config["hardware"] = {"processes": 16, "nodes": 2, "strategy": "fsdp"}
    words = launchers.command(config, ["-m", "agrae_lab.process"], node=1, address="10.0.0.1:29500")
    assert words[3] == "accelerate.commands.launch"
    assert Path(words[4].removeprefix("--config_file=")).is_file()
    assert {"--num_processes=16", "--num_machines=2", "--machine_rank=1", "--mixed_precision=bf16"} <= set(words)


def test_a_checkpoint_limits_the_processes_that_may_resume_it():
    of_four = [{"processes": 4, "strategy": "ddp"}]
    assert resume_fault(Layout(2), of_four) is None
    assert resume_fault(Layout(2, strategy="fsdp"), [{"processes": 4, "strategy": "fsdp"}]) is None
    assert "checkpoints are of ddp" in (resume_fault(Layout(4, strategy="fsdp"), of_four) or "")
    deep = [{"processes": 4, "strategy": "deepspeed"}]
    assert "checkpoints of 4 processes cannot be read by 2" in (
        resume_fault(Layout(2, strategy="deepspeed"), deep) or ""
    )
    assert resume_fault(Layout(4, strategy="deepspeed"), deep) is None
    assert resume_fault(Layout(2), [{}]) is None  # an attempt of an earlier version


ORPHAN = """
import subprocess, sys
command = "sleep 1; exec " + sys.executable + " -P -m agrae_lab.process late_train " + sys.argv[1]
print(subprocess.Popen(["sh", "-c", command], start_new_session=True, stdout=2).pid)
"""


def test_a_process_whose_launcher_ended_while_python_started_ends_too(tmp_path):
    """Else it would wait for the others of its group, for half an hour, and keep the run's lock."""
    (tmp_path / "late_train.py").write_text(
        "from pathlib import Path\n\n\ndef execute(run_dir):\n    (Path(run_dir) / 'executed').touch()\n"
    )
    variables = launchers.environment() | {"RANK": "0", "WORLD_SIZE": "2"}
    variables["PYTHONPATH"] = os.pathsep.join([str(tmp_path), variables["PYTHONPATH"]])

    def launch(script: str) -> int:
        ended = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], env=variables, stdout=subprocess.PIPE, text=True, check=True
        )
        return int(ended.stdout)

    launch(ORPHAN.replace("sleep 1; ", "").replace(".pid)", ".wait())"))  # the launcher lives: it is executed
    assert (tmp_path / "executed").exists()
    (tmp_path / "executed").unlink()
    pid = launch(ORPHAN)
    wait_until(lambda: not is_alive(pid), seconds=60)
    assert not (tmp_path / "executed").exists()
