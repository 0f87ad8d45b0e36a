"""Evaluations of a run's policies on its benchmarks, and the shared evaluations of its base model.

An evaluation's directory is named by its identity (runs/identity.py). Later requests add samples there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agrae_lab import runs
from agrae_lab.evaluation.engines.base import Completions, Decoding, Engine
from agrae_lab.evaluation.sample import POLL_SECONDS, evaluate, num_samples_of
from agrae_lab.evaluation.streams import BASE_STREAM, policy_stream
from agrae_lab.models.load import fingerprint_model
from agrae_lab.models.memory import advise_when_out_of_memory, evaluation_advice
from agrae_lab.runs import Run, RunBusyError, RunError
from agrae_lab.runs.evaluated_steps import steps_to_keep
from agrae_lab.runs.processes import is_main, local_rank, num_local_processes, num_processes, rank
from agrae_lab.tasks import Problem, load_task

Sets = Mapping[str, Sequence[Problem]]


@dataclass(frozen=True)
class Policy:
    """A model to evaluate.

    path: model directory or hub name.
    stream: random stream of its training seed (streams.py).
    evaluations: folder of its evaluations, which are directories `<benchmark>-<hash8>/`.
    phase: name of the work in displays.
    """

    path: str
    fingerprint: str
    stream: int
    evaluations: Path
    phase: str

    def directory(self, config: Mapping[str, Any], benchmark: str) -> Path:
        """Return the directory of its evaluation on a benchmark."""
        identity = runs.evaluation_identity(config, benchmark, model=self.fingerprint, stream=self.stream)
        return self.evaluations / f"{benchmark}-{runs.evaluation_hash(identity)}"

    def lacking(self, config: Mapping[str, Any], sets: Sets) -> list[str]:
        """Return the config's benchmarks on which it has fewer samples than requested."""
        wanted = config["evaluation"]["num_samples"]

        def found(benchmark: str) -> int:
            return num_samples_of(self.directory(config, benchmark) / "samples.parquet", len(sets[benchmark]))

        return [name for name in config["evaluation"]["benchmarks"] if found(name) < wanted]


def trained_policy(run: Run) -> Policy:
    """Return the policy after the last step."""
    path = run.path / "model"
    stream = policy_stream(run.seed)
    return Policy(str(path), fingerprint_model(str(path)), stream, run.path / "eval", "evaluate")


def base_policy(run: Run) -> Policy:
    """Return the model that the run starts from."""
    path = run.config["model"]["path"]
    return Policy(path, fingerprint_model(path), BASE_STREAM, run.root / "base", "evaluate base")


def policy_after(run: Run, step: int) -> Policy:
    """Return the policy after a step of evaluation.at_steps.

    The first call writes its fingerprint to policy.json, which stays after its weights are deleted.

    Raises:
        RunError: training did not keep it, or policy.json is damaged.
    """
    folder, stream = run.policy_dir(step), policy_stream(run.seed)
    record = folder / "policy.json"
    if (folder / "model").is_dir() and not record.is_file():
        fingerprint = fingerprint_model(str(folder / "model"))
        runs.write_json(record, {"schema_version": runs.SCHEMA_VERSION, "step": step, "fingerprint": fingerprint})
    if not record.is_file():
        raise RunError(
            f"evaluation.at_steps asks for the policy after step {step} of {run.path}, which was not kept in training. "
            "Leave the step out, or train under another root"
        )
    if (known := runs.read_json_if_any(record).get("fingerprint")) is None:
        raise RunError(f"{record} is damaged: it holds no fingerprint. Delete it; it is made again from the weights")
    return Policy(str(folder / "model"), str(known), stream, folder / "eval", f"evaluate step {step}")


def check_at_steps(run: Run, sets: Sets) -> None:
    """Refuse evaluations at steps of a trained run whose policies are deleted.

    Raises:
        RunError: a policy is deleted; names the step.
    """
    for step in steps_to_keep(run.config):
        policy = policy_after(run, step)
        if not Path(policy.path).is_dir() and (lacking := policy.lacking(run.config, sets)):
            raise RunError(
                f"the policy after step {step} of {run.path} has been evaluated and deleted, so that {lacking[0]!r} "
                "cannot be added. Set evaluation.keep_policies=true before training, or evaluation.at_steps=null now"
            )


def evaluate_steps(
    run: Run, sets: Sets, *, on_progress: Callable[[str], Callable[[int, int], None]]
) -> dict[str, dict[str, str]]:
    """Evaluate the policies of evaluation.at_steps between first and last; return step → benchmark → directory.

    Deletes their weights afterwards, unless evaluation.keep_policies is set.
    """
    found = {}
    for step in steps_to_keep(run.config):
        policy = policy_after(run, step)
        evaluate_policy(run, policy, sets, on_progress=on_progress(policy.phase))
        found[str(step)] = evaluations_of(run, policy)
        if is_main() and not run.config["evaluation"].get("keep_policies"):
            shutil.rmtree(policy.path, ignore_errors=True)
    return found


def evaluations_of(run: Run, policy: Policy) -> dict[str, str]:
    """Return benchmark → directory of the policy's evaluation, relative to the run's."""
    names = run.config["evaluation"]["benchmarks"]
    return {name: str(policy.directory(run.config, name).relative_to(run.path)) for name in names}


def evaluate_policy(
    run: Run,
    policy: Policy,
    sets: Sets,
    *,
    benchmarks: Sequence[str] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Draw the missing samples of a policy's evaluations; all processes of the run share the work.

    Args:
        benchmarks: benchmarks to evaluate; None: all of the run's that lack samples.
    """
    config = run.config
    todo = policy.lacking(config, sets) if benchmarks is None else benchmarks
    shard = shard_of(config)
    if not todo or shard is None:
        return
    decoding = _decoding(config, policy.stream)
    advice = advise_when_out_of_memory(evaluation_advice(decoding.batch_size))
    with advice, closing(_LazyEngine(policy.path, config)) as engine:
        for name in todo:
            task = load_task(config["evaluation"]["benchmarks"][name]["task"], config["task"])
            directory = policy.directory(config, name)
            if shard[0] == 0:
                identity = runs.evaluation_identity(config, name, model=policy.fingerprint, stream=policy.stream)
                runs.write_json(directory / "evaluation.json", {"schema_version": runs.SCHEMA_VERSION, **identity})
            evaluate(
                engine, task, sets[name], decoding, directory, benchmark=name, shard=shard, on_progress=on_progress
            )


def evaluate_base(
    run: Run, sets: Sets, *, wait: bool, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, str]:
    """Evaluate the base model where no other run has; return benchmark → its samples, relative to the root.

    If another run holds an evaluation's lock, `wait` True waits for it, False skips it. Further processes of this run
    return {}; with `wait` they first help with the evaluations that its main process has locked.
    """
    base = base_policy(run)
    directories = {name: base.directory(run.config, name) for name in run.config["evaluation"]["benchmarks"]}
    if not is_main():
        if wait:
            _help_main_process(run, base, sets, on_progress)
        return {}
    with ExitStack() as locks:
        free = []
        for name in sorted(base.lacking(run.config, sets)):  # one order in all runs prevents deadlock
            try:
                locks.enter_context(runs.lock(directories[name], wait=wait))
                free.append(name)
            except RunBusyError:
                assert not wait
        todo = [
            name for name in base.lacking(run.config, sets) if name in free
        ]  # without those that another run has completed meanwhile
        try:
            for name in todo:
                (directories[name] / _HELPERS).write_text(_launch_id())
            evaluate_policy(run, base, sets, benchmarks=todo, on_progress=on_progress)
        finally:
            for name in todo:
                (directories[name] / _HELPERS).unlink(missing_ok=True)
    return {name: str((path / "samples.parquet").relative_to(run.root)) for name, path in directories.items()}


_HELPERS = ".helpers"  # file in an evaluation's directory with the id of the launch whose processes may help


def _help_main_process(run: Run, base: Policy, sets: Sets, on_progress: Callable[[int, int], None]) -> None:
    """Wait until all base evaluations exist, or help once the main process of this launch asks for it."""
    while todo := base.lacking(run.config, sets):
        if all(_asks_for_help(base.directory(run.config, name)) for name in todo):
            evaluate_policy(run, base, sets, benchmarks=todo, on_progress=on_progress)
            return
        time.sleep(POLL_SECONDS)


def _asks_for_help(evaluation: Path) -> bool:
    """Return whether the main process of this launch asks its further processes for help with an evaluation."""
    try:
        return (evaluation / _HELPERS).read_text() == _launch_id()
    except FileNotFoundError:
        return False


def _launch_id() -> str:
    """Return a text that the processes of one launch share and no other launch has."""
    names = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")
    one_machine = num_local_processes() == num_processes()
    return " ".join([*(os.environ.get(name, "") for name in names), str(os.getppid()) if one_machine else ""])


def shard_of(config: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (i, m), this process's share of an evaluation; None if its GPU serves another process's engine."""
    size = config["hardware"]["vllm"]["tensor_parallel"] if config["engine"] == "vllm" else 1
    return None if rank() % size else (rank() // size, max(num_processes() // size, 1))


def _decoding(config: Mapping[str, Any], stream: int) -> Decoding:
    keys = ("num_samples", "temperature", "top_p", "max_new_tokens", "batch_size", "seed")
    return Decoding(**{key: config["evaluation"][key] for key in keys}, stream=stream)


def _load_engine(path: str, config: Mapping[str, Any]) -> Engine:
    """Return the engine of the config with the model at `path`."""
    import torch

    if config["engine"] == "vllm":
        from agrae_lab.evaluation.engines.vllm import VllmEngine

        parallel = config["hardware"]["vllm"]["tensor_parallel"]
        return VllmEngine(path, dtype=config["model"]["dtype"], tensor_parallel=parallel)
    from agrae_lab.evaluation.engines.transformers import TransformersEngine
    from agrae_lab.models.load import load_model

    model: Any
    model, processing = load_model(path, dtype=config["model"]["dtype"])
    use_cuda = config["hardware"]["device"] != "cpu" and torch.cuda.is_available()
    device = f"cuda:{local_rank()}" if use_cuda else "cpu"
    return TransformersEngine(model.to(device).eval(), processing)


class _LazyEngine:
    """Engine that loads its model before the first completion.

    A process that has nothing to draw needs no model, and the main process may have deleted it by then.
    """

    def __init__(self, path: str, config: Mapping[str, Any]) -> None:
        self._path, self._config = path, config
        self._loaded: Engine | None = None

    def _engine(self) -> Engine:
        if self._loaded is None:
            self._loaded = _load_engine(self._path, self._config)
        return self._loaded

    def sample(self, prompts: Sequence[Any], decoding: Decoding, *, seeds: Sequence[int]) -> Completions:
        return self._engine().sample(prompts, decoding, seeds=seeds)

    def greedy(self, prompts: Sequence[Any], *, max_new_tokens: int) -> Completions:
        return self._engine().greedy(prompts, max_new_tokens=max_new_tokens)

    def close(self) -> None:
        if self._loaded is not None:
            self._loaded.close()
