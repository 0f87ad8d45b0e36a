"""Groups of rewards for every success rate, and how they are compared."""

import torch

NAN = float("nan")
SIZES = range(2, 17)


def groups(num_generations):
    """One group for each number of correct completions 0..G, the correct ones first; [G+1, G], and p [G+1, 1]."""
    rewards = torch.tril(torch.ones(num_generations + 1, num_generations, dtype=torch.float64), diagonal=-1)
    return rewards, rewards.mean(dim=1, keepdim=True)


def mixed_groups(num_generations):
    rewards, p = groups(num_generations)
    return rewards[1:-1], p[1:-1]


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
