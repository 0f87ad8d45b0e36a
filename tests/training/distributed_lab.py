"""Runs of several processes on one machine (gloo), and runs that train on the rollouts of another run.

    python -m tests.training.distributed_lab execute <run>
    python -m tests.training.distributed_lab replay <run> <source> <last step> [<run> <source> <last step> ...]

A replayed run samples nothing: every process takes its share of the rollouts that `source` has recorded, so that
nothing but the number of processes tells two runs apart.
"""

import functools
import os
import socket
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

from agrae_lab import runs
from agrae_lab.config import problem_sets
from agrae_lab.lifecycle import execute
from agrae_lab.training import session
from agrae_lab.training.trainer import AdvantageTrainer
from tests.forked import Forked

EXECUTE = ("-m", "tests.training.distributed_lab", "execute")
REPLAY = ("-m", "tests.training.distributed_lab", "replay")


@contextmanager
def processes(*command, num=2, **environment):
    """`python <command>` as ranks 0 … num − 1 of one world, without a launcher that would end them together."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(num), "LOCAL_WORLD_SIZE": str(num)}
    started = [
        Forked(*command, env={**os.environ, **world, **environment, "RANK": str(i), "LOCAL_RANK": str(i)})
        for i in range(num)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def run_processes(*command, **environment) -> None:
    """Start them and wait until all have ended well."""
    with processes(*command, **environment) as started:
        for process in started:
            _, errors = process.communicate(timeout=400)
            assert process.returncode == 0, errors


class OutOfRollouts(RuntimeError):
    """The source's rollouts end here."""


@contextmanager
def replaying(source: Path, last_step: int):
    """Inside this block, runs train on the rollouts of `source` up to `last_step`, and fail after it."""

    class Replaying(AdvantageTrainer):
        def _generate_single_turn(self, prompt_ids, *arguments, **keywords):
            step = self._batch.step
            if step > last_step:
                raise OutOfRollouts(f"no rollouts of step {step}")
            recorded = pd.read_parquet(source / "rollouts" / f"step-{step:06d}.parquet")
            start = self.accelerator.process_index * len(prompt_ids)
            mine = recorded.iloc[start : start + len(prompt_ids)]
            assert self._batch.problem_ids_n == mine["prompt_id"].tolist()
            end = self._tokenizer.eos_token_id
            texts = self._tokenizer(mine["completion"].tolist())["input_ids"]
            ids = [text if cut else [*text, end] for text, cut in zip(texts, mine["truncated"], strict=True)]
            assert [len(x) for x in ids] == mine["n_tokens"].tolist()  # a token that is not text would be lost
            return ids, None

    original = session.AdvantageTrainer
    session.AdvantageTrainer = Replaying
    try:
        yield
    finally:
        session.AdvantageTrainer = original


def replay(run_dir: Path, source: Path, last_step: int) -> None:
    """Train a run (and evaluate nothing) on rollouts of `source`."""
    run = runs.read_run(run_dir)
    with replaying(source, last_step):
        session.train(run, problem_sets(run.config))


FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "Qwen2DecoderLayer",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}


def allow_fsdp_on_cpu() -> None:
    """accelerate switches FSDP on for accelerators only; torch's own code works on a CPU too."""
    from accelerate.state import AcceleratorState, DistributedType, PartialState

    original = AcceleratorState.__init__

    @functools.wraps(original)
    def with_fsdp(self, *arguments, fsdp_plugin=None, **keywords):
        original(self, *arguments, fsdp_plugin=fsdp_plugin, **keywords)
        if fsdp_plugin is not None:
            self.fsdp_plugin = fsdp_plugin
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = with_fsdp


def main(command: str, *words: str) -> None:
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        allow_fsdp_on_cpu()
    if command == "execute":
        execute(*words)
        return
    for run_dir, source, last_step in zip(*[iter(words)] * 3, strict=True):
        with suppress(OutOfRollouts):
            replay(Path(run_dir), Path(source), int(last_step))


if __name__ == "__main__":
    main(*sys.argv[1:])
