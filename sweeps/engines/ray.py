"""Engine of a Ray cluster: each run is a task on a machine with room for it; the command stays until all have ended.

The local executor starts a process for each run, as always; this process only sends the run to the cluster and waits.
So retries, stop rules, displays and Ctrl-C work as in any sweep. Ray fixes the versions of many packages and needs an
environment of its own: this project with its extra `ray`, on every machine, with one shared disk.

A run on several machines gets a placement group, a bundle on each: the task on the first executes the run with its
share of the processes, those on the others start a launcher each.

`resources.options`: address (of a cluster; else the one in RAY_ADDRESS, else this machine), num_cpus and num_gpus of a
process (num_gpus may be a fraction; by default one where a run has several processes that are not on the CPU).
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from agrae_lab import runs
from agrae_lab.node import ADDRESS_VARIABLE, node_command
from agrae_lab.runs import launchers
from agrae_lab.runs.processes import Layout
from sweeps.engines import check_options, job
from sweeps.errors import PlanError
from sweeps.execution import executor
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import Outcome
from sweeps.execution.slots import Slot
from sweeps.execution.worker import BUSY_EXIT, GRACE_SECONDS

OPTIONS: Mapping[str, Any] = {"address": None, "num_cpus": 1, "num_gpus": 0}
ANSWER_SECONDS = 10.0
STEP_SECONDS = 1.0  # between looks at a process, which ray.cancel can end
LOSS_SECONDS = 10.0  # within which the other processes of a run notice that one is lost
TASK_VARIABLE = "AGRAE_LAB_RAY"  # environment variable with the cluster's address and the settings of its tasks


def check(options: Mapping[str, Any], retry_policy: RetryPolicy) -> None:
    """Implement sweeps.engines.Engine.check."""
    if importlib.util.find_spec("ray") is None:
        how = "install it in an environment of its own on every machine: pip install 'agrae-lab[ray]'"
        raise PlanError([f"resources.engine is ray, which is not installed; {how}"])
    check_options("ray", options, OPTIONS)
    if not any({**OPTIONS, **options}[name] for name in ("num_cpus", "num_gpus")):
        raise PlanError(["resources.options: num_cpus and num_gpus are 0; a run takes some of one, as num_cpus: 1"])
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
        task = {"address": context.address_info["gcs_address"], "needs": needs, "gpus_given": "num_gpus" in options}
        task_json = json.dumps({**task, "train_module": train_module, "preload": list(preload)})
        todo = list(todo)
        largest = max(
            (node_needs(run.config, task) for run in todo), key=lambda needed: sum(needed.values()), default=needs
        )
        num_nodes = max((Layout.of(run.config).nodes for run in todo), default=1)
        room = max(1, _num_slots(ray.cluster_resources(), largest) // num_nodes)
        slots = [_ClusterSlot(1, gpu=None, task=task_json)] * (num_slots or room)
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
    config = runs.read_run(run_dir).config
    num_threads = max(1, int(settings["needs"]["num_cpus"]))
    job_of_run = job.Job(
        run_dir, settings["train_module"], settings["preload"], num_threads, retries=0, timeout_seconds=None
    )
    ray.init(address=settings["address"], log_to_driver=False)
    signal.signal(signal.SIGTERM, _raise_stopped)  # in place of Ray's own
    tasks: list[Any] = []
    group = None
    try:
        if Layout.of(config).nodes == 1:
            tasks = [ray.remote(max_retries=0, **node_needs(config, settings))(run_job).remote(job_of_run)]
        else:
            group = _placement_group(config, settings)
            tasks = _start_on_machines(job_of_run, group, config, settings)
        code = _wait(tasks)
    except RayError as error:
        raise ConnectionError(f"the Ray cluster has lost the run: {_first_line(error)}") from error
    finally:
        for task in tasks:
            ray.cancel(task)
        if tasks:
            ray.wait(tasks, num_returns=len(tasks), timeout=GRACE_SECONDS)
        if group is not None:
            ray.util.remove_placement_group(group)
    if code == BUSY_EXIT:
        raise runs.RunBusyError(f"{run_dir}: another process is running it")
    if code != 0:
        sys.exit(code)
    return runs.read_run(run_dir).status


def _wait(tasks: Sequence[Any]) -> int:
    """Return the exit code of a run's first task; 128 + SIGKILL if it does not notice the failure of another's.

    The tasks of further machines have launchers alone: their processes are lost with them.
    """
    import ray

    left = list(tasks)
    while True:
        ended, left = ray.wait(left)
        code: int = ray.get(ended[0])
        if ended[0] == tasks[0]:
            return code
        if code != 0:
            noticed, _ = ray.wait([tasks[0]], timeout=LOSS_SECONDS)
            if noticed:
                return int(ray.get(tasks[0]))
            lost = f"the processes of machine {tasks.index(ended[0])} ended with exit code {code}"
            print(f"=== {lost}; those of machine 0 did not notice and are stopped", flush=True)
            return 128 + signal.SIGKILL


def node_needs(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, float]:
    """Return what a run takes of each of its machines, by the names of Ray's options."""
    layout, needs = Layout.of(config), settings["needs"]
    on_cpu = (config.get("hardware") or {}).get("device") == "cpu"
    num_gpus = 1 if layout.processes > 1 and not on_cpu and not settings["gpus_given"] else needs["num_gpus"]
    return {"num_cpus": needs["num_cpus"] * layout.per_node, "num_gpus": num_gpus * layout.per_node}


def _placement_group(config: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """Reserve a bundle on each of the run's machines, and wait for them."""
    import ray

    needs = node_needs(config, settings)
    bundle = {name: amount for name, amount in (("CPU", needs["num_cpus"]), ("GPU", needs["num_gpus"])) if amount}
    group = ray.util.placement_group([bundle] * Layout.of(config).nodes, strategy="STRICT_SPREAD")
    ray.get(group.ready())
    return group


def _start_on_machines(
    job_of_run: job.Job, group: Any, config: Mapping[str, Any], settings: Mapping[str, Any]
) -> list[Any]:
    """Start the run on the first machine of a placement group, and a launcher on each other; return their tasks."""
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    def on_machine(node: int, function: Callable[..., Any]) -> Any:
        place = PlacementGroupSchedulingStrategy(placement_group=group, placement_group_bundle_index=node)
        return ray.remote(max_retries=0, scheduling_strategy=place, **node_needs(config, settings))(function)

    address = ray.get(on_machine(0, free_address).remote())
    main = on_machine(0, run_job).remote(job_of_run, address)
    program = ["-m", "agrae_lab.process", job_of_run.train_module, job_of_run.run_dir]
    nodes = range(1, Layout.of(config).nodes)
    return [main, *(on_machine(i, run_node).remote(job_of_run.run_dir, i, address, program) for i in nodes)]


def free_address() -> str:
    """Return `<host>:<port>` of a free port of the machine that executes this task."""
    import ray

    return f"{ray.util.get_node_ip_address()}:{launchers.free_port()}"


def run_node(run_dir: str, node: int, address: str, program: list[str]) -> int:
    """Start a further machine's launcher in a worker of the cluster and return its exit code."""
    with (Path(run_dir) / "log.txt").open("ab") as log:
        words = node_command(run_dir, node, address, program)
        process = subprocess.Popen(words, env=launchers.environment(), stdout=log, stderr=log)
    try:
        return _wait_in_steps(process)
    except KeyboardInterrupt:  # ray.cancel
        process.terminate()
        process.wait()
        raise


def run_job(job_of_run: job.Job, address: str | None = None) -> int:
    """Execute a job in a worker of the cluster and return its exit code.

    Args:
        address: of machine 0, which this is, for runs on several machines.
    """
    if address is not None:
        os.environ[ADDRESS_VARIABLE] = address
    with job.start(job_of_run) as process:
        try:
            return _wait_in_steps(process)
        except KeyboardInterrupt:  # ray.cancel
            job.stop(process)
            raise


def _wait_in_steps(process: subprocess.Popen[bytes]) -> int:
    """Return a process's exit code. Waits in steps: ray.cancel interrupts Python's code, but no system call."""
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=STEP_SECONDS)


def _num_slots(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    """Return the number of runs at a time for which the cluster has room."""
    found = {"num_cpus": resources.get("CPU", 0.0), "num_gpus": resources.get("GPU", 0.0)}
    return max(1, min(int(found[name] // needs[name]) for name in needs if needs[name]))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _raise_stopped(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)
