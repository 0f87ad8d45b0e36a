"""A Ray cluster of one machine, or of two nodes on it, where Ray is installed: it needs an environment of its own."""

from __future__ import annotations

import _thread
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest
from fake_train import steps
from sweep_lab import Lab

from agrae_lab import runs
from sweeps.engines import ray as engine
from sweeps.errors import PlanError
from sweeps.execution.display import LineDisplay
from sweeps.execution.executor import ActiveRun
from sweeps.execution.retry_policy import RetryPolicy
from tests.training.conftest import compose_config
from tests.training.groups_lab import SETTINGS


def test_without_ray_a_study_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    with pytest.raises(
        PlanError, match=r"resources\.engine is ray, which is not installed; .*: pip install 'agrae-lab"
    ):
        engine.check({}, RetryPolicy())


def test_a_run_that_takes_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: "found")
    with pytest.raises(PlanError, match="num_cpus and num_gpus are 0"):
        engine.check({"num_cpus": 0}, RetryPolicy())


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_a_cluster_that_is_not_there_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: "found")
    with pytest.raises(PlanError, match=rf"address is .{address}., where no Ray cluster answers"):
        engine.check({"address": address}, RetryPolicy())


@pytest.mark.parametrize(
    ("needs", "room"),
    [({"num_cpus": 2, "num_gpus": 0}, 4), ({"num_cpus": 1, "num_gpus": 0.5}, 4), ({"num_cpus": 9, "num_gpus": 0}, 1)],
)
def test_as_many_runs_at_a_time_as_the_cluster_has_room_for(needs: dict[str, float], room: int) -> None:
    assert engine._num_slots({"CPU": 8.0, "GPU": 2.0}, needs) == room


@pytest.fixture
def run_on_ray(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a function that executes runs on a local cluster and returns the printed output."""
    pytest.importorskip("ray", reason="ray is not installed (extra: ray, in an environment of its own)")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("sweeps.execution.retry_policy.RETRY_SECONDS", 0.1)

    def run_on_ray(*arms: str, retry_policy: RetryPolicy, display: type[LineDisplay] = LineDisplay) -> str:
        fixed = {"schema_version": 1, "root": str(lab.root), "train": {"num_steps": 2, "step_seconds": 0.05}}
        dirs = [runs.create_run({**fixed, "arm": arm, "seed": seed}) for seed, arm in enumerate(arms)]
        out = io.StringIO()
        engine.run_all(
            [runs.read_run(path) for path in dirs],
            num_slots=2,
            options={},
            train_module="fake_train",
            preload=(),
            display=display(out, num_runs=len(arms)),
            retry_policy=retry_policy,
        )
        return out.getvalue()

    return run_on_ray


def test_a_cancelled_task_ends_its_process(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """ray.cancel raises KeyboardInterrupt in Python's code, as interrupt_main does; it wakes no system call."""
    until_closed = "import select, sys; select.select([sys.stdin], [], [], 60)"
    waiting = subprocess.Popen([sys.executable, "-c", until_closed], stdin=subprocess.PIPE)
    monkeypatch.setattr(engine.job, "start", lambda _: waiting)
    monkeypatch.setattr(engine, "STEP_SECONDS", 0.1)
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    threading.Timer(0.3, _thread.interrupt_main).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            engine.run_job(engine.job.Job(str(lab.root), "fake_train", (), 1, 0, None))
    finally:
        signal.signal(signal.SIGINT, kept)
    assert waiting.poll() is not None


@pytest.mark.slow
def test_a_cluster_executes_runs(lab: Lab, run_on_ray: Callable[..., str]) -> None:
    text = run_on_ray("ok", "raise", "cut", "diverge", retry_policy=RetryPolicy(retries=1))
    assert lab.statuses() == {"ok 0": "done", "raise 1": "failed", "cut 2": "done", "diverge 3": "diverged"}
    assert "RuntimeError: the reward is on fire" in text
    assert [step for step, _ in steps(lab.runs()["ok 0"].path)] == [1, 2]


class StopWhenAtWork(LineDisplay):
    """Display that stops the sweep, as a user would, once a run has taken its first step on the cluster."""

    asked = False

    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None:
        if not self.asked and any(steps(one.run.path) for one in active):
            self.asked = True
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_a_stopped_sweep_leaves_no_run_on_the_cluster(lab: Lab, run_on_ray: Callable[..., str]) -> None:
    run_on_ray("hang", retry_policy=RetryPolicy(retries=0), display=StopWhenAtWork)
    assert lab.statuses() == {"hang 0": "interrupted"}
    assert not lab.runs()["hang 0"].is_locked()


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Ray cluster of two nodes on this machine, with a core each; its address."""
    pytest.importorskip("ray", reason="ray is not installed (extra: ray, in an environment of its own)")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


HARDWARE = {"device": "cpu", "processes": 2, "nodes": 2, "launcher": None, "strategy": "ddp"}


@pytest.mark.slow
def test_a_placement_group_over_two_nodes_executes_a_run_of_two_processes(lab: Lab, two_nodes: str) -> None:
    """Done, failed, and resumed after the loss of the process on the other node."""
    fixed = {"schema_version": 1, "root": str(lab.root), "hardware": HARDWARE}
    arms = {"ok": 0.2, "lost_once": 5.0, "raise": 0.2}  # seconds of a step: the loss must be noticed before the end
    dirs = [
        runs.create_run({**fixed, "arm": arm, "seed": seed, "train": {"num_steps": 6, "step_seconds": seconds}})
        for seed, (arm, seconds) in enumerate(arms.items())
    ]
    out = io.StringIO()
    engine.run_all(
        [runs.read_run(path) for path in dirs],
        num_slots=1,
        options={"address": two_nodes},
        train_module="fake_group_train",
        preload=(),
        display=LineDisplay(out, num_runs=len(arms)),
        retry_policy=RetryPolicy(retries=1),
    )
    assert lab.statuses() == {"ok 0": "done", "lost_once 1": "done", "raise 2": "failed"}, out.getvalue()
    assert "RuntimeError: the reward is on fire" in out.getvalue()
    by_name = lab.runs()
    for name, attempts in (("ok 0", 1), ("lost_once 1", 2)):
        assert [step for step, _ in steps(by_name[name].path)] == [1, 2, 3, 4, 5, 6]
        assert len(by_name[name].meta["attempts"]) == attempts
    assert (
        "=== the processes of machine 1 ended with exit code 1; "
        in (by_name["lost_once 1"].path / "log.txt").read_text()
    )
    log = (by_name["ok 0"].path / "log.txt").read_text()
    assert "=== process 0 of 2: pid" in log
    assert "=== process 1 of 2: pid" in log


@pytest.mark.slow
def test_a_real_run_on_two_nodes_of_ray(tmp_path: Path, two_nodes: str) -> None:
    words = (*SETTINGS, "train.num_steps=2", "hardware.processes=2", "hardware.nodes=2")
    run = runs.read_run(runs.create_run(compose_config(f"root={tmp_path}", *words)))
    out = io.StringIO()
    engine.run_all(
        [run],
        num_slots=1,
        options={"address": two_nodes},
        train_module="agrae_lab.train",
        preload=(),
        display=LineDisplay(out, num_runs=1),
        retry_policy=RetryPolicy(retries=0),
    )
    done = runs.read_run(run.path)
    assert done.status == "done", out.getvalue()
    assert [attempt["processes"] for attempt in done.meta["attempts"]] == [2]
    assert len(done.rollout_paths()) == 2
