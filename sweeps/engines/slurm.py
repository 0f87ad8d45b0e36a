"""Slurm, through submitit: submit → exit → collect.

    submit    one job array over the runs that are neither finished nor in the queue already; then the command ends
    work      each element of the array carries one run through (sweeps.engines.job), on the node that Slurm gives it
    requeue   a while before an element's time is up, Slurm says so: its run is stopped ("interrupted"), and the
              element goes back into the queue, to continue from the last checkpoint. After a preemption, or when a
              node is lost, Slurm requeues by itself
    collect   run directories tell how far they are, as always; the same command again submits what is left then

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agrae_lab import runs
from sweeps.engines import check_options, job
from sweeps.errors import PlanError
from sweeps.execution.executor import BUSY, Display, Outcome
from sweeps.execution.retry_policy import Policy

if TYPE_CHECKING:
    import submitit

QUEUED = "queued"  # outcome of a run that waits for its turn, or is at work, in the cluster
RECORD = "slurm.json"  # in a run directory: the element that was last submitted for it
OURS = ("array_parallelism", "nodes", "ntasks_per_node")  # resources.slots; a run is one process
NUM_REQUEUES = 10  # as often as a run's time may be up before a person has to submit it again
ANSWER_SECONDS = 60
MAX_ARRAY = 1000  # Slurm's MaxArraySize is 1001 unless its administrator says otherwise
DEFAULTS: Mapping[str, Any] = {"job_name": "sweep", "time": 60, "cpus_per_task": 1, "stderr_to_stdout": True}


def check(options: Mapping[str, Any], policy: Policy) -> None:
    """As sweeps.engines.Engine.check."""
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise PlanError(["resources.engine is slurm, which needs submitit: install agrae-lab[slurm]"]) from error
    check_options("slurm", options, SlurmExecutor._valid_parameters() - set(OURS))
    refuse_rules_of_a_controller(policy)
    if missing := [tool for tool in ("sbatch", "srun", "squeue") if shutil.which(tool) is None]:
        where = "run this on a login node of the cluster"
        raise PlanError([f"resources.engine is slurm, but this machine has no {missing[0]}; {where}"])


def refuse_rules_of_a_controller(policy: Policy) -> None:
    """Raises PlanError for stop rules that look at several runs: nobody is there to look."""
    rules = {"fail_fast": policy.fail_fast, "max_failures": policy.max_failures, "wall_hours": policy.deadline_seconds}
    for name, value in rules.items():
        if value:
            why = "with engine slurm the command ends once all is submitted"
            raise PlanError([f"stop.{name} needs a command that stays to watch, but {why}; drop it"])


def run_all(
    todo: Sequence[runs.Run],
    *,
    num_slots: int | None,
    options: Mapping[str, Any],
    train_module: str,
    preload: Sequence[str],
    display: Display,
    policy: Policy,
) -> tuple[list[Outcome], bool]:
    """As sweeps.engines.Engine.run_all; the outcomes are QUEUED, or BUSY for runs at work elsewhere.

    Raises:
        PlanError: Slurm refuses the jobs.
    """
    outcomes, fresh = sort_out(todo, queue())
    if not fresh:
        return outcomes, False
    settings = {**DEFAULTS, **options, **({} if num_slots is None else {"array_parallelism": num_slots})}
    how = {"train_module": train_module, "preload": preload, "num_threads": settings["cpus_per_task"], "policy": policy}
    elements = submit_arrays(todo[0].root / "slurm", settings, [(run.path, job.Job.of(run, **how)) for run in fresh])
    print(
        f"submitted {len(fresh)} runs to Slurm ({elements[0]} to {elements[-1]}); when they are over, the same command"
    )
    print(f"submits what is not done; `python -m sweeps status {todo[0].root}` shows how far they are")
    return [*outcomes, *(Outcome(run, QUEUED, 0.0) for run in fresh)], False


def queue() -> frozenset[str]:
    """The elements of ours that Slurm has, waiting or at work.

    Raises:
        PlanError: Slurm does not answer.
    """
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise PlanError([f"squeue has not answered in {ANSWER_SECONDS} s; is the cluster up?"]) from error
    except subprocess.CalledProcessError as error:
        raise PlanError([f"squeue failed: {_last_line(error.stderr)}"]) from error
    return frozenset(told.stdout.split())


def sort_out(todo: Sequence[runs.Run], queued: Collection[str]) -> tuple[list[Outcome], list[runs.Run]]:
    """What is in the queue or at work already, and the rest, which is to be submitted."""
    outcomes, fresh = [], []
    for run in todo:
        record = run.path / RECORD
        if record.is_file() and json.loads(record.read_text())["element"] in queued:
            outcomes.append(Outcome(run, QUEUED, 0.0))
        elif run.is_locked():
            outcomes.append(Outcome(run, BUSY, 0.0))
        else:
            fresh.append(run)
    return outcomes, fresh


def submit_arrays(folder: Path, settings: Mapping[str, Any], todo: Sequence[tuple[Path, job.Job]]) -> list[str]:
    """Submit the jobs of these run directories, and note there the element that each has become.

    Of more than MAX_ARRAY, each further array waits for the last.

    Raises:
        PlanError: Slurm refuses them.
    """
    import submitit
    from submitit.core.utils import FailedJobError

    executor = submitit.SlurmExecutor(folder, max_num_timeout=NUM_REQUEUES)
    executor.update_parameters(**settings)
    elements: list[str] = []
    for at in range(0, len(todo), MAX_ARRAY):
        part = todo[at : at + MAX_ARRAY]
        try:
            submitted = submit(executor, [one for _, one in part])
        except FailedJobError as error:
            raise PlanError([f"Slurm refuses the jobs: {_last_line(str(error))}"]) from error
        for (run_dir, _), element in zip(part, submitted, strict=True):
            runs.write_json(run_dir / RECORD, {"element": element})
        elements += submitted
        executor.update_parameters(dependency=f"afterany:{elements[-1].partition('_')[0]}")
    return elements


def submit(executor: submitit.Executor, jobs: Sequence[job.Job]) -> list[str]:
    """Have submitit submit the jobs together; their ids."""
    with executor.batch():
        submitted = [executor.submit(Element(one)) for one in jobs]
    return [one.job_id for one in submitted]


class Element:
    """What submitit carries to a node: it looks after one job's process there."""

    def __init__(self, one: job.Job) -> None:
        self._job = one
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Carry the run through.

        Raises:
            SystemExit: it is not done; Slurm then says FAILED, as it should.
        """
        process = self._process = job.start(self._job)
        signal.signal(signal.SIGTERM, lambda *_: job.ask_to_stop(process))  # cancelled or preempted
        if (code := job.wait(process)) != 0:
            sys.exit(code)

    def checkpoint(self) -> Any:
        """submitit calls this when the time is nearly up, and requeues what it returns."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            job.stop(self._process)
        return DelayedSubmission(Element(self._job))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]
