"""Engine of a Slurm cluster, through submitit.

    submit    one job array over the runs that are neither finished nor queued; then the command ends
    execute   each array task executes one run (sweeps.engines.job), on a node chosen by Slurm
    requeue   shortly before a task's time is up, Slurm sends a signal (SIGUSR2): the run stops ("interrupted"), the
              task returns to the queue, and the run resumes from its last checkpoint. After a preemption or the loss
              of a node, Slurm requeues by itself
    collect   the status of each run is in its directory, as always; the same command submits the unfinished ones again

`resources.options` are those of submitit's SlurmExecutor, by its names: partition, time (minutes), mem, gpus_per_node,
account, constraint, setup, ...
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agrae_lab import runs
from agrae_lab.runs.processes import Layout
from sweeps.engines import check_options, job
from sweeps.errors import PlanError
from sweeps.execution.executor import Display
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import BUSY, Outcome

if TYPE_CHECKING:
    import submitit

QUEUED = "queued"  # outcome of a run that waits or runs in the cluster
TASK_FILE = "slurm.json"  # in a run directory: {"element": id of the array task last submitted for it}
FIXED_PARAMETERS = (
    "array_parallelism",
    "nodes",
    "ntasks_per_node",
)  # set by resources.slots and by the processes of a run
SIGNAL_DELAY = 90  # submitit's default of signal_delay_s
NUM_REQUEUES = 10  # of a run, before the user has to submit it again
ANSWER_SECONDS = 60
MAX_ARRAY = 1000  # Slurm's default MaxArraySize is 1001
DEFAULTS: Mapping[str, Any] = {"job_name": "sweep", "time": 60, "cpus_per_task": 1, "stderr_to_stdout": True}


def check(options: Mapping[str, Any], retry_policy: RetryPolicy) -> None:
    """Implement sweeps.engines.Engine.check."""
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise PlanError(["resources.engine is slurm, which needs submitit: pip install 'agrae-lab[slurm]'"]) from error
    check_options("slurm", options, SlurmExecutor._valid_parameters() - set(FIXED_PARAMETERS))
    check_stop_rules(retry_policy)
    _check_time(options)
    if missing := [tool for tool in ("sbatch", "srun", "squeue") if shutil.which(tool) is None]:
        where = "run this on a login node of the cluster"
        raise PlanError([f"resources.engine is slurm, but this machine has no {missing[0]}; {where}"])


def _check_time(options: Mapping[str, Any]) -> None:
    """Refuse a time of the job within which Slurm's signal to stop would come at once.

    Raises:
        PlanError: the time, in minutes, is no longer than signal_delay_s.
    """
    minutes, delay = options.get("time", DEFAULTS["time"]), options.get("signal_delay_s", SIGNAL_DELAY)
    if isinstance(minutes, int | float) and isinstance(delay, int | float) and 60 * minutes <= delay:
        fault = (
            f"resources.options.time is {minutes:g} minutes, but Slurm asks a run to stop {delay:g} s before its end"
        )
        raise PlanError([f"{fault}; give at least {int(delay // 60) + 1} minutes, or a smaller signal_delay_s"])


def check_stop_rules(retry_policy: RetryPolicy) -> None:
    """Refuse stop rules that need a running command: it ends once the jobs are submitted.

    Raises:
        PlanError: such a rule is set.
    """
    rules = {
        "fail_fast": retry_policy.fail_fast,
        "max_failures": retry_policy.max_failures,
        "wall_hours": retry_policy.deadline_seconds,
    }
    for name, value in rules.items():
        if value:
            why = "with engine slurm, whose command ends once the jobs are submitted"
            raise PlanError([f"stop.{name} has no effect {why}; leave it out"])


def run_all(
    todo: Sequence[runs.Run],
    *,
    num_slots: int | None,
    options: Mapping[str, Any],
    train_module: str,
    preload: Sequence[str],
    display: Display,
    retry_policy: RetryPolicy,
) -> tuple[list[Outcome], bool]:
    """Implement sweeps.engines.Engine.run_all; the outcomes are QUEUED, or BUSY for runs in progress elsewhere.

    Raises:
        PlanError: Slurm rejects the jobs.
    """
    outcomes, unqueued = split_queued(todo, queued_tasks())
    if not unqueued:
        return outcomes, False
    chosen = {**DEFAULTS, **options, **({} if num_slots is None else {"array_parallelism": num_slots})}
    job_settings = {
        "train_module": train_module,
        "preload": preload,
        "num_threads": chosen["cpus_per_task"],
        "retry_policy": retry_policy,
    }
    alike: dict[str, list[tuple[Path, job.Job]]] = {}  # the elements of an array take the same machines
    for run in unqueued:
        settings = json.dumps(run_settings(run, chosen))
        alike.setdefault(settings, []).append((run.path, job.Job.for_run(run, **job_settings)))
    tasks = []
    for settings, jobs in alike.items():
        tasks += submit_arrays(todo[0].root / "slurm", json.loads(settings), jobs)
    print(f"submitted {len(unqueued)} runs to Slurm ({tasks[0]} to {tasks[-1]}). After their end,")
    print(f"the same command submits the unfinished ones; `python -m sweeps status {todo[0].root}` shows their status")
    return [*outcomes, *(Outcome(run, QUEUED, 0.0) for run in unqueued)], False


def run_settings(run: runs.Run, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return submitit's parameters for a run: a task on each of its machines' first, with all their GPUs and cores.

    Args:
        settings: of one process; cpus_per_task counts for each process of a run.
    """
    layout = Layout.of(run.config)
    if layout.processes == 1:
        return dict(settings)
    own = {**settings, "cpus_per_task": settings["cpus_per_task"] * layout.per_node}
    if (run.config.get("hardware") or {}).get("device") != "cpu":
        own.setdefault("gpus_per_node", layout.per_node)
    if layout.nodes > 1:  # the task on the first machine starts a launcher on each by an srun of its own
        own |= {"nodes": layout.nodes, "ntasks_per_node": 1, "srun_args": ["--nodes=1", "--ntasks=1"]}
    return own


def queued_tasks() -> frozenset[str]:
    """Return the ids of this user's array tasks that wait or run in Slurm.

    Raises:
        PlanError: Slurm does not answer.
    """
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise PlanError([f"squeue has not answered in {ANSWER_SECONDS} s; is the cluster up?"]) from error
    except subprocess.CalledProcessError as error:
        raise PlanError([f"squeue failed: {_last_line(error.stderr)}"]) from error
    return frozenset(listed.stdout.split())


def split_queued(todo: Sequence[runs.Run], queued: Collection[str]) -> tuple[list[Outcome], list[runs.Run]]:
    """Return the outcomes of the runs that are queued or in progress, and the other runs, which are to be submitted."""
    outcomes, unqueued = [], []
    for run in todo:
        if _recorded_task(run) in queued:
            outcomes.append(Outcome(run, QUEUED, 0.0))
        elif run.is_locked():
            outcomes.append(Outcome(run, BUSY, 0.0))
        else:
            unqueued.append(run)
    return outcomes, unqueued


def _recorded_task(run: runs.Run) -> str | None:
    """Return the task last submitted for a run; None without a record, or where a crash has damaged it."""
    with suppress(runs.RunError):
        return runs.read_json_if_any(run.path / TASK_FILE).get("element")
    return None


def submit_arrays(folder: Path, settings: Mapping[str, Any], todo: Sequence[tuple[Path, job.Job]]) -> list[str]:
    """Submit the jobs of these run directories, write the task id of each into its directory, and return the ids.

    Beyond MAX_ARRAY jobs, each further array waits for the one before.

    Raises:
        PlanError: Slurm rejects them.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    executor = submitit.SlurmExecutor(folder, max_num_timeout=NUM_REQUEUES)
    executor.update_parameters(**settings)
    tasks: list[str] = []
    for at in range(0, len(todo), MAX_ARRAY):
        part = todo[at : at + MAX_ARRAY]
        try:
            submitted = submit(executor, [array_job for _, array_job in part])
        except FailedJobError as error:
            raise PlanError([f"Slurm refuses the jobs: {_last_line(str(error))}"]) from error
        for (run_dir, _), task in zip(part, submitted, strict=True):
            runs.write_json(run_dir / TASK_FILE, {"element": task})
        tasks += submitted
        executor.update_parameters(dependency=f"afterany:{tasks[-1].partition('_')[0]}")
    return tasks


def submit(executor: submitit.Executor, jobs: Sequence[job.Job]) -> list[str]:
    """Submit the jobs together through submitit and return their ids."""
    with executor.batch():
        submitted = [executor.submit(ArrayTask(array_job)) for array_job in jobs]
    return [sent.job_id for sent in submitted]


class ArrayTask:
    """Function that submitit runs on a node; it owns one job's process there."""

    def __init__(self, one: job.Job) -> None:
        self._job = one
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Execute the run.

        Raises:
            SystemExit: it is not done; Slurm then reports FAILED.
        """
        process = self._process = job.start(self._job)
        signal.signal(signal.SIGTERM, lambda *_: job.ask_to_stop(process))  # cancelled or preempted
        if (code := job.wait(process)) != 0:
            sys.exit(code)

    def checkpoint(self) -> Any:
        """Stop the run and return the task to be requeued; submitit calls this when the time is nearly up."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            job.stop(self._process)
        return DelayedSubmission(ArrayTask(self._job))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]
