"""Soft overlong penalty of DAPO (arXiv 2503.14476, equation 13): a reward component of a completion's length alone.

    R(y) = 0                                    |y| ≤ L_max − L_cache
           ((L_max − L_cache) − |y|) / L_cache  up to L_max
           −1                                   beyond

It is added to the verifier's reward with a weight. Verdicts, and with them p and ω, stay the verifier's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trl.rewards import get_soft_overlong_punishment

NAME = "overlong"  # of the reward component


@dataclass(frozen=True)
class OverlongPenalty:
    """Penalty of one run: L_max and L_cache in tokens, and its weight in the reward."""

    longest: int
    cache: int
    weight: float = 1.0

    @classmethod
    def from_share(cls, share: float, *, longest: int, weight: float = 1.0) -> OverlongPenalty:
        """Return the penalty over the last `share` of L_max, in whole tokens and at least one."""
        return cls(longest, max(round(share * longest), 1), weight)

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> OverlongPenalty | None:
        """Return the penalty of a frozen config; None without one."""
        train = config["train"]
        if (share := train.get("overlong_share")) is None:
            return None
        longest, weight = train["max_completion_length"], train.get("overlong_weight", 1.0)
        return cls.from_share(share, longest=longest, weight=weight)

    def __call__(self, num_tokens: int) -> float:
        """Return R of a completion of this length, without the weight, from −1 to 0."""
        return get_soft_overlong_punishment(self.longest, self.cache)([range(num_tokens)])[0]
