"""Diagnostics of a batch of advantages: sums, mass by sign, and the share that differs from plain GRPO."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from agrae_lab.advantages.statistics import in_float32

RELATIVE_TOLERANCE = 1e-6  # above float32 rounding, below any change of formula


@dataclass(frozen=True)
class Diagnostics:
    """Sums over a batch of advantages.

    adv_sum: ΣA. adv_abs_sum: Σ|A|, the update mass. adv_positive_mass, adv_negative_mass: Σ|A| by sign of A.
    grpo_abs_sum: Σ|A| of plain GRPO on the same rewards.
    adv_share_changed: share of the batch's advantages that differ from plain GRPO's.
    """

    adv_sum: float
    adv_abs_sum: float
    adv_positive_mass: float
    adv_negative_mass: float
    grpo_abs_sum: float
    adv_share_changed: float


@in_float32
def diagnose(advantages_PG: Tensor, grpo_PG: Tensor) -> Diagnostics:
    """Compare a batch's advantages [P, G] with plain GRPO's of the same rewards."""
    positive = float(advantages_PG.clamp(min=0).sum())
    negative = float(-advantages_PG.clamp(max=0).sum())
    changed = (advantages_PG - grpo_PG).abs() > RELATIVE_TOLERANCE * grpo_PG.abs().clamp(min=RELATIVE_TOLERANCE)
    return Diagnostics(
        adv_sum=positive - negative,
        adv_abs_sum=positive + negative,
        adv_positive_mass=positive,
        adv_negative_mass=negative,
        grpo_abs_sum=float(grpo_PG.abs().sum()),
        adv_share_changed=float(changed.float().mean()),
    )
