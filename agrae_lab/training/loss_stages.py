"""Parts of a loss that TRL's arguments do not say, or say otherwise: a mixin for the trainer.

Weights must not depend on how an update is divided into passes and over processes: that is the machine's affair.

Legend: N completions of a step, n this process's share of N, T completion tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.adapters.trl import policy_mask
from agrae_lab.config.losses import LOSSES
from agrae_lab.training.batch import GenerationBatch


class LossStages:
    """Put before TRL's GRPOTrainer in the bases of a class that sets `loss_section` and `_batch`."""

    loss_section: Mapping[str, Any]  # the config's section `loss`
    _batch: GenerationBatch

    def _mask_truncated(self, batch: GenerationBatch) -> None:
        """Take truncated completions out of the loss, if it leaves them out; records and advantages keep them.

        TRL's own mask comes before rewards and advantages, and would take their lengths and log-probs out of both.
        """
        if not self.loss_section.get("mask_truncated"):
            return
        mask_nT = batch.loss_inputs["completion_mask"]
        start = self.accelerator.process_index * len(mask_nT)
        truncated_n = batch.truncated_N[start : start + len(mask_nT)].to(mask_nT.device)
        batch.loss_inputs["completion_mask"] = mask_nT * ~truncated_n[:, None]
        num_tokens = policy_mask(batch.loss_inputs).sum()
        batch.loss_inputs["num_items_in_batch"] = self.accelerator.gather(num_tokens).sum()

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        """Extend TRL's method: count the tokens of the update that the micro-batch belongs to, on all processes."""
        inputs = super()._prepare_inputs(generation_batch)  # type: ignore[misc]
        divides_by_update_tokens = LOSSES[self.loss_section["name"]].own_tokens
        if not (self.model.training and (divides_by_update_tokens or self._entropy_bonus_enabled)):
            return inputs
        passes_per_update, passes_per_step = self.args.gradient_accumulation_steps, self.args.steps_per_generation
        first = self._step % passes_per_step // passes_per_update * passes_per_update
        micro_batches = self._buffered_inputs[first : first + passes_per_update]
        local_tokens = sum(policy_mask(micro_batch).sum() for micro_batch in micro_batches)
        inputs = {**inputs, "update_tokens": self.accelerator.gather(local_tokens).sum()}
        if divides_by_update_tokens:
            # TRL divides num_items_in_batch by passes_per_step / passes_per_update. Multiply first, so that
            # update_tokens remains.
            inputs["num_items_in_batch"] = inputs["update_tokens"] * passes_per_step / passes_per_update
        return inputs

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Extend TRL's method: make the entropy bonus a mean over the tokens of the update.

        TRL subtracted w·H_pass, H_pass the mean over the tokens of this pass. The update's mean needs w·r·H_pass, where
        r = tokens of this pass / mean tokens per pass, over all passes and processes of the update. With TRL's r = 1
        the weights would depend on how an update is divided.
        """
        weight = self._bonus_weight()  # before TRL adapts it
        loss = super()._compute_loss(model, inputs)  # type: ignore[misc]
        if weight:
            mask_nT, num_passes = policy_mask(inputs), self.args.gradient_accumulation_steps
            num_tokens, entropies_nT = mask_nT.sum(), self._batch.update_entropies_nT
            num_all_passes = num_passes * self.accelerator.num_processes
            relative_size = num_tokens * num_all_passes / inputs["update_tokens"].clamp(min=1)
            bonus = (entropies_nT * mask_nT).sum() / num_tokens.clamp(min=1) / num_passes
            loss = loss - weight * (relative_size - 1) * bonus
        del self._batch.update_entropies_nT  # with its graph
        return loss

    def _bonus_weight(self) -> float:
        """Return the weight with which TRL adds the entropy of the next pass to the objective."""
        if self.use_adaptive_entropy and self._last_world_entropy > self.args.entropy_target:
            return 0.0
        return self.entropy_coef

    def _get_per_token_logps_and_entropies(self, model: Any, *arguments: Any, **keywords: Any) -> tuple:
        """Extend TRL's method: keep what an update's pass gives, which TRL does not return with the loss."""
        token_stats = super()._get_per_token_logps_and_entropies(model, *arguments, **keywords)  # type: ignore[misc]
        if torch.is_grad_enabled():
            self._batch.update_logprobs_nT = token_stats[0].detach()
            self._batch.update_entropies_nT = token_stats[1]
        return token_stats

    # Provided by GRPOTrainer.
    model: Any
    args: Any
    accelerator: Any
    _step: int
    _buffered_inputs: Any
    use_adaptive_entropy: bool
    entropy_coef: float
    _entropy_bonus_enabled: bool
    _last_world_entropy: float
