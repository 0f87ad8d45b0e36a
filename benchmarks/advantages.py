"""Benchmark of every preset on batches of 1024 × 8 and 8192 × 16, against two baselines of the same run.

The baselines are plain GRPO of this project, and GRPO in a Python loop over prompts, as in released code.
"""

from __future__ import annotations

from functools import partial

import torch

from agrae_lab.advantages import Estimator, make, preset_names
from agrae_lab.advantages.properties import suite
from benchmarks._timing import ratio

SHAPES = ((1024, 8), (8192, 16))
SLOW = 5.0  # times plain GRPO


def loop_over_prompts(rewards_PG: torch.Tensor) -> torch.Tensor:
    """Return GRPO's advantages by a Python loop over prompts, as in the authors' code and verl."""
    index = torch.arange(len(rewards_PG)).repeat_interleave(rewards_PG.shape[1]).tolist()
    scores = rewards_PG.flatten().clone()
    groups: dict[int, list[torch.Tensor]] = {}
    for i, prompt in enumerate(index):
        groups.setdefault(prompt, []).append(scores[i])
    mean = {prompt: torch.mean(torch.stack(group)) for prompt, group in groups.items()}
    std = {prompt: torch.std(torch.stack(group)) for prompt, group in groups.items()}
    for i, prompt in enumerate(index):
        scores[i] = (scores[i] - mean[prompt]) / (std[prompt] + 1e-6)
    return scores.view_as(rewards_PG)


def ready(estimator: Estimator, rewards_PG: torch.Tensor) -> partial:
    """Return a call of the estimator on these rewards, with prepared side inputs; 4 tokens per completion."""
    return partial(suite.advantages_of, estimator, suite.batch_of(rewards_PG, requires=estimator.requires))


def main() -> None:
    torch.set_num_threads(1)  # small operations: threads would add more waiting than they take away
    for shape in SHAPES:
        rewards = torch.bernoulli(torch.full(shape, 0.4), generator=torch.Generator().manual_seed(0))
        official = make("grpo", flavor="official")
        torch.testing.assert_close(loop_over_prompts(rewards), official(rewards), rtol=1e-5, atol=1e-5)
        grpo = ready(make("grpo"), rewards)
        seconds, loop, _ = ratio(grpo, partial(loop_over_prompts, rewards), pairs=3)
        print(
            f"advantages {shape[0]} × {shape[1]}: plain GRPO {seconds * 1e3:.2f} ms; "
            f"GRPO in a loop over prompts {loop * 1e3:.0f} ms"
        )
        for name in preset_names():
            seconds, _, to_grpo = ratio(ready(make(name), rewards), grpo, pairs=15)
            flag = f"  ← above {SLOW:g}" if to_grpo > SLOW else ""
            times = f"{seconds * 1e3:8.2f} ms, {to_grpo:5.1f} × plain GRPO; the loop takes {loop / seconds:6.0f} × that"
            print(f"  {name:24}{times}{flag}")
