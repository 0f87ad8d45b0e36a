"""Closed forms of the paper (arXiv 2602.05548): sums over a group (Theorem 2, Table 1), logit updates (Theorem 1).

Sums hold for 0/1 rewards and GRAE with ddof 0 and ε = 0. p is any tensor, results have its shape. At p = 0 and p = 1
every advantage is 0, and so are the sums. Everything is computed in float32 at least.

Logit updates hold for any advantages, on a behaviour space: a softmax over N possible trajectories with logits h,
of which G are drawn with replacement. `policy_PN` are the probabilities π [P, N] of P independent prompts, `draws_PG`
the drawn trajectories [P, G] as indices below N, `advantages_PG` their advantages, η the learning rate.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Estimator
from agrae_lab.advantages.statistics import in_float32


@in_float32
def positive_advantage(p: Tensor) -> Tensor:
    """Return GRAE's advantage of a correct completion, √((1−p)/p); 0 at p ∈ {0, 1} (Eq. 17)."""
    return _where_mixed(p, ((1 - p) / p).sqrt())


@in_float32
def negative_advantage(p: Tensor) -> Tensor:
    """Return GRAE's advantage of an incorrect completion, −√(p/(1−p)); 0 at p ∈ {0, 1} (Eq. 17)."""
    return _where_mixed(p, -(p / (1 - p)).sqrt())


@in_float32
def abs_sum_grpo(p: Tensor, *, num_generations: int) -> Tensor:
    """Return Σ|A| = 2G·√(p(1−p))   (Theorem 2, Eq. 10): it peaks at p = 1/2 and is the same for p and 1 − p."""
    return 2 * num_generations * (p * (1 - p)).clamp(min=0).sqrt()


@in_float32
def sum_scaled_positive(p: Tensor, *, num_generations: int, beta: float) -> Tensor:
    """Return ΣA = (β − 1)·G·√(p(1−p)) when positive advantages are multiplied by β   (Table 1a)."""
    return (beta - 1) * abs_sum_grpo(p, num_generations=num_generations) / 2


@in_float32
def abs_sum_scaled_positive(p: Tensor, *, num_generations: int, beta: float) -> Tensor:
    """Return Σ|A| = (β + 1)·G·√(p(1−p)) when positive advantages are multiplied by β."""
    return (beta + 1) * abs_sum_grpo(p, num_generations=num_generations) / 2


@in_float32
def abs_sum_hard_focused(p: Tensor, *, num_generations: int, gamma: float = 0.5) -> Tensor:
    """Return Σ|A*| = 2γ·G·√(1−p), which is G·√(1−p) for the paper's γ = 1/2   (Table 1b); 0 at p ∈ {0, 1}."""
    return _where_mixed(p, 2 * gamma * num_generations * (1 - p).clamp(min=0).sqrt())


@in_float32
def abs_sum_easy_focused(p: Tensor, *, num_generations: int, gamma: float = 0.5) -> Tensor:
    """Return Σ|A*| = 2γ·G·√p, which is G·√p for the paper's γ = 1/2   (Table 1b); 0 at p ∈ {0, 1}."""
    return _where_mixed(p, 2 * gamma * num_generations * p.clamp(min=0).sqrt())


@in_float32
def abs_sum_dynamic(p: Tensor, *, num_generations: int, omega: float) -> Tensor:
    """Return Σ|A*| = ω·G·√(1−p) + (1−ω)·G·√p under DDAS   (Eq. 12 on Theorem 2); 0 at p ∈ {0, 1}."""
    hard = abs_sum_hard_focused(p, num_generations=num_generations)
    easy = abs_sum_easy_focused(p, num_generations=num_generations)
    return omega * hard + (1 - omega) * easy


@in_float32
def logit_updates(policy_PN: Tensor, draws_PG: Tensor, advantages_PG: Tensor, *, learning_rate: float = 1.0) -> Tensor:
    """Return Δh_i = η·(A_i − C·π_i), C = Σ_k A_k, [P, N]   (Theorem 1, Eq. 6, B.3).

    One step of gradient ascent on J(h) = Σ_k A_k ln π_k(h), k over the G draws. A_i is the sum over the draws of
    trajectory i, 0 if there are none. ΣΔh_i = 0: a prompt's mean logit never moves, so logits compare across steps.
    """
    total_P1 = advantages_PG.sum(dim=1, keepdim=True)
    return (-total_P1 * policy_PN).scatter_add(1, draws_PG, advantages_PG) * learning_rate


@in_float32
def unsampled_logit_update(policy: Tensor, *, advantage_sum: Tensor, learning_rate: float = 1.0) -> Tensor:
    """Return Δh_i = −η·C·π_i of a trajectory that was not drawn   (Theorem 1); its arguments broadcast.

    C = 0 (GRPO, symmetric): it stays. C < 0 (positives suppressed): it rises, which is exploration. C > 0 (positives
    amplified): it falls. A logit that stays does not keep its probability: the others move.
    """
    return -learning_rate * advantage_sum * policy


@in_float32
def wrong_trajectory_rises(policy: Tensor, *, advantage: Tensor, advantage_sum: Tensor) -> Tensor:
    """Return True where a drawn wrong trajectory gains logit, A_neg − C·π_i > 0   (B.5): the source of late collapse.

    advantage: A_neg < 0, summed over its draws. Only where C < 0, and for an over-confident one: π_i > |A_neg| / |C|.
    """
    return advantage - advantage_sum * policy > 0


def advantages_by_count(estimator: Estimator, *, num_generations: int) -> tuple[Tensor, Tensor]:
    """Return A⁺(k) and A⁻(k), each [G + 1] in float64: A of a correct and of an incorrect completion, k of G correct.

    Rewards are 0 or 1. A⁺(0) and A⁻(G), which no completion has, are 0.

    Raises:
        ValueError: an estimator whose advantages are not a function of the group's success rate alone, or a G below
            the estimator's minimum.
    """
    if reason := _dependence_beyond_group(estimator):
        raise ValueError(
            f"advantage {estimator.name!r} {reason}; the exact expected update is known for estimators whose "
            "advantages are a function of their own group's 0/1 rewards"
        )
    counts_K1 = torch.arange(num_generations + 1)[:, None]
    rewards_KG = (torch.arange(num_generations) < counts_K1).double()  # correct ones first
    advantages_KG = estimator(rewards_KG)
    positive_K, negative_K = advantages_KG[:, 0].clone(), advantages_KG[:, -1].clone()
    positive_K[0] = negative_K[-1] = 0.0
    return positive_K, negative_K


@in_float32
def expected_weight(p: Tensor, *, positive_K: Tensor, negative_K: Tensor) -> Tensor:
    """Return w(p) = G·(E[A⁺(1 + J)] − E[A⁻(J)]), J ~ Binomial(G − 1, p), in the shape of p, the policy's success rate.

    J counts the correct ones among the other G − 1 draws; arguments as `advantages_by_count` gives them. For GRPO
    (ddof 0, ε = 0) w(p)·p(1 − p) = E[√(K(G − K))], K ~ Binomial(G, p); for Dr.GRPO w = G − 1, whatever p.
    """
    num_others = len(positive_K) - 2
    pmf = _binomial_pmf(p, num=num_others).to(positive_K)
    return ((num_others + 1) * (pmf @ (positive_K[1:] - negative_K[:-1]))).to(p)


@in_float32
def expected_logit_updates(
    policy_PN: Tensor, correct_PN: Tensor, *, positive_K: Tensor, negative_K: Tensor, learning_rate: float = 1.0
) -> Tensor:
    """Return E[Δh_i] = η·w(p)·π_i·(1[i correct] − p) = η·w(p)·∂p/∂h_i, [P, N]: the exact mean over G draws.

    p = Σ_{i correct} π_i is the policy's success rate and w its weight (`expected_weight`). Derivation from Theorem 1:

    1. A_i = Σ_k 1[draw k is i]·A_k, and draws are independent. Given that draw k is i, the other G − 1 draws hold
       J ~ Binomial(G − 1, p) correct ones, so A_k = A⁺(1 + J) if i is correct and A⁻(J) if not. With a⁺ = E[A⁺(1 + J)]
       and a⁻ = E[A⁻(J)]: E[A_i] = G·π_i·a⁺ or G·π_i·a⁻.
    2. E[C] = Σ_i E[A_i] = G·(p·a⁺ + (1 − p)·a⁻), and π is fixed, so E[Δh_i] = η·(E[A_i] − π_i·E[C]).
    3. For a correct i this is η·G·π_i·(1 − p)·(a⁺ − a⁻), for a wrong one −η·G·π_i·p·(a⁺ − a⁻).

    So in expectation any such estimator climbs the gradient of p, and two of them differ only in the weight of a prompt
    at each p. The other differences of Theorem 1 (exploration, late collapse) come from the sample.
    """
    p_P1 = (policy_PN * correct_PN).sum(dim=1, keepdim=True)
    weight_P1 = expected_weight(p_P1, positive_K=positive_K, negative_K=negative_K)
    return learning_rate * weight_P1 * policy_PN * (correct_PN.to(policy_PN.dtype) - p_P1)


def _dependence_beyond_group(estimator: Estimator) -> str:
    """Return the reason that advantages are no function of the group's success rate; empty if they are."""
    if estimator.requires:
        return f"needs more than rewards ({', '.join(sorted(estimator.requires))})"
    if estimator.is_token_level:
        return "differs from token to token"
    if estimator.is_stateful:
        return "depends on earlier batches"
    if "groups_independent" not in estimator.laws:
        return "depends on the other groups of the batch"
    return "" if "permutation_equivariant" in estimator.laws else "depends on the order of a group's completions"


def _binomial_pmf(p: Tensor, *, num: int) -> Tensor:
    """Return P(J = j) for J ~ Binomial(num, p), j = 0..num in a new last dimension; in float64."""
    p, j = p.double().clamp(0, 1)[..., None], torch.arange(num + 1, dtype=torch.float64, device=p.device)
    n = torch.tensor(float(num), dtype=torch.float64, device=p.device)
    ways = (n + 1).lgamma() - (j + 1).lgamma() - (n - j + 1).lgamma()
    return (ways + torch.special.xlogy(j, p) + torch.special.xlog1py(n - j, -p)).exp()


def _where_mixed(p: Tensor, value: Tensor) -> Tensor:
    return value.masked_fill((p <= 0) | (p >= 1), 0.0)
