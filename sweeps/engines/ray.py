"""Engine of a Ray cluster: each run is a task on a machine with room for it; the command stays until all have ended.

The local executor starts a process for each run, as always; this process only sends the run to the cluster and waits.
So retries, stop rules, displays and Ctrl-C work as in any sweep. Ray fixes the versions of many packages and needs an
environment of its own: this project with its extra `ray`, on every machine, with one shared disk.

`resources.options`: address (of a cluster; else the one in RAY_ADDRESS, else this machine), num_cpus and num_gpus of a
run (num_gpus may be a fraction).
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from agrae_lab import runs
from sweeps.engines import check_options, job
from sweeps.errors import PlanError
from sweeps.execution import executor
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import Outcome
from sweeps.execution.slots import Slot
from sweeps.execution.worker import BUSY_EXIT, GRACE_SECONDS

OPTIONS: Mapping[str, Any] = {"address": None, "num_cpus": 1, "num_gpus": 0}
ANSWER_SECONDS = 10.0
TASK_VARIABLE = "AGRAE_LAB_RAY"  # environment variable with the cluster's address and the settings of its tasks


def check(options: Mapping[str, Any], retry_policy: RetryPolicy) -> None:
    """Implement sweeps.engines.Engine.check."""
    if importlib.util.find_spec("ray") is None:
        how = "install it in an environment of its own on every machine: pip install 'agrae-lab[ray]'"
        raise PlanError([f"resources.engine is ray, which is not installed; {how}"])
    check_options("ray", options, OPTIONS)
    if address := options.get("address"):
        _check_address(address)


def _check_address(address: str) -> None:
    """Check that a cluster answers there; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        text = f"resources.options.address is {address!r}, where no Ray cluster answers ({error}); it is <host>:<port>"
        raise PlanError([text]) from error


def run_all(
    todo: Iterable[runs.Run],
    *,
    num_slots: int | None,
    options: Mapping[str, Any],
    train_module: str,
    preload: Sequence[str],
    display: executor.Display,
    retry_policy: RetryPolicy,
) -> tuple[list[Outcome], bool]:
    """Implement sweeps.engines.Engine.run_all."""
    import ray

    settings = {**OPTIONS, **options}
    context = ray.init(address=settings["address"], log_to_driver=False)
    try:
        needs = {name: settings[name] for name in ("num_cpus", "num_gpus")}
        task = {"address": context.address_info["gcs_address"], "needs": needs}
        task_json = json.dumps({**task, "train_module": train_module, "preload": list(preload)})
        slots = [_ClusterSlot(1, gpu=None, task=task_json)] * (num_slots or _num_slots(ray.cluster_resources(), needs))
        return executor.run_all(
            todo, slots=slots, train_module=__name__, preload=(), display=display, retry_policy=retry_policy
        )
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class _ClusterSlot(Slot):
    """Slot on the cluster. Its process on this machine gets the task's settings by an environment variable."""

    task: str = ""
    is_elsewhere = True

    def environment(self, processes: int = 1) -> dict[str, str]:
        return {**super().environment(processes), TASK_VARIABLE: self.task}


def execute(run_dir: str) -> str:
    """Run one run on the cluster and wait; called by sweeps.execution.worker in the run's process on this machine.

    Raises:
        ConnectionError: the cluster has lost the task.
        SystemExit: the run is not done; with its exit code on the cluster.
    """
    import ray
    from ray.exceptions import RayError

    settings = json.loads(os.environ[TASK_VARIABLE])
    num_threads = max(1, int(settings["needs"]["num_cpus"]))
    one = job.Job(run_dir, settings["train_module"], settings["preload"], num_threads, retries=0, timeout_seconds=None)
    ray.init(address=settings["address"], log_to_driver=False)
    signal.signal(signal.SIGTERM, _raise_stopped)  # in place of Ray's own
    task = ray.remote(max_retries=0, **settings["needs"])(run_job).remote(one)
    try:
        code = ray.get(task)
    except RayError as error:
        raise ConnectionError(f"the Ray cluster has lost the run: {_first_line(error)}") from error
    finally:
        ray.cancel(task)
        ray.wait([task], timeout=GRACE_SECONDS)
    if code == BUSY_EXIT:
        raise runs.RunBusyError(f"{run_dir}: another process is running it")
    if code != 0:
        sys.exit(code)
    return runs.read_run(run_dir).status


def run_job(one: job.Job) -> int:
    """Execute a job in a worker of the cluster and return its exit code."""
    process = job.start(one)
    try:
        return job.wait(process)
    except KeyboardInterrupt:  # ray.cancel
        job.stop(process)
        raise


def _num_slots(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """Return the number of runs at a time for which the cluster has room."""
    found = {"num_cpus": resources.get("CPU", 0.0), "num_gpus": resources.get("GPU", 0.0)}
    return max(1, min(int(found[name] // needs[name]) for name in needs if needs[name]))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _raise_stopped(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
