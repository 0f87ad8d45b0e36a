"""Time of a step of the lab's trainer, with its records, against stock TRL on the same model, batch and machine.

The two trainers run in one process and take turns, one step each, so that other load on the machine slows both.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from hydra import compose, initialize_config_dir
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOTrainer

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, freeze, problem_sets
from agrae_lab.models.load import load_model
from agrae_lab.tasks import load_task
from agrae_lab.training.session import build_trainer
from agrae_lab.training.trl_config import trl_config

STEPS = 50
WARM_UP = 5


class TakesTurns(TrainerCallback):
    """Callback that times each step, from one generation batch to the next, then gives the other trainer its turn."""

    def __init__(self, updates: int, mine: threading.Semaphore, other: threading.Semaphore) -> None:
        self._updates, self._mine, self._other = updates, mine, other
        self._began = 0.0
        self.seconds: list[float] = []

    def on_step_begin(self, args, state, control, **unused):
        """End the last step and begin the next, before the first optimizer update of a generation batch."""
        if state.global_step % self._updates == 0:
            if self._began:
                self.seconds.append(time.perf_counter() - self._began)
                self._other.release()
            self._mine.acquire()
            self._began = time.perf_counter()

    def release_other(self) -> None:
        """Let the other trainer run on, at the end of this one."""
        self._other.release()


def main() -> None:
    """Measure, and print the medians and their ratio."""
    with tempfile.TemporaryDirectory() as root:
        ours, stock = take_turns(_config(root))
    low, middle, high = pair_quartiles(ours[WARM_UP:], stock[WARM_UP:])
    print(
        f"trainer step, nano world, 64 × 8: ours {statistics.median(ours):.3f} s, "
        f"stock TRL {statistics.median(stock):.3f} s; "
        f"ratio, median of {len(ours) - WARM_UP} adjacent pairs {middle:.3f} (quartiles {low:.3f} to {high:.3f})"
    )


def take_turns(config: dict) -> tuple[list[float], list[float]]:
    """Return the seconds of each step of our trainer and of stock TRL, but for the last, on the same config."""
    first, second = threading.Semaphore(1), threading.Semaphore(0)
    updates = config["train"]["num_minibatches"]
    ours, stock = TakesTurns(updates, first, second), TakesTurns(updates, second, first)
    threads = [
        threading.Thread(target=_train, args=(_our_trainer(config), ours)),
        threading.Thread(target=_train, args=(_stock_trainer(config), stock)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ours.seconds, stock.seconds


def pair_quartiles(ours: list[float], stock: list[float]) -> list[float]:
    """Return the quartiles of ours / stock over adjacent steps."""
    return statistics.quantiles([a / b for a, b in zip(ours, stock, strict=True)], n=4)


def _train(trainer: GRPOTrainer, turns: TakesTurns) -> None:
    torch.set_num_threads(1)  # two thread pools would slow each other
    trainer.add_callback(turns)
    try:
        trainer.train()
    finally:
        turns.release_other()


def _config(root: str) -> dict:
    overrides = [f"root={root}", f"train.num_steps={STEPS}", "train.checkpoint_every=1000", "train.validate_every=0"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return freeze(compose("config", overrides=[*overrides, "advantage=a_grae"]))


def _our_trainer(config: dict) -> GRPOTrainer:
    run = runs.read_run(runs.create_run(config))
    return build_trainer(run, problem_sets(config))


def _stock_trainer(config: dict) -> GRPOTrainer:
    model, tokenizer = load_model(config["model"]["path"], dtype=config["model"]["dtype"])
    task, problems = load_task(config["task"]["name"]), {str(p["id"]): p for p in problem_sets(config)["train"]}

    def reward(*, completions: list[str], problem_id: list[str], **unused: Any) -> list[float | None]:
        verdicts = task.verify_all(completions, [problems[i] for i in problem_id])
        return [verdict.reward if verdict.valid else None for verdict in verdicts]

    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        args=trl_config(config, Path(config["root"]) / "stock"),
        train_dataset=Dataset.from_list([{"problem_id": i, "prompt": task.prompt(p)} for i, p in problems.items()]),
        reward_funcs=reward,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
