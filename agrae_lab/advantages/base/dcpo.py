"""DCPO's smooth advantage standardisation: a prompt's earlier visits beside the present one."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import Ddof
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, group_mean, num_valid, quotient, std_of

Record = list[float]  # visits, mean and standard deviation over them


@link("base", "dcpo")
@dataclass(frozen=True)
class DCPO(Link):
    """Learn from groups of equal rewards too: they are compared with the prompt's earlier visits.

    A = the smaller in size of ((i−1)·N + T)/i and (N + (i−1)·T)/i, N = (r − μ)/σ and T = (r − μ_T)/σ_T   (smooth
    advantage standardisation, arXiv 2509.02333; lime-RL/DCPO:verl/trainer/ppo/core_algos.py,
    compute_dcpo_outcome_advantage).

    i counts the visits of the prompt, this one included; μ, σ are of this visit, μ_T, σ_T of all, in which
    σ_T² = ((i−1)·σ_before² + σ² + (i−1)/i·(μ − μ_before)²) / i. A σ of 0 makes its term 0.
    The first visit is GRPO; then a group of equal rewards has A = T/i. Dynamic clipping, the other half of the method,
    belongs to the loss.
    The laws hold for a first batch. A group without a valid completion is no visit.
    State: for each prompt, its visits, μ_T and σ_T.

    >>> from agrae_lab.advantages import make
    >>> _, state = make("dcpo").step(Tensor([[1, 0, 0, 0]]), Context(prompts=["1+1"]))
    >>> state
    {'dcpo': {'1+1': [1, 0.25, 0.4330126941204071]}}
    >>> make("dcpo").step(Tensor([[1, 1, 1, 1]]), Context(prompts=["1+1"]), state=state)[0]
    tensor([[0.3873, 0.3873, 0.3873, 0.3873]])
    """

    ddof: Ddof = 0

    OFFICIAL: ClassVar = {"ddof": 1}
    MIN_GROUP_SIZE: ClassVar = 2
    STATEFUL: ClassVar = True
    REQUIRES: ClassVar = frozenset({"prompts"})
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving", "groups_independent"})

    def __call__(
        self, rewards_PG: Tensor, context: Context, state: dict[str, Record] | None
    ) -> tuple[Tensor, dict[str, Record]]:
        assert context.prompts is not None
        deviations, n_P1 = centred(rewards_PG), num_valid(rewards_PG)
        mean_P1, std_P1 = group_mean(rewards_PG), std_of(deviations, n_P1, ddof=self.ddof)
        records: dict[str, Any] = dict(state or {})
        totals = []
        for name, n, mean, std in zip(
            context.prompts, *(values.flatten().tolist() for values in (n_P1, mean_P1, std_P1)), strict=True
        ):
            if n:
                records[name] = _with_visit(records.get(name), mean, std)
            totals.append(records.get(name, [1, 0.0, 0.0]))
        visits_P1, total_mean_P1, total_std_P1 = (
            torch.tensor(totals, dtype=torch.float64).to(rewards_PG).split(1, dim=1)
        )
        new_PG = quotient(deviations, std_P1)
        from_total = torch.where(visits_P1 == 1, deviations, rewards_PG - total_mean_P1)  # exactly 0 on a tie
        total_PG = quotient(from_total, torch.where(visits_P1 == 1, std_P1, total_std_P1))
        mostly_new = ((visits_P1 - 1) * new_PG + total_PG) / visits_P1
        mostly_total = (new_PG + (visits_P1 - 1) * total_PG) / visits_P1
        return torch.where(mostly_new.abs() < mostly_total.abs(), mostly_new, mostly_total), records


def _with_visit(before: Record | None, mean: float, std: float) -> Record:
    """Return visits, mean and standard deviation with one more visit."""
    if before is None:
        return [1, mean, std]
    past, past_mean, past_std = before
    visits = past + 1
    variance = (past * past_std**2 + std**2 + past / visits * (mean - past_mean) ** 2) / visits
    return [visits, (past * past_mean + mean) / visits, variance**0.5]
