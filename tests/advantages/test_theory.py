"""Theorem 2 and Table 1: the closed forms against the estimators, for every p and every G from 2 to 64."""

import pytest
import torch

from agrae_lab.advantages import Context, make, theory

OMEGA = 0.3


def groups(num_generations):
    """One group for each number of correct completions 0..G, [G+1, G], and its p [G+1]."""
    rewards = torch.tril(torch.ones(num_generations + 1, num_generations, dtype=torch.float64), diagonal=-1)
    return rewards, rewards.mean(dim=1)


CASES = {
    # estimator → (ΣA, Σ|A|) as functions of p and G
    "grpo": (lambda p, g: p * 0, lambda p, g: theory.abs_sum_grpo(p, num_generations=g)),
    "positive_dominant": (
        lambda p, g: theory.sum_scaled_positive(p, num_generations=g, beta=10.0),
        lambda p, g: theory.abs_sum_scaled_positive(p, num_generations=g, beta=10.0),
    ),
    "negative_dominant": (
        lambda p, g: theory.sum_scaled_positive(p, num_generations=g, beta=0.1),
        lambda p, g: theory.abs_sum_scaled_positive(p, num_generations=g, beta=0.1),
    ),
    "hard_focused": (lambda p, g: p * 0, lambda p, g: theory.abs_sum_hard_focused(p, num_generations=g)),
    "easy_focused": (lambda p, g: p * 0, lambda p, g: theory.abs_sum_easy_focused(p, num_generations=g)),
    "a_grae_sample_only": (
        lambda p, g: p * 0,
        lambda p, g: theory.abs_sum_dynamic(p, num_generations=g, omega=OMEGA),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_sums_for_every_p_and_group_size(name):
    estimator = make(name)
    expected_sum, expected_abs_sum = CASES[name]
    for num_generations in range(2, 65):
        rewards, p = groups(num_generations)
        advantages = estimator(rewards, Context(omega=OMEGA))
        torch.testing.assert_close(advantages.sum(dim=1), expected_sum(p, num_generations), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(
            advantages.abs().sum(dim=1), expected_abs_sum(p, num_generations), rtol=1e-9, atol=1e-9
        )


def test_theorem_2_by_hand():
    # G = 4, p = 1/4: A+ = √3, three times A− = −1/√3, so Σ|A| = 2√3 = 2·4·√(1/4·3/4)
    p = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    expected = torch.tensor([3.4641016151377544, 4.0, 3.4641016151377544], dtype=torch.float64)
    torch.testing.assert_close(theory.abs_sum_grpo(p, num_generations=4), expected)


def test_table_1_signs():
    rewards, p = groups(8)
    mixed = (p > 0) & (p < 1)
    assert (make("positive_dominant")(rewards).sum(dim=1)[mixed] > 0).all()
    assert (make("negative_dominant")(rewards).sum(dim=1)[mixed] < 0).all()
    assert make("grpo")(rewards).sum(dim=1).abs().max() < 1e-12


def test_advantages_of_correct_and_incorrect_completions():
    for num_generations in range(2, 65):
        rewards, p = groups(num_generations)
        advantages = make("grpo")(rewards)
        expected = torch.where(
            rewards > 0.5, theory.positive_advantage(p)[:, None], theory.negative_advantage(p)[:, None]
        )
        torch.testing.assert_close(advantages, expected, rtol=1e-9, atol=1e-9)
