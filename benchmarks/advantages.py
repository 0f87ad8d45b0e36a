"""Advantages of a batch of 1024 × 8 and 8192 × 16 against a Python loop over prompts, as released code has it."""

from __future__ import annotations

from functools import partial

import torch

from agrae_lab.advantages import make
from benchmarks._timing import ratio

NAMES = ("grpo", "a_grae")


def loop_over_prompts(rewards_PG: torch.Tensor) -> torch.Tensor:
    """GRPO as the authors' code and verl have it: a Python loop over prompts, a small tensor for each."""
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


def main() -> None:
    for shape in ((1024, 8), (8192, 16)):
        rewards = torch.bernoulli(torch.full(shape, 0.4), generator=torch.Generator().manual_seed(0))
        expected = make("grpo", flavor="official")(rewards)
        torch.testing.assert_close(loop_over_prompts(rewards), expected, rtol=1e-5, atol=1e-5)
        for name in NAMES:
            ours, theirs, _ = ratio(partial(make(name), rewards), partial(loop_over_prompts, rewards), pairs=5)
            print(
                f"advantages {name} {shape[0]} × {shape[1]}: {ours * 1e3:.2f} ms; "
                f"GRPO in a loop over prompts {theirs * 1e3:.0f} ms, {theirs / ours:.0f} times that"
            )
