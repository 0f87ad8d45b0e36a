"""Simulation of training: draw, reward, estimate advantages, move logits, repeat."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import INPUTS, Estimator
from agrae_lab.advantages.simulator.records import Moment, Records, measure, stack
from agrae_lab.advantages.simulator.space import BehaviourSpace, generator_for
from agrae_lab.advantages.theory import logit_updates

KS = (1, 4, 16, 64, 256)


def simulate(
    estimator: Estimator,
    space: BehaviourSpace,
    *,
    num_generations: int = 8,
    num_steps: int = 500,
    learning_rate: float = 0.05,
    ks: Sequence[int] = KS,
    record_every: int = 10,
    seed: int = 0,
) -> Records:
    """Train one softmax policy per prompt by an estimator's advantages; each step's batch holds all prompts.

    A step draws G trajectories of each prompt with replacement, rewards the correct ones with 1 and the others with 0,
    and adds η·(A_i − C·π_i) to the logits, C = Σ_k A_k (`theory.logit_updates`). Prompts share nothing but the
    estimator, which may look at the whole batch and at earlier ones. Steps are counted from 1. The first step, every
    `record_every`-th after it, and the last are recorded.

    The uniform numbers behind the draws come from `seed` alone: estimators with the same seed are compared on the same
    random numbers, and the same call gives the same bits (on the same number of threads).

    Raises:
        ValueError: the estimator needs inputs that a behaviour space lacks (`check_simulable`), or a setting is out of
            range. Nothing has run.
    """
    check_simulable(estimator, num_generations=num_generations)
    _check_settings(num_steps, learning_rate, ks, record_every)
    moments = steps(estimator, space, num_generations=num_generations, learning_rate=learning_rate, seed=seed)
    recorded, measured = [], []
    for step, moment in zip(range(1, num_steps + 1), moments, strict=False):
        if (step - 1) % record_every == 0 or step == num_steps:
            recorded.append(step)
            measured.append(measure(moment, ks=ks))
    return stack(recorded, measured, ks=ks)


def steps(
    estimator: Estimator, space: BehaviourSpace, *, num_generations: int, learning_rate: float, seed: int
) -> Iterator[Moment]:
    """Yield the steps of a simulation without end. Arguments as in `simulate`, unchecked."""
    generator = generator_for(seed, "draws")
    logits_PN, correct_PN = space.logits_PN, space.correct_PN
    ever_sampled_PN = torch.zeros_like(correct_PN)
    state: dict[str, Any] = {}
    while True:
        policy_PN = logits_PN.softmax(dim=1)
        draws_PG = draw(policy_PN, num_generations=num_generations, generator=generator)
        rewards_PG = correct_PN.gather(1, draws_PG).to(logits_PN.dtype)
        advantages_PG, state = estimator.step(rewards_PG, state=state)
        next_logits_PN = logits_PN + logit_updates(policy_PN, draws_PG, advantages_PG, learning_rate=learning_rate)
        sampled_PN = torch.zeros_like(correct_PN).scatter_(1, draws_PG, True)
        ever_sampled_PN = ever_sampled_PN | sampled_PN
        yield Moment(logits_PN, next_logits_PN, correct_PN, sampled_PN, ever_sampled_PN, rewards_PG, advantages_PG)
        logits_PN = next_logits_PN


def draw(policy_PN: Tensor, *, num_generations: int, generator: torch.Generator) -> Tensor:
    """Return G draws of each prompt's policy with replacement, as indices [P, G].

    Inverse of the cumulated probabilities in float64, so that rare trajectories keep their probability; one of
    probability 0 is never drawn. Every policy uses G uniform numbers a prompt, so that policies share them.
    """
    cumulated_PN = policy_PN.double().cumsum(dim=1)
    uniform_PG = torch.rand(len(policy_PN), num_generations, generator=generator, dtype=torch.float64)
    found_PG = torch.searchsorted(cumulated_PN, uniform_PG * cumulated_PN[:, -1:], right=True)
    return found_PG.clamp(max=policy_PN.shape[1] - 1)  # the product may round up to the sum itself


def check_simulable(estimator: Estimator, *, num_generations: int) -> None:
    """Check that an estimator can be simulated.

    Raises:
        ValueError: the estimator requires more than rewards or works token by token, which trajectories without
            tokens do not have, or needs more completions of a prompt than `num_generations`.
    """
    name = estimator.name
    if estimator.requires:
        needs = " and ".join(INPUTS[required][1] for required in sorted(estimator.requires))
        raise ValueError(
            f"advantage {name!r} needs {needs}, which a simulated trajectory does not have; "
            "the simulator runs estimators that need rewards alone"
        )
    if estimator.is_token_level:
        raise ValueError(
            f"advantage {name!r} gives every token its own advantage, and a simulated trajectory has no tokens; "
            "the simulator runs estimators with advantage.token = none"
        )
    if num_generations < (least := max(1, estimator.min_group_size)):
        raise ValueError(f"advantage {name!r} needs num_generations of at least {least}, got {num_generations}")


def _check_settings(num_steps: int, learning_rate: float, ks: Sequence[int], record_every: int) -> None:
    for name, value in (("num_steps", num_steps), ("record_every", record_every)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be above 0 and finite, got {learning_rate}")
    if not ks or min(ks) < 1:
        raise ValueError(f"Pass@k needs at least one k, and every k at least 1, got {tuple(ks)}")
