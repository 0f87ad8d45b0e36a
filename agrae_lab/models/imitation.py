"""Supervised pretraining of the shipped models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
