"""Behaviour spaces: for each of P independent prompts a softmax over N possible trajectories, some of them correct."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BehaviourSpace:
    """Policy before training and its correct trajectories (Theorem 1's model, arXiv 2602.05548 B.3).

    logits_PN: h, [P, N], float32 or float64; the policy is their softmax over N. correct_PN: bool, [P, N].

    Raises:
        ValueError: the two do not fit together, fewer than two trajectories, or logits that are not finite floats.
    """

    logits_PN: Tensor
    correct_PN: Tensor

    def __post_init__(self) -> None:
        shape = list(self.logits_PN.shape)
        if len(shape) != 2 or shape[0] < 1 or shape[1] < 2:
            raise ValueError(f"logits must be [P, N] (prompts, trajectories) with P ≥ 1 and N ≥ 2, got shape {shape}")
        if not self.logits_PN.is_floating_point() or not self.logits_PN.isfinite().all():
            raise ValueError(f"logits must be finite and float32 or float64, got {self.logits_PN.dtype}")
        if self.correct_PN.dtype != torch.bool or list(self.correct_PN.shape) != shape:
            raise ValueError(
                f"the mask of correct trajectories must be bool and of the logits' shape {shape}, "
                f"got {self.correct_PN.dtype} of shape {list(self.correct_PN.shape)}"
            )


def behaviour_space(
    *,
    num_prompts: int = 1000,
    num_trajectories: int = 64,
    overconfident_share: float = 0.25,
    overconfidence: float = 0.8,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> BehaviourSpace:
    """Return a start of training with a spectrum of difficulty.

    Logits are standard normal. The number of correct trajectories runs evenly on a log scale from 1 (the first prompt)
    to N/2 (the last), drawn at random: success rates from nearly 0 to nearly 1, most of them low. A
    share of the prompts, drawn too, is over-confident in a wrong head: one wrong trajectory is given the probability
    `overconfidence`, at the cost of all others alike. Each prompt's logits are shifted to mean 0, where every update
    leaves it (`theory.logit_updates`).

    Raises:
        ValueError: no prompts, fewer than two trajectories, or a share or probability out of range.
    """
    _check_sizes(num_prompts, num_trajectories, overconfident_share, overconfidence)
    generator, shape = generator_for(seed, "space"), (num_prompts, num_trajectories)
    logits_PN = torch.randn(shape, generator=generator, dtype=torch.float64)
    rank_PN = torch.rand(shape, generator=generator, dtype=torch.float64).argsort(dim=1).argsort(dim=1)
    num_correct_P = torch.logspace(0, math.log10(num_trajectories / 2), num_prompts, dtype=torch.float64).round()
    overconfident_P = torch.rand(num_prompts, generator=generator, dtype=torch.float64) < overconfident_share
    head_P1 = rank_PN.argmax(dim=1, keepdim=True)  # of the highest rank: wrong, and any of the wrong ones alike
    others_P = logits_PN.scatter(1, head_P1, -math.inf).logsumexp(dim=1)
    head_logit_P = others_P + math.log(overconfidence / (1 - overconfidence))
    logits_PN = torch.where(overconfident_P[:, None], logits_PN.scatter(1, head_P1, head_logit_P[:, None]), logits_PN)
    logits_PN = logits_PN - logits_PN.mean(dim=1, keepdim=True)
    return BehaviourSpace(logits_PN.to(dtype), rank_PN < num_correct_P[:, None])


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """Return the generator of a purpose; streams of one seed are independent across purposes."""
    digest = hashlib.sha256(f"{purpose} {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def _check_sizes(num_prompts: int, num_trajectories: int, overconfident_share: float, overconfidence: float) -> None:
    if num_prompts < 1 or num_trajectories < 2:
        raise ValueError(
            f"a behaviour space has at least 1 prompt and 2 trajectories, got {num_prompts} and {num_trajectories}"
        )
    if not 0 <= overconfident_share <= 1:
        raise ValueError(f"overconfident_share is a share of prompts in [0, 1], got {overconfident_share}")
    if not 0 < overconfidence < 1:
        raise ValueError(f"overconfidence is a probability strictly between 0 and 1, got {overconfidence}")
