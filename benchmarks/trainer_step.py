"""A step of the shared trainer, recording and all, against stock TRL on the same model, batch and machine."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from datasets import Dataset
from hydra import compose, initialize_config_dir
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, freeze, problem_sets, register_advantages
from agrae_lab.models.load import load_model
from agrae_lab.tasks import load_task
from agrae_lab.training.train import build_trainer, trl_config
from agrae_lab.training.trainer import TaskReward

STEPS = 12
ROUNDS = 3  # ours and stock by turns


class StepTimes(TrainerCallback):
    """Seconds from one generation batch to the next."""

    def __init__(self, updates: int) -> None:
        self._updates, self._last, self.seconds = updates, 0.0, []

    def on_step_begin(self, args, state, control, **unused):
        if state.global_step % self._updates == 0:
            now = time.perf_counter()
            if self._last:
                self.seconds.append(now - self._last)
            self._last = now


def main() -> None:
    register_advantages()
    ours: list[float] = []
    stock: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as root:
            config = _config(root)
            ours += _timed(_our_trainer(config), config)
            stock += _timed(_stock_trainer(config), config)
    ratio = statistics.median(ours) / statistics.median(stock)
    print(
        f"trainer step, nano world, 64 × 8: ours {statistics.median(ours):.3f} s, "
        f"stock TRL {statistics.median(stock):.3f} s, ratio {ratio:.3f}"
    )


def _config(root: str) -> dict:
    overrides = [f"root={root}", f"train.num_steps={STEPS}", "train.checkpoint_every=1000", "train.validate_every=0"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return freeze(compose("config", overrides=[*overrides, "advantage=a_grae"]))


def _our_trainer(config: dict) -> GRPOTrainer:
    run = runs.read_run(runs.create_run(config))
    return build_trainer(run, problem_sets(config))


def _stock_trainer(config: dict) -> GRPOTrainer:
    model, tokenizer = load_model(config["model"]["path"], dtype=config["model"]["dtype"])
    task, problems = load_task(config["task"]["name"]), problem_sets(config)["train"]
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        args=trl_config(config, Path(config["root"]) / "stock"),
        train_dataset=Dataset.from_list([{"problem_id": p["id"], "prompt": task.prompt(p)} for p in problems]),
        reward_funcs=TaskReward(task, {p["id"]: p for p in problems}),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _timed(trainer: GRPOTrainer, config: dict) -> list[float]:
    times = StepTimes(config["train"]["num_minibatches"])
    trainer.add_callback(times)
    trainer.train()
    return times.seconds[2:]  # the first steps warm up
