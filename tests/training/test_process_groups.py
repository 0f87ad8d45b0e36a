"""Sweeps of real runs of two processes: as one process where they must, and broken in any way as unbroken ones."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest

from agrae_lab import runs
from agrae_lab.lifecycle import execute
from sweeps.engines import job, slurm
from sweeps.execution import process_group
from sweeps.execution.retry_policy import RetryPolicy
from tests.training.conftest import compose_config
from tests.training.distributed_lab import EXECUTE, run_processes
from tests.training.groups_lab import (
    SETTINGS,
    Groups,
    assert_same_results,
    environment,
    everything_below,
    group_of,
    samples,
)
from tests.training.test_runs_end_to_end import metrics, rollouts

SECONDS = 400.0  # for a start on a busy machine


def wait_until(condition: Callable[[], object], *, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[Groups]:
    made = Groups(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[runs.Run]:
    """Two finished runs of two processes, seeds 0 and 1."""
    return Groups(tmp_path_factory.mktemp("unbroken"), seeds=(0, 1)).finish()


def test_two_processes_leave_the_records_of_one(tmp_path: Path) -> None:
    """The same problems at the same steps, and the same samples of the base model, bit by bit.

    Rollouts differ, since each process has a random stream of its own; test_distributed.py trains both on the same.
    The launcher of a sweep: tests/sweeps/execution/test_process_group.py, and below.
    """
    two = frozen_run(tmp_path / "two")
    run_processes(*EXECUTE, two.path)
    assert_records_of_one(tmp_path / "one", runs.read_run(two.path))


@pytest.mark.slow
def test_two_processes_of_a_sweep_leave_the_records_of_one(groups: Groups, tmp_path: Path) -> None:
    (two,) = groups.finish()
    assert_records_of_one(tmp_path / "one", two)
    log = (two.path / "log.txt").read_text()
    assert "=== process 0 of 2: pid" in log
    assert "=== process 1 of 2: pid" in log


def assert_records_of_one(root: Path, two: runs.Run) -> None:
    """Check a run of two processes against one of a single process, made under `root`."""
    one = frozen_run(root, "hardware.processes=1")
    execute(one.path)
    one = runs.read_run(one.path)
    assert two.key == one.key  # the processes are no part of a run's identity
    assert [attempt["processes"] for run in (one, two) for attempt in run.meta["attempts"]] == [1, 2]
    of_problems = ["step", "prompt_id", "group", "sample"]
    pd.testing.assert_frame_equal(rollouts(one)[of_problems], rollouts(two)[of_problems])
    assert list(metrics(one).columns) == list(metrics(two).columns)
    assert metrics(one)["step"].tolist() == metrics(two)["step"].tolist() == [1, 2, 3]
    mine, base = (pd.read_parquet(path) for path in samples(two))
    pd.testing.assert_frame_equal(base, pd.read_parquet(samples(one)[1]))
    assert len(mine) == len(pd.read_parquet(samples(one)[0]))


def at_step(run_dir: Path, number: int) -> bool:
    return (run_dir / "rollouts" / f"step-{number:06d}.parquet").is_file()


def first_run(groups: Groups) -> Path | None:
    found = [run.path for run in groups.runs() if run.seed == 0]
    return found[0] if found else None


def wait_for_step(groups: Groups, number: int) -> runs.Run:
    """Wait until the run of seed 0 has recorded a step; return it."""
    wait_until(lambda: (path := first_run(groups)) is not None and at_step(path, number))
    (run,) = [run for run in groups.runs() if run.seed == 0]
    return run


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_its_run_and_no_other(unbroken, groups: Groups, rank: int) -> None:
    groups.seeds = (0, 1)
    launch = groups.start()
    run = wait_for_step(groups, 1)
    os.kill(group_of(run)[rank], signal.SIGKILL)
    assert_same_results(groups.finish(launch), unbroken)
    assert [len(run.meta["attempts"]) for run in groups.runs()] == [2, 1]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_controller_that_ends_leaves_a_run_that_the_next_resumes(unbroken, groups: Groups, number) -> None:
    launch = groups.start()
    alive = group_of(wait_for_step(groups, 1))
    assert len(alive) == 2
    launch.send_signal(number)
    launch.communicate(timeout=SECONDS)
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in alive.values()))
    assert_same_results(groups.finish(), unbroken[:1])
    assert len(groups.runs()[0].meta["attempts"]) == 2


def frozen_run(root: Path, *words: str) -> runs.Run:
    """A run of the unbroken study's seed 0, frozen under another root."""
    config = compose_config(f"root={root}", "hardware.processes=2", *SETTINGS, "train.num_steps=3", *words)
    return runs.read_run(runs.create_run(config))


def job_of(run: runs.Run) -> job.Job:
    policy = RetryPolicy(retries=0)
    return job.Job.for_run(run, train_module="agrae_lab.train", preload=(), num_threads=1, retry_policy=policy)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of processes that a cluster starts."""
    for name, value in environment().items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.parametrize("notice", [signal.SIGUSR2, signal.SIGTERM])
def test_an_array_element_is_requeued_or_cancelled_and_its_group_resumes(unbroken, elsewhere, tmp_path, notice) -> None:
    """Shortly before the end of its time, and on scancel, as Slurm does it; by submitit's local executor."""
    submitit = pytest.importorskip("submitit", reason="submitit is not installed (extra: slurm)")
    run = frozen_run(tmp_path)
    executor = submitit.LocalExecutor(tmp_path / "slurm")
    (task,) = slurm.submit(executor, [job_of(run)])
    wait_until(lambda: at_step(run.path, 1))
    (watcher,) = [p for p in psutil.Process(int(task)).children() if "submitit.core._submit" in p.cmdline()]
    watcher.send_signal(notice)
    if notice == signal.SIGTERM:
        wait_until(lambda: runs.read_run(run.path).status == "interrupted" and not run.is_locked())
        slurm.submit(executor, [job_of(run)])
    wait_until(lambda: runs.read_run(run.path).status == "done", seconds=2 * SECONDS)
    assert_same_results([runs.read_run(run.path)], unbroken[:1])
    assert len(runs.read_run(run.path).meta["attempts"]) == 2


@pytest.mark.slow
def test_a_notice_of_slurm_to_every_process_of_a_group_ends_it_in_good_order(unbroken, elsewhere, tmp_path) -> None:
    run = frozen_run(tmp_path)
    process = job.start(job_of(run))
    wait_until(lambda: at_step(run.path, 1))
    for one in [psutil.Process(process.pid), *everything_below(process.pid)]:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGUSR2)
    job.stop(process)
    job.wait(process)
    assert runs.read_run(run.path).status in ("interrupted", "done")
    process = job.start(job_of(run))
    assert job.wait(process) == 0
    assert_same_results([runs.read_run(run.path)], unbroken[:1])


SRUN = """\
#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
SLURM_NODEID=1 "$@" & other=$!
trap 'kill -TERM $main $other' TERM
SLURM_NODEID=0 "$@" & main=$!
wait $main; code=$?
wait $other && exit $code
exit 1
"""


@pytest.mark.slow
def test_two_tasks_of_slurm_on_one_node_are_one_run(unbroken, elsewhere, tmp_path, monkeypatch) -> None:
    """A launcher for each task by a stand-in for srun; hardware.nodes counts the tasks."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text(SRUN)
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr("platform.node", lambda: "127.0.0.1")
    run, kept = frozen_run(tmp_path / "root", "hardware.nodes=2"), signal.getsignal(signal.SIGTERM)
    try:
        assert process_group.execute(str(run.path), "agrae_lab.train") == "done"
    finally:
        signal.signal(signal.SIGTERM, kept)
    assert_same_results([runs.read_run(run.path)], unbroken[:1])


@pytest.mark.slow
def test_twenty_kills_at_random_points_change_nothing(tmp_path: Path) -> None:
    """Of the controller, the fork server, workers, launchers and the runs' processes."""
    settings = {"seeds": (0, 1), "num_steps": 30}
    broken, chance = Groups(tmp_path / "broken", **settings), random.Random(0)

    def num_attempts() -> int:
        return sum(len(run.meta.get("attempts", ())) for run in broken.runs())

    try:
        launch = broken.start()
        for i in range(20):
            begun = num_attempts()
            if i % 2:  # every other kill meets a run that trains; the others may meet a start
                wait_until(lambda: num_attempts() > begun or launch.poll() is not None)  # noqa: B023
            time.sleep(chance.uniform(0.0, 10.0))
            if launch.poll() is not None:
                launch.communicate()
                launch = broken.start()
            wait_until(lambda: everything_below(launch.pid) or launch.poll() is not None)  # noqa: B023
            victims = [psutil.Process(launch.pid), *everything_below(launch.pid)] if launch.poll() is None else []
            if victims:
                with suppress(psutil.NoSuchProcess):
                    chance.choice(victims).kill()
        for _ in range(10):
            out, _ = launch.communicate(timeout=1800)
            if launch.returncode == 0:
                break
            launch = broken.start()
        assert launch.returncode == 0, out
    finally:
        broken.stop()
    assert_same_results(broken.runs(), Groups(tmp_path / "unbroken", **settings).finish(seconds=1800))
    assert num_attempts() > 2  # the kills have met runs
