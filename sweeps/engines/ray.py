"""A Ray cluster: each run is a task, on whichever of its machines has room; the command stays until all are over.

The local executor carries this through: of each run it has a process as always, which only hands the run on and waits.
So retries, stop rules, displays and Ctrl-C are those of any sweep. Ray fixes versions of many packages and therefore
has an environment of its own: this project and its extra `ray`, on every machine, which all see the same disk.

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
from sweeps.execution.retry_policy import Policy
from sweeps.execution.slots import Slot
from sweeps.execution.worker import BUSY_EXIT, GRACE_SECONDS

OPTIONS: Mapping[str, Any] = {"address": None, "num_cpus": 1, "num_gpus": 0}
ANSWER_SECONDS = 10.0
HOW = "AGRAE_LAB_RAY"  # variable by which the processes of the runs know the cluster and what to do there


def check(options: Mapping[str, Any], policy: Policy) -> None:
    """As sweeps.engines.Engine.check."""
    if importlib.util.find_spec("ray") is None:
        where = "in an environment of its own, on every machine"
        raise PlanError([f"resources.engine is ray, which is not installed: install agrae-lab[ray] {where}"])
    check_options("ray", options, OPTIONS)
    if address := options.get("address"):
        _check_answers(address)


def _check_answers(address: str) -> None:
    """Ray itself would try for minutes."""
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
    policy: Policy,
) -> tuple[list[executor.Outcome], bool]:
    """As sweeps.engines.Engine.run_all."""
    import ray

    settings = {**OPTIONS, **options}
    context = ray.init(address=settings["address"], log_to_driver=False)
    try:
        needs = {name: settings[name] for name in ("num_cpus", "num_gpus")}
        how = {"address": context.address_info["gcs_address"], "needs": needs}
        how_all = json.dumps({**how, "train_module": train_module, "preload": list(preload)})
        slots = [_Slot(1, gpu=None, how=how_all)] * (num_slots or _room(ray.cluster_resources(), needs))
        return executor.run_all(todo, slots=slots, train_module=__name__, preload=(), display=display, policy=policy)
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class _Slot(Slot):
    """Room for one run on the cluster: its process here is told how to get there."""

    how: str = ""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), HOW: self.how}


def execute(run_dir: str) -> str:
    """Have the cluster carry one run through; what sweeps.execution.worker calls in the run's process here.

    Raises:
        ConnectionError: the cluster has lost the task.
        SystemExit: the run is not done; by the same code with which it ended there.
    """
    import ray
    from ray.exceptions import RayError

    how = json.loads(os.environ[HOW])
    num_threads = max(1, int(how["needs"]["num_cpus"]))
    one = job.Job(run_dir, how["train_module"], how["preload"], num_threads, retries=0, timeout_seconds=None)
    ray.init(address=how["address"], log_to_driver=False)
    signal.signal(signal.SIGTERM, _raise_stopped)  # in place of Ray's own
    task = ray.remote(max_retries=0, **how["needs"])(carry).remote(one)
    try:
        code = ray.get(task)
    except RayError as error:
        raise ConnectionError(f"the Ray cluster has lost the run: {_first_line(error)}") from error
    finally:
        ray.cancel(task)
        ray.wait([task], timeout=GRACE_SECONDS)
    if code == BUSY_EXIT:
        raise runs.RunBusyError(f"{run_dir} is in use by another process")
    if code != 0:
        sys.exit(code)
    return runs.read_run(run_dir).status


def carry(one: job.Job) -> int:
    """What a worker of the cluster does."""
    process = job.start(one)
    try:
        return job.wait(process)
    except KeyboardInterrupt:  # ray.cancel
        job.stop(process)
        raise


def _room(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """How many runs the whole cluster carries at a time."""
    found = {"num_cpus": resources.get("CPU", 0.0), "num_gpus": resources.get("GPU", 0.0)}
    return max(1, min(int(found[name] // needs[name]) for name in needs if needs[name]))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _raise_stopped(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
