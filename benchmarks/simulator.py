"""Benchmark of the simulator at 1,000 prompts × 64 trajectories × 500 steps, G = 8, against a Python loop over prompts.

The loop runs a small slice of the same simulation, with equal draws and logits; its time is scaled to the whole by the
number of prompts and steps.
"""

from __future__ import annotations

from functools import partial
from itertools import islice

import torch
from torch import Tensor

from agrae_lab.advantages import Estimator, make
from agrae_lab.advantages.simulator import BehaviourSpace, behaviour_space, simulate
from agrae_lab.advantages.simulator.dynamics import steps
from agrae_lab.advantages.simulator.space import generator_for
from benchmarks._timing import ratio

NAMES = ("grpo", "negative_dominant")
PROMPTS, TRAJECTORIES, STEPS, DRAWS, LEARNING_RATE = 1000, 64, 500, 8, 0.05
SLICE_PROMPTS, SLICE_STEPS = 20, 10


def loop_over_prompts(estimator: Estimator, space: BehaviourSpace, *, num_steps: int) -> Tensor:
    """Return the logits after `num_steps`, prompt by prompt and draw by draw; nothing is recorded."""
    generator = generator_for(0, "draws")
    logits = [row.clone() for row in space.logits_PN]
    for _ in range(num_steps):
        uniform_PG = torch.rand(len(logits), DRAWS, generator=generator, dtype=torch.float64)
        for prompt, uniform_G in enumerate(uniform_PG):
            policy_N = logits[prompt].softmax(dim=0)
            cumulated_N = policy_N.double().cumsum(dim=0)
            draws_G = torch.searchsorted(cumulated_N, uniform_G * cumulated_N[-1], right=True)
            rewards_G = space.correct_PN[prompt, draws_G].to(policy_N.dtype)
            advantages_G = estimator(rewards_G[None])[0]
            update_N = -advantages_G.sum() * policy_N
            for trajectory, advantage in zip(draws_G.tolist(), advantages_G, strict=True):
                update_N[trajectory] += advantage
            logits[prompt] = logits[prompt] + LEARNING_RATE * update_N
    return torch.stack(logits)


def main() -> None:
    space = behaviour_space(num_prompts=PROMPTS, num_trajectories=TRAJECTORIES)
    few = BehaviourSpace(space.logits_PN[:SLICE_PROMPTS], space.correct_PN[:SLICE_PROMPTS])
    scale = PROMPTS * STEPS / (SLICE_PROMPTS * SLICE_STEPS)
    for name in NAMES:
        estimator = make(name)
        moments = steps(estimator, few, num_generations=DRAWS, learning_rate=LEARNING_RATE, seed=0)
        *_, last = islice(moments, SLICE_STEPS)
        slowly = partial(loop_over_prompts, estimator, few, num_steps=SLICE_STEPS)
        torch.testing.assert_close(last.next_logits_PN, slowly(), rtol=1e-5, atol=1e-5)
        whole = partial(simulate, estimator, space, num_generations=DRAWS, num_steps=STEPS, learning_rate=LEARNING_RATE)
        ours, theirs, share = ratio(whole, slowly, pairs=3)
        print(
            f"simulator {name} {PROMPTS} × {TRAJECTORIES}, {STEPS} steps: {ours:.2f} s, recording included; "
            f"a loop over prompts {theirs * scale:.0f} s (scaled from {SLICE_PROMPTS} prompts × {SLICE_STEPS} steps), "
            f"{scale / share:.0f} times that"
        )
