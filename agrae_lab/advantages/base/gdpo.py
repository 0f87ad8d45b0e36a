"""GDPO: each part of a reward against its group by itself, then added up and whitened over the batch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred, num_valid, std_of

EPSILON = 1e-4  # added to both standard deviations, as in TRL
ROUNDING = 1e-6  # a sum of parts that varies less than this over a batch is 0 but for rounding


@link("base", "gdpo")
@dataclass(frozen=True)
class GDPO:
    """A = (s − mean_batch(s)) / (std_batch(s) + 1e-4), s = Σ_k w_k·(r_k − mean(r_k)) / (std(r_k) + 1e-4)   (arXiv
    2601.05242; NVlabs/GDPO; TRL's multi_objective_aggregation="normalize_then_sum").

    r_k are the parts of a reward, normalised within the group one by one, so that none drowns another. Standard
    deviations are unbiased. Of the rewards themselves only it counts which are decided.
    weights: part → w_k, finite, for every part; None: 1 for each.
    A part whose values are all equal in a group adds 0 there; an undecided value (NaN) of one part adds 0 to its
    completion. Where all parts cancel over the whole batch: 0. Each part costs about as much as a GRPO.
    """

    weights: Mapping[str, float] | None = None

    MIN_GROUP_SIZE: ClassVar = 2
    REQUIRES: ClassVar = frozenset({"parts"})
    LAWS: ClassVar = frozenset({"shift_invariant", "zero_sum"})

    def __post_init__(self) -> None:
        weights = {} if self.weights is None else self.weights
        if not isinstance(weights, Mapping) or not all(math.isfinite(weight) for weight in weights.values()):
            raise ValueError(
                "advantage.base.weights must give a finite number for each part (w_k of arXiv 2601.05242), as in "
                f"{{outcome: 1, format: 0.5}}; got {weights}"
            )

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        parts = context.parts or {}
        weights = dict.fromkeys(parts, 1.0) if self.weights is None else self.weights
        if weights.keys() != parts.keys():
            raise ValueError(
                f"advantage.base.weights must name the parts of the reward, {', '.join(parts)}; "
                f"got {', '.join(weights)}"
            )
        is_undecided = rewards_PG.isnan()
        total_PG = torch.zeros_like(rewards_PG)
        for part, values_PG in parts.items():
            values_PG = values_PG.to(rewards_PG).masked_fill(is_undecided, math.nan)
            deviations = centred(values_PG)
            std_P1 = std_of(deviations, num_valid(values_PG), ddof=1)
            total_PG = total_PG + weights[part] * deviations / (std_P1 + EPSILON)
        return _whitened(total_PG, is_undecided, rounding=ROUNDING * sum(abs(w) for w in weights.values()))


def _whitened(total_PG: Tensor, is_undecided: Tensor, *, rounding: float) -> Tensor:
    """Over the decided completions of the batch; 0 if they vary by no more than `rounding`."""
    decided = total_PG[~is_undecided]
    if len(decided) < 2 or (std := decided.std()) <= rounding:
        return torch.zeros_like(total_PG)
    return (total_PG - decided.mean()).masked_fill(is_undecided, 0.0) / (std + EPSILON)
