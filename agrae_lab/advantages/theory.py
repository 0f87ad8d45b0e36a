"""Closed forms of the paper: what a group of G completions with success rate p sums to (Theorem 2, Table 1).

All hold for 0/1 rewards and GRAE with ddof 0 and ε = 0. Shapes: p is any tensor, results have its shape. At p = 0 and
p = 1 every advantage is 0, and so are the sums.
"""

from __future__ import annotations

from torch import Tensor


def positive_advantage(p: Tensor) -> Tensor:
    """GRAE's advantage of a correct completion, √((1−p)/p); 0 at p ∈ {0, 1} (Eq. 17)."""
    return _where_mixed(p, ((1 - p) / p).sqrt())


def negative_advantage(p: Tensor) -> Tensor:
    """GRAE's advantage of an incorrect completion, −√(p/(1−p)); 0 at p ∈ {0, 1} (Eq. 17)."""
    return _where_mixed(p, -(p / (1 - p)).sqrt())


def abs_sum_grpo(p: Tensor, *, num_generations: int) -> Tensor:
    """Σ|A| = 2G·√(p(1−p))   (Theorem 2, Eq. 10): it peaks at p = 1/2 and is the same for p and 1 − p."""
    return 2 * num_generations * (p * (1 - p)).clamp(min=0).sqrt()


def sum_scaled_positive(p: Tensor, *, num_generations: int, beta: float) -> Tensor:
    """ΣA = (β − 1)·G·√(p(1−p)) when positive advantages are multiplied by β   (Table 1a)."""
    return (beta - 1) * abs_sum_grpo(p, num_generations=num_generations) / 2


def abs_sum_scaled_positive(p: Tensor, *, num_generations: int, beta: float) -> Tensor:
    """Σ|A| = (β + 1)·G·√(p(1−p)) when positive advantages are multiplied by β."""
    return (beta + 1) * abs_sum_grpo(p, num_generations=num_generations) / 2


def abs_sum_hard_focused(p: Tensor, *, num_generations: int, gamma: float = 0.5) -> Tensor:
    """Σ|A*| = 2γ·G·√(1−p), which is G·√(1−p) for the paper's γ = 1/2   (Table 1b); 0 at p ∈ {0, 1}."""
    return _where_mixed(p, 2 * gamma * num_generations * (1 - p).clamp(min=0).sqrt())


def abs_sum_easy_focused(p: Tensor, *, num_generations: int, gamma: float = 0.5) -> Tensor:
    """Σ|A*| = 2γ·G·√p, which is G·√p for the paper's γ = 1/2   (Table 1b); 0 at p ∈ {0, 1}."""
    return _where_mixed(p, 2 * gamma * num_generations * p.clamp(min=0).sqrt())


def abs_sum_dynamic(p: Tensor, *, num_generations: int, omega: float) -> Tensor:
    """Σ|A*| = ω·G·√(1−p) + (1−ω)·G·√p under DDAS   (Eq. 12 on Theorem 2); 0 at p ∈ {0, 1}."""
    hard = abs_sum_hard_focused(p, num_generations=num_generations)
    easy = abs_sum_easy_focused(p, num_generations=num_generations)
    return omega * hard + (1 - omega) * easy


def _where_mixed(p: Tensor, value: Tensor) -> Tensor:
    return value.masked_fill((p <= 0) | (p >= 1), 0.0)
