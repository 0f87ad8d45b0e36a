"""A step's generation batch: one object from prompts to recorded numbers.

Legend: P prompts, G completions of each, N = P·G in the order group by group, n this process's share of N, T tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from agrae_lab.advantages.adapters.trl import ScoredBatch
from agrae_lab.tasks import Verdict


@dataclass(eq=False, repr=False, kw_only=True)
class GenerationBatch(ScoredBatch):
    """A generation batch of the trainer, with its stages' fields in the order in which they are set.

    Those of `ScoredBatch` come after the verdicts. Reading a field before its stage raises AttributeError.
    """

    step: int  # counted from 1
    problem_ids_n: list[str]
    metrics: dict[str, Any] = field(default_factory=dict)  # the step's row, as far as it is known
    prompts_n: list[Any] = field(init=False)  # _make_prompts: with images
    verdicts_N: list[Verdict] = field(init=False)  # _verify
    problem_ids_N: list[str] = field(init=False)  # _measure, as all below but the last two
    completions_N: list[str] = field(init=False)
    num_tokens_N: Tensor = field(init=False)  # the policy's
    truncated_N: Tensor = field(init=False)  # whether it ended without an end token
    mean_logprob_N: Tensor = field(init=False)  # nats a token, of the policy that sampled
    mean_entropy_N: Tensor = field(init=False)  # the same
    grpo_PG: Tensor = field(init=False)  # plain GRPO's advantages
    complete_at: float = field(init=False)  # _generate_and_score_completions: time.perf_counter()
    update_logprobs_nT: Tensor = field(init=False)  # _compute_loss: of the updated policy, on the current micro-batch

    def release_loss_inputs(self) -> dict[str, Any]:
        """Return TRL's loss inputs, and drop them and all else that is large and no more needed."""
        loss_inputs = self.loss_inputs
        del self.loss_inputs, self.prompts_n, self.logprobs_nT, self.entropies_nT
        return loss_inputs
