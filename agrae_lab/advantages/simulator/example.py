"""One step of one small behaviour space: Theorem 1 for every trajectory (Figure 1, left)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Estimator
from agrae_lab.advantages.theory import logit_updates

# Chosen by hand so that every case occurs: an over-confident wrong head that rises under suppressed positives although
# it was drawn (B.5), a wrong trajectory drawn twice, correct ones drawn and not drawn. p = 2/8.
PROBABILITIES = (0.50, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.03, 0.02, 0.02, 0.01)
CORRECT = (2, 5, 7, 9)
DRAWS = (0, 0, 1, 1, 2, 3, 5, 6)


def logit_update_rows(estimators: Sequence[Estimator]) -> list[dict[str, object]]:
    """Return a row for each estimator and trajectory: its probability before, and Δh (η = 1), measured and closed form.

    Columns: estimator, trajectory, num_draws, correct, probability, update (the gradient of Σ_k A_k ln π_k by
    automatic differentiation), update_closed_form (`theory.logit_updates`).
    """
    policy_PN = torch.tensor([PROBABILITIES], dtype=torch.float64)
    draws_PG = torch.tensor([DRAWS])
    correct_PN = torch.zeros_like(policy_PN, dtype=torch.bool)
    correct_PN[:, list(CORRECT)] = True
    rows = []
    for estimator in estimators:
        advantages_PG = estimator(correct_PN.gather(1, draws_PG).double())
        measured_PN = gradient(policy_PN.log(), draws_PG, advantages_PG)
        closed_PN = logit_updates(policy_PN, draws_PG, advantages_PG)
        rows += [
            {
                "estimator": estimator.name,
                "trajectory": i,
                "num_draws": DRAWS.count(i),
                "correct": i in CORRECT,
                "probability": probability,
                "update": float(measured_PN[0, i]),
                "update_closed_form": float(closed_PN[0, i]),
            }
            for i, probability in enumerate(PROBABILITIES)
        ]
    return rows


def gradient(logits_PN: Tensor, draws_PG: Tensor, advantages_PG: Tensor) -> Tensor:
    """Return ∂/∂h of Σ_k A_k ln π_k(h) over the draws k, [P, N], by automatic differentiation."""
    logits_PN = logits_PN.detach().requires_grad_()
    (advantages_PG * logits_PN.log_softmax(dim=1).gather(1, draws_PG)).sum().backward()
    assert logits_PN.grad is not None
    return logits_PN.grad
