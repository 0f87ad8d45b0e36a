"""A step's generation batch: one object from prompts to recorded numbers.

Legend: P prompts, G completions of each, N = P·G in the order group by group, n this process's share of N, T tokens.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from agrae_lab.advantages.adapters.trl import ScoredBatch
from agrae_lab.tasks import Verdict
from agrae_lab.training.dynamic_sampling import Draw, Sampled
from agrae_lab.training.overlong import OverlongPenalty


@dataclass(eq=False, repr=False, kw_only=True)
class GenerationBatch(ScoredBatch):
    """A generation batch of the trainer, with its stages' fields in the order in which they are set.

    Those of `ScoredBatch` come after the verdicts. Reading a field before its stage raises AttributeError. A field's
    comment begins with the method that sets it.
    """

    step: int  # counted from 1
    problem_ids_n: list[str]
    overlong: OverlongPenalty | None = None
    metrics: dict[str, Any] = field(default_factory=dict)  # the step's row, as far as it is known
    prompts_n: list[Any] = field(init=False)  # _make_prompts: with images
    sampled: Sampled | None = None  # _draw_groups: with train.sampling_rounds; of all processes
    draws_n: list[Draw] | None = None  # _draw_groups: the completions that _generate and _verify hand to TRL
    verdicts_N: list[Verdict] = field(init=False)  # _verify
    problem_ids_N: list[str] = field(init=False)  # _measure
    completions_N: list[str] = field(init=False)  # _measure
    num_tokens_N: Tensor = field(init=False)  # _measure: the policy's tokens
    truncated_N: Tensor = field(init=False)  # _measure: True without an end token
    mean_logprob_N: Tensor = field(init=False)  # _measure: nats a token, of the policy that sampled
    mean_entropy_N: Tensor = field(init=False)  # _measure: nats a token, of the policy that sampled
    longest: dict[str, Tensor] = field(init=False)  # _measure: this process's longest completion with its prompt
    grpo_PG: Tensor = field(init=False)  # _measure: plain GRPO's advantages
    complete_at: float = field(init=False)  # _generate_and_score_completions: time.perf_counter()
    update_logprobs_nT: Tensor = field(init=False)  # _compute_loss: of the updated policy, on the current micro-batch
    update_entropies_nT: Tensor = field(init=False)  # _compute_loss: of the same, with gradient; dropped after it

    @property
    def dropped_draws(self) -> list[Draw]:
        """Completions that were sampled in this step and are not trained on."""
        return [draw for group in (self.sampled.dropped if self.sampled else ()) for draw in group.draws]

    def reward(self, verdict: Verdict, num_tokens: int) -> float | None:
        """Return the reward in training of a completion: the verdict's and the length's; None if it is invalid."""
        if not verdict.valid:
            return None
        return verdict.reward + (self.overlong.weight * self.overlong(num_tokens) if self.overlong else 0.0)

    def overlong_penalty(self, verdict: Verdict, num_tokens: int) -> float | None:
        """Return a completion's soft overlong penalty, without the weight; None without one, or if it is invalid."""
        return self.overlong(num_tokens) if self.overlong and verdict.valid else None

    def add_seconds(self, name: str, start: float) -> None:
        """Add the seconds since `start` to a metric."""
        self.metrics[name] = self.metrics.get(name, 0.0) + time.perf_counter() - start

    def release_loss_inputs(self) -> dict[str, Any]:
        """Return TRL's loss inputs; drop them, the prompts, log-probs and entropies, which are no longer needed."""
        loss_inputs = self.loss_inputs
        del self.loss_inputs, self.prompts_n, self.logprobs_nT, self.entropies_nT
        return loss_inputs
