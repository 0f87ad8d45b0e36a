"""Supervised pretraining of this project's own models, and the commands that make them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def fit(
    model: Any,
    batches: Iterator[Mapping[str, Tensor]],
    *,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    num_steps: int,
) -> None:
    """Train `model` in place: one step on each of the first `num_steps` batches of inputs with labels."""
    model.train()
    for step in range(1, num_steps + 1):
        loss = model(**next(batches)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            print(f"step {step}/{num_steps}  loss {loss.item():.3f}", flush=True)
    model.eval()


def save(model: Any, tokenizer: Any, path: Path) -> None:
    """Write a model and its tokenizer to a directory; generation pads as the tokenizer does."""
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)


def run_command(make: Callable[..., None], description: str | None, *, path: Path, num_steps: int, seed: int) -> None:
    """Call `make` as the command line asks; `path`, `num_steps` and `seed` are its defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, default=path, help="the model directory to write")
    parser.add_argument("--num-steps", type=int, default=num_steps, help="number of training steps")
    parser.add_argument("--seed", type=int, default=seed, help="seed of weights and problems")
    arguments = parser.parse_args()
    make(arguments.path, num_steps=arguments.num_steps, seed=arguments.seed)
    print(f"wrote {arguments.path}")
