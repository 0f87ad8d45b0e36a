"""Slurm by submitit: submit → exit → collect, on submitit's local executor and on a real cluster where there is one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_train import steps
from sweep_lab import Lab, wait_until

from agrae_lab import runs
from sweeps.engines import job, slurm
from sweeps.errors import PlanError
from sweeps.execution.retry_policy import RetryPolicy

submitit = pytest.importorskip("submitit", reason="submitit is not installed (extra: slurm)")

# its local executor drops the processes that it has started
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

MakeRuns = Callable[..., list[runs.Run]]
SECONDS = 60.0  # an array task starts two interpreters, and others may be at work on this machine


def _reason_for_no_cluster() -> str:
    if shutil.which("sbatch") is None:
        return "this machine has no sbatch"
    output = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, check=False, timeout=60)
    return "" if output.returncode == 0 else f"no Slurm controller answers: {(output.stdout + output.stderr).strip()}"


NO_CLUSTER = _reason_for_no_cluster()


@pytest.fixture
def make_runs(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> MakeRuns:
    """Run directories, one seed each, that processes elsewhere can execute."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)

    def make(*arms: str, num_steps: int = 2, step_seconds: float = 0.0) -> list[runs.Run]:
        train = {"num_steps": num_steps, "step_seconds": step_seconds}
        fixed = {"schema_version": 1, "root": str(lab.root), "train": train}
        return [runs.read_run(runs.create_run({**fixed, "arm": arm, "seed": seed})) for seed, arm in enumerate(arms)]

    return make


def _jobs(todo: list[runs.Run]) -> list[job.Job]:
    retry_policy = RetryPolicy(retries=0)
    return [
        job.Job.for_run(run, train_module="fake_train", preload=(), num_threads=1, retry_policy=retry_policy)
        for run in todo
    ]


def _submit_here(lab: Lab, todo: list[runs.Run]) -> list[str]:
    return slurm.submit(submitit.LocalExecutor(lab.root / "slurm"), _jobs(todo))


def _watcher(task: str) -> Any:
    """The process that looks after an array task of submitit's local executor."""
    psutil = pytest.importorskip("psutil")
    (found,) = [p for p in psutil.Process(int(task)).children() if "submitit.core._submit" in p.cmdline()]
    return found


def _settled(lab: Lab) -> bool:
    ended = (*runs.FINAL_STATUSES, "failed", "interrupted")
    return all(run.status in ended and not run.is_locked() for run in lab.runs().values())


def test_what_was_submitted_is_carried_through_without_the_command(lab: Lab, make_runs: MakeRuns) -> None:
    """A run that ends well: the next test."""
    todo = make_runs("raise", "sigkill")
    assert len(_submit_here(lab, todo)) == 2
    wait_until(lambda: _settled(lab), seconds=SECONDS)
    assert lab.statuses() == {"raise 0": "failed", "sigkill 1": "failed"}
    assert lab.runs()["raise 0"].meta["error"] == "RuntimeError: the reward is on fire"
    assert "=== attempt" in (todo[0].path / "log.txt").read_text()


def test_an_element_whose_time_is_up_is_requeued_and_its_run_continues(lab: Lab, make_runs: MakeRuns) -> None:
    (run,) = make_runs("ok", num_steps=30, step_seconds=0.1)
    (task,) = _submit_here(lab, [run])
    wait_until(lambda: len(steps(run.path)) >= 3, seconds=SECONDS)
    _watcher(task).send_signal(signal.SIGUSR2)
    wait_until(lambda: _settled(lab) and runs.read_run(run.path).status == "done", seconds=SECONDS)
    assert [step for step, _ in steps(run.path)] == list(range(1, 31))
    assert (run.path / "log.txt").read_text().count("=== attempt") == 2


@pytest.mark.slow
def test_a_cancelled_element_leaves_a_run_that_the_next_submission_continues(lab: Lab, make_runs: MakeRuns) -> None:
    (run,) = make_runs("ok", num_steps=30, step_seconds=0.1)
    (task,) = _submit_here(lab, [run])
    wait_until(lambda: len(steps(run.path)) >= 3, seconds=SECONDS)
    _watcher(task).send_signal(signal.SIGTERM)
    wait_until(lambda: _settled(lab), seconds=SECONDS)
    assert lab.statuses() == {"ok 0": "interrupted"}
    _submit_here(lab, [run])
    wait_until(lambda: runs.read_run(run.path).status == "done", seconds=SECONDS)
    assert [step for step, _ in steps(run.path)] == list(range(1, 31))


@pytest.mark.slow
def test_a_run_stops_when_the_process_that_looks_after_it_is_killed(lab: Lab, make_runs: MakeRuns) -> None:
    (run,) = make_runs("hang")
    (task,) = _submit_here(lab, [run])
    wait_until(lambda: bool(steps(run.path)), seconds=SECONDS)
    _watcher(task).kill()
    wait_until(lambda: _settled(lab), seconds=SECONDS)
    assert lab.statuses() == {"hang 0": "interrupted"}


def test_a_job_whose_owner_lets_go_stops_even_under_nohup(make_runs: MakeRuns) -> None:
    (run,) = make_runs("ok", num_steps=600, step_seconds=0.1)
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = job.start(_jobs([run])[0])
    finally:
        signal.signal(signal.SIGHUP, handler)
    wait_until(lambda: len(steps(run.path)) >= 3, seconds=SECONDS)
    job.stop(process)
    job.wait(process)
    assert runs.read_run(run.path).status == "interrupted"


@pytest.mark.parametrize("notice", [signal.SIGUSR2, signal.SIGTERM])
def test_slurms_notices_may_go_to_every_process_of_a_job(make_runs: MakeRuns, notice: signal.Signals) -> None:
    psutil = pytest.importorskip("psutil")
    (run,) = make_runs("ok", num_steps=30, step_seconds=0.1)
    process = job.start(_jobs([run])[0])
    wait_until(lambda: len(steps(run.path)) >= 3, seconds=SECONDS)
    for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        one.send_signal(notice)
    if notice == signal.SIGTERM:  # to its owner it means that the job is cancelled
        job.ask_to_stop(process)
    job.wait(process)
    assert runs.read_run(run.path).status == ("done" if notice == signal.SIGUSR2 else "interrupted")
    assert (run.path / "log.txt").read_text().count("=== attempt") == 1


def test_what_is_queued_or_at_work_is_not_submitted_again(make_runs: MakeRuns) -> None:
    queued, over, busy, new = make_runs("ok", "ok", "ok", "ok")
    for run, task in ((queued, "7_0"), (over, "6_1")):
        runs.write_json(run.path / slurm.TASK_FILE, {"element": task})
    with runs.lock(busy.path):
        outcomes, fresh = slurm.split_queued([queued, over, busy, new], {"7_0", "7_1"})
    assert [(one.run.key, one.status) for one in outcomes] == [(queued.key, "queued"), (busy.key, "busy")]
    assert fresh == [over, new]


@pytest.mark.parametrize(
    ("options", "retry_policy", "sentence"),
    [
        ({"partitoin": "gpu"}, RetryPolicy(), r"resources.options.partitoin: .* did you mean 'partition'\?"),
        ({"array_parallelism": 3}, RetryPolicy(), "engine slurm has no such option"),
        ({}, RetryPolicy(fail_fast=True), "stop.fail_fast has no effect with engine slurm"),
        ({}, RetryPolicy(max_failures=2), "stop.max_failures has no effect with engine slurm"),
        ({}, RetryPolicy(deadline_seconds=2.0), "stop.wall_hours has no effect with engine slurm"),
    ],
)
def test_what_slurm_cannot_do_is_refused(options: dict[str, Any], retry_policy: RetryPolicy, sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        slurm.check(options, retry_policy)


def test_a_machine_without_slurm_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlanError, match="this machine has no sbatch; run this on a login node"):
        slurm.check({"partition": "gpu", "time": 240}, RetryPolicy())


def test_a_cluster_that_is_down_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "squeue"
    fake.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(PlanError, match="squeue failed: slurm_load_jobs error: Unable to contact"):
        slurm.queued_tasks()


@pytest.mark.slow
@pytest.mark.skipif(bool(NO_CLUSTER), reason=NO_CLUSTER)
def test_a_real_cluster(lab: Lab, make_runs: MakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
    """Submitted once, not twice; one array task requeued as Slurm does it when its time is up, one cancelled."""
    todo = make_runs("ok", "raise", "ok", "ok", num_steps=60, step_seconds=0.1)
    settings: dict[str, Any] = {
        "num_slots": 2,
        "options": {"time": 5},
        "train_module": "fake_train",
        "preload": (),
        "display": None,
        "retry_policy": RetryPolicy(retries=0),
    }

    def submit() -> list[str]:
        unfinished = [
            run for run in map(runs.read_run, [r.path for r in todo]) if run.status not in runs.FINAL_STATUSES
        ]
        return [one.status for one in slurm.run_all(unfinished, **settings)[0]]

    slurm.check(settings["options"], settings["retry_policy"])
    assert submit() == ["queued"] * 4
    assert submit() == ["queued"] * 4
    assert capsys.readouterr().out.count("submitted 4 runs to Slurm") == 1

    requeued, cancelled = todo[0], todo[2]
    wait_until(lambda: len(steps(requeued.path)) >= 3, seconds=SECONDS)
    task = _task(requeued)
    with subprocess.Popen(["scancel", "--signal=USR2", task], stderr=subprocess.DEVNULL) as notice:
        wait_until(lambda: runs.read_run(requeued.path).status == "interrupted", seconds=SECONDS)
        wait_until(lambda: _state(task) == "PENDING", seconds=SECONDS)
        notice.kill()  # some versions go on trying to signal an array task that is being requeued
    subprocess.run(["scontrol", "update", f"job={task}", "StartTime=now"], check=True)  # it would wait two minutes

    wait_until(lambda: len(steps(cancelled.path)) >= 3, seconds=SECONDS)
    subprocess.run(["scancel", _task(cancelled)], check=True)
    wait_until(lambda: slurm.queued_tasks().isdisjoint({_task(run) for run in todo}), seconds=120)
    assert lab.statuses() == {"ok 0": "done", "raise 1": "failed", "ok 2": "interrupted", "ok 3": "done"}

    assert submit() == ["queued"] * 2
    wait_until(lambda: slurm.queued_tasks().isdisjoint({_task(run) for run in todo}), seconds=120)
    assert lab.statuses() == {"ok 0": "done", "raise 1": "failed", "ok 2": "done", "ok 3": "done"}
    for run in (requeued, cancelled):
        assert [step for step, _ in steps(run.path)] == list(range(1, 61))


def _task(run: runs.Run) -> str:
    return runs._read_json(run.path / slurm.TASK_FILE)["element"]


def _state(task: str) -> str:
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={task}"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@pytest.mark.parametrize("options", [{"time": 1}, {"time": 5, "signal_delay_s": 300}])
def test_a_time_within_the_delay_of_the_signal_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=r"resources\.options\.time is . minutes, but Slurm asks a run to stop"):
        slurm.check(options, RetryPolicy())
