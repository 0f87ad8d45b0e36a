"""Records of a simulation's steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Records:
    """One entry for each of R recorded steps, [R] each; `pass_at_k_RK` is [R, K] for the K values of `ks`.

    Of the policy that draws the step's batch, before its update, means over prompts:
    pass_at_k: probability that at least one of k draws is correct, 1 − (1 − p)^k, exactly.
    entropy: of π, nats. effective_trajectories: exp(entropy of π). Both fall in a collapse.
    top_wrong_prob: probability of the likeliest wrong trajectory; near 1 in a collapse onto a wrong answer.

    Of the batch:
    omega: ω, the mean reward. adv_sum, adv_abs_sum: ΣA and Σ|A| over all draws of all prompts.
    unsolved_share: share of prompts without a correct draw.

    Of correct trajectories, all prompts together; `unsampled_…`: those not drawn in this step (Theorem 1),
    `never_sampled_…`: those not drawn in this step or any before it. NaN where there is none.
    …_prob: their probability in total, mean over prompts. …_logit: their mean logit. …_prob_change, …_logit_change:
    the change of both by this step's update. never_sampled_correct_share: their share of all correct trajectories.
    """

    ks: tuple[int, ...]
    step_R: Tensor
    pass_at_k_RK: Tensor
    entropy_R: Tensor
    effective_trajectories_R: Tensor
    top_wrong_prob_R: Tensor
    omega_R: Tensor
    adv_sum_R: Tensor
    adv_abs_sum_R: Tensor
    unsolved_share_R: Tensor
    unsampled_correct_prob_R: Tensor
    unsampled_correct_prob_change_R: Tensor
    unsampled_correct_logit_R: Tensor
    unsampled_correct_logit_change_R: Tensor
    never_sampled_correct_share_R: Tensor
    never_sampled_correct_prob_R: Tensor
    never_sampled_correct_prob_change_R: Tensor
    never_sampled_correct_logit_R: Tensor
    never_sampled_correct_logit_change_R: Tensor

    def rows(self) -> list[dict[str, int | float]]:
        """Return a plain dict for each recorded step, Pass@k as `pass_at_<k>`."""
        names = [f.name for f in dataclasses.fields(self) if f.name.endswith("_R")]
        columns = {name.removesuffix("_R"): getattr(self, name).tolist() for name in names}
        passk = {f"pass_at_{k}": self.pass_at_k_RK[:, i].tolist() for i, k in enumerate(self.ks)}
        columns = {"step": columns.pop("step"), **passk, **columns}
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@dataclass(frozen=True)
class Moment:
    """One step: logits before and after the update, draws, rewards and advantages.

    logits_PN, next_logits_PN; correct_PN, sampled_PN (in this step), ever_sampled_PN (in this step or before): bool;
    rewards_PG, advantages_PG.
    """

    logits_PN: Tensor
    next_logits_PN: Tensor
    correct_PN: Tensor
    sampled_PN: Tensor
    ever_sampled_PN: Tensor
    rewards_PG: Tensor
    advantages_PG: Tensor


def pass_at_k(policy_PN: Tensor, correct_PN: Tensor, ks: Sequence[int]) -> Tensor:
    """Return 1 − (1 − p)^k for each k, p the probability of a correct trajectory, [P, K]; exact with replacement."""
    p_P1 = (policy_PN * correct_PN).sum(dim=1, keepdim=True).clamp(max=1.0)
    return -torch.expm1(torch.tensor(ks, dtype=policy_PN.dtype) * torch.log1p(-p_P1))


def measure(moment: Moment, *, ks: Sequence[int]) -> dict[str, Tensor]:
    """Return one step's entries for `Records` by field name, without `step_R`."""
    log_policy_PN = moment.logits_PN.log_softmax(dim=1)
    policy_PN, next_policy_PN = log_policy_PN.exp(), moment.next_logits_PN.softmax(dim=1)
    entropy_P = -(policy_PN * log_policy_PN).sum(dim=1)
    unsampled_PN = moment.correct_PN & ~moment.sampled_PN
    never_PN = moment.correct_PN & ~moment.ever_sampled_PN
    return {
        "pass_at_k_RK": pass_at_k(policy_PN, moment.correct_PN, ks).mean(dim=0),
        "entropy_R": entropy_P.mean(),
        "effective_trajectories_R": entropy_P.exp().mean(),
        "top_wrong_prob_R": policy_PN.masked_fill(moment.correct_PN, 0.0).amax(dim=1).mean(),
        "omega_R": moment.rewards_PG.mean(),
        "adv_sum_R": moment.advantages_PG.sum(),
        "adv_abs_sum_R": moment.advantages_PG.abs().sum(),
        "unsolved_share_R": (moment.rewards_PG == 0).all(dim=1).to(policy_PN.dtype).mean(),
        "never_sampled_correct_share_R": never_PN.sum() / moment.correct_PN.sum(),
        **_set_entries("unsampled_correct", unsampled_PN, moment, policy_PN, next_policy_PN),
        **_set_entries("never_sampled_correct", never_PN, moment, policy_PN, next_policy_PN),
    }


def stack(steps: Sequence[int], measured: Sequence[Mapping[str, Tensor]], *, ks: Sequence[int]) -> Records:
    """Stack the `measure`d entries of the recorded steps."""
    columns = {name: torch.stack([entries[name] for entries in measured]) for name in measured[0]}
    return Records(ks=tuple(ks), step_R=torch.tensor(steps), **columns)


def _set_entries(
    name: str, inside_PN: Tensor, moment: Moment, policy_PN: Tensor, next_policy_PN: Tensor
) -> dict[str, Tensor]:
    size = inside_PN.sum()  # 0: 0/0 is NaN, there is no such trajectory
    empty = torch.where(size > 0, 0.0, torch.nan).to(policy_PN.dtype)

    def prob(values_PN: Tensor) -> Tensor:
        return (values_PN * inside_PN).sum() / len(values_PN) + empty

    def logit(values_PN: Tensor) -> Tensor:
        return (values_PN * inside_PN).sum() / size

    return {
        f"{name}_prob_R": prob(policy_PN),
        f"{name}_prob_change_R": prob(next_policy_PN - policy_PN),
        f"{name}_logit_R": logit(moment.logits_PN),
        f"{name}_logit_change_R": logit(moment.next_logits_PN - moment.logits_PN),
    }
