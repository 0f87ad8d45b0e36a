"""The closed forms against the estimators, for every p and every G from 2 to 64 (Theorem 2, Table 1), against
automatic differentiation, and against every sample there is (Theorem 1)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agrae_lab.advantages import Context, make, preset_names, theory
from agrae_lab.advantages.simulator import BehaviourSpace
from agrae_lab.advantages.simulator.dynamics import steps

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


# Theorem 1: moves of logits in a behaviour space

N, G = 5, 4


@st.composite
def moves(draw):
    """A policy [1, N], draws [1, G] and advantages [1, G], whatever they are."""
    numbers = st.floats(-3, 3)
    logits = torch.tensor([draw(st.lists(numbers, min_size=N, max_size=N))], dtype=torch.float64)
    draws = torch.tensor([draw(st.lists(st.integers(0, N - 1), min_size=G, max_size=G))])
    advantages = torch.tensor([draw(st.lists(numbers, min_size=G, max_size=G))], dtype=torch.float64)
    return logits, draws, advantages


@settings(max_examples=50, deadline=None, derandomize=True)
@given(moves())
def test_update_is_the_gradient_of_the_objective(move):
    logits, draws, advantages = move
    logits.requires_grad_()
    (advantages * logits.log_softmax(1).gather(1, draws)).sum().backward()
    update = theory.logit_updates(logits.detach().softmax(1), draws, advantages, learning_rate=0.3)
    torch.testing.assert_close(update, 0.3 * logits.grad, rtol=1e-9, atol=1e-9)
    assert update.sum().abs() < 1e-12  # the mean logit never moves


def test_update_by_hand_with_a_trajectory_drawn_twice():
    # A = (1, 1, −3): C = −1, so Δh_i = A_i + π_i; trajectory 0 was drawn twice and has A_0 = 2
    policy = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
    update = theory.logit_updates(policy, torch.tensor([[0, 0, 2]]), torch.tensor([[1.0, 1.0, -3.0]]).double())
    torch.testing.assert_close(update, torch.tensor([[2.5, 0.3, -2.8]], dtype=torch.float64))


@pytest.mark.parametrize(("name", "sign"), [("grpo", 0), ("negative_dominant", 1), ("positive_dominant", -1)])
def test_unsampled_logits_stay_rise_or_fall(name, sign):
    """C = 0, C < 0 and C > 0 in every mixed group, with the mask of who was drawn taken from the draws."""
    policy = torch.tensor([[0.4, 0.3, 0.2, 0.07, 0.03]], dtype=torch.float64)
    draws = torch.tensor([[0, 1, 1, 2]])
    for rewards in ([1, 0, 0, 0], [1, 0, 0, 1], [0, 1, 1, 1]):
        advantages = make(name)(torch.tensor([rewards], dtype=torch.float64))
        update = theory.logit_updates(policy, draws, advantages)[:, 3:]
        closed = theory.unsampled_logit_update(policy[:, 3:], advantage_sum=advantages.sum())
        torch.testing.assert_close(update, closed, rtol=1e-9, atol=1e-12)
        assert update.abs().max() < 1e-12 if sign == 0 else (update.sign() == sign).all()


def test_an_overconfident_wrong_trajectory_rises_though_it_was_drawn():
    # G = 4, p = 3/4, β = 0.1: A_neg = −√3, C = −0.9·4·√3/4 = −0.9·√3, so it rises if π > 1/0.9: never.
    # G = 8, p = 1/8 with 1 of the 7 wrong draws on it: C = −0.9·√7, A_neg = −1/√7, so it rises if π > 1/(0.9·7) = 0.159
    advantages = make("negative_dominant")(torch.tensor([[1.0] + [0.0] * 7], dtype=torch.float64))
    draws = torch.tensor([[2, 0, 1, 1, 1, 1, 1, 1]])
    for head, rises in ((0.15, False), (0.17, True)):
        policy = torch.tensor([[head, 0.8 - head, 0.2]], dtype=torch.float64)
        update = theory.logit_updates(policy, draws, advantages)[0, 0]
        condition = theory.wrong_trajectory_rises(
            policy[0, 0], advantage=advantages[0, 1], advantage_sum=advantages.sum()
        )
        assert bool(update > 0) == bool(condition) == rises
    group = make("negative_dominant")(torch.tensor([[1.0, 1.0, 1.0, 0.0]], dtype=torch.float64))
    sure = torch.tensor(1.0, dtype=torch.float64)
    assert not theory.wrong_trajectory_rises(sure, advantage=group[0, 3], advantage_sum=group.sum())


# The exact expected update

GROUP_LOCAL = [
    name
    for name in preset_names()
    if (e := make(name)).laws >= {"groups_independent", "permutation_equivariant"}
    and not (e.requires or e.is_stateful or e.is_token_level)
]


def expected_updates(estimator, policy, correct, num_generations=G):
    positive, negative = theory.advantages_by_count(estimator, num_generations=num_generations)
    return theory.expected_logit_updates(policy, correct, positive_K=positive, negative_K=negative, learning_rate=0.3)


@pytest.mark.parametrize("name", GROUP_LOCAL)
@pytest.mark.parametrize("correct", [[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
def test_expected_update_is_the_mean_over_all_samples(name, correct):
    """All N^G ordered samples, each with its probability."""
    estimator = make(name)
    num_generations = max(G, estimator.min_group_size)
    policy = torch.tensor([0.45, 0.25, 0.15, 0.1, 0.05], dtype=torch.float64)
    correct = torch.tensor(correct, dtype=torch.bool)
    samples = torch.cartesian_prod(*[torch.arange(N)] * num_generations)
    advantages = estimator(correct[samples].double())
    updates = theory.logit_updates(policy.expand(len(samples), N), samples, advantages, learning_rate=0.3)
    mean = (updates * policy[samples].prod(dim=1, keepdim=True)).sum(dim=0, keepdim=True)
    exact = expected_updates(estimator, policy[None], correct[None], num_generations)
    torch.testing.assert_close(exact, mean, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["grpo", "negative_dominant", "hard_focused", "w_reinforce"])
def test_expected_update_is_the_mean_of_the_simulator(name):
    """40,000 prompts with the same policy: the mean of their first updates, within 5 standard errors."""
    logits = torch.tensor([1.0, 0.4, -0.2, -0.6, -1.3], dtype=torch.float64).expand(40_000, N).contiguous()
    correct = torch.tensor([0, 1, 0, 0, 1], dtype=torch.bool).expand_as(logits).contiguous()
    moment = next(steps(make(name), BehaviourSpace(logits, correct), num_generations=G, learning_rate=0.3, seed=1))
    updates = moment.next_logits_PN - logits
    error = updates.std(dim=0) / len(updates) ** 0.5
    exact = expected_updates(make(name), logits[:1].softmax(1), correct[:1])[0]
    assert ((updates.mean(dim=0) - exact).abs() < 5 * error).all()
    assert (exact.abs() > 10 * error).sum() >= 3  # the test can tell these updates from none


def test_weights_by_hand():
    p = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0], dtype=torch.float64)
    by_name = {name: theory.advantages_by_count(make(name), num_generations=8) for name in ("grpo", "dr_grpo", "psr")}
    weights = {n: theory.expected_weight(p, positive_K=a, negative_K=b) for n, (a, b) in by_name.items()}
    torch.testing.assert_close(weights["dr_grpo"], torch.full_like(p, 7.0))
    torch.testing.assert_close(weights["psr"], torch.full_like(p, 8.0))
    # p → 0: the one correct completion among 8 has A = √7, the wrong ones of a group without any 0
    torch.testing.assert_close(weights["grpo"][0], torch.tensor(8 * 7**0.5, dtype=torch.float64))
    k = torch.arange(9, dtype=torch.float64)
    ways = torch.tensor([1, 8, 28, 56, 70, 56, 28, 8, 1], dtype=torch.float64)
    for i in (1, 2, 3):
        pmf = ways * p[i] ** k * (1 - p[i]) ** (8 - k)
        torch.testing.assert_close(weights["grpo"][i] * p[i] * (1 - p[i]), (pmf * (k * (8 - k)).sqrt()).sum())


def test_expected_update_is_refused_where_the_group_does_not_decide():
    with pytest.raises(ValueError, match=r"'a_grae' depends on the other groups of the batch"):
        theory.advantages_by_count(make("a_grae"), num_generations=8)
