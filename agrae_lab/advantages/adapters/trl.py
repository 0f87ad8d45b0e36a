"""Any estimator in TRL's GRPOTrainer. Nothing is imported from TRL: the mixin sits on top of the trainer it is given.

    from agrae_lab.advantages.adapters.trl import with_advantage

    trainer = with_advantage(GRPOTrainer, "a_grae")(model=..., reward_funcs=..., args=..., train_dataset=...)

After TRL has scored a generation batch, its advantages are replaced by the estimator's, computed from the rewards of
all processes; whatever `scale_rewards` says has no effect on them. In evaluation TRL's own stand. Success rates are
taken from the rewards too; where these are not 0 or 1, a subclass says what is correct in `_correct`.

Legend: P prompts, G completions, N = P·G, n this process's share of N, T completion tokens, F reward functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, Estimator
from agrae_lab.advantages.presets import make

STATE_FILE = "advantage_state.json"  # in a checkpoint: what a stateful estimator remembers
# What TRL hands on of prompts with pictures, by model: pixels, how they lie, and which tokens stand for them.
PICTURE_FIELDS = (
    *("pixel_values", "pixel_attention_mask", "num_images", "num_tiles"),
    *("image_grid_thw", "image_sizes", "image_position_ids", "spatial_shapes"),
    *("token_type_ids", "mm_token_type_ids"),
)


def with_advantage(trainer_class: type, advantage: str | Estimator, **overrides: Any) -> type:
    """`trainer_class` (TRL's GRPOTrainer or a subclass) under an estimator, given or made by `make`.

    Raises:
        ValueError: as `make`.
    """
    chosen = advantage if isinstance(advantage, Estimator) else make(advantage, **overrides)
    return type(f"{trainer_class.__name__}With{chosen.name}", (AdvantageMixin, trainer_class), {"estimator": chosen})


class AdvantageMixin:
    """Put before TRL's GRPOTrainer in a class's bases, with `estimator` set on the class or the instance.

    A stateful estimator's state lies in checkpoints, and a resumed run goes on from it.
    """

    estimator: Estimator
    keep_scores = False  # whether token log-probabilities and entropies are kept even if the estimator needs none

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.advantage_state: dict[str, Any] = {}
        self._scored: tuple[Tensor, Tensor] | None = None  # log-probabilities and entropies at sampling [n, T]
        self._rewards_NF: Tensor | None = None

    def _calculate_rewards(self, *arguments: Any, **keywords: Any) -> Tensor:
        self._rewards_NF = super()._calculate_rewards(*arguments, **keywords)  # type: ignore[misc]
        return self._rewards_NF

    def _get_per_token_logps_and_entropies(self, model: Any, *arguments: Any, **keywords: Any) -> tuple:
        is_sampler = self._keeps_scores and model is self.model and not torch.is_grad_enabled()
        if is_sampler:  # entropy in the pass that scores the sampled tokens belongs to the policy that sampled
            keywords["compute_entropy"] = True
        scores = super()._get_per_token_logps_and_entropies(model, *arguments, **keywords)  # type: ignore[misc]
        if is_sampler:
            self._scored = scores[:2]
        return scores

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._scored = None
        output = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        if self.model.training:
            if self._keeps_scores and self._scored is None:  # exactly on policy: TRL needs no old log-probabilities
                self._score(output)
            self._replace_advantages(output)
        return output

    def _replace_advantages(self, output: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Put the estimator's advantages into TRL's batch; returns rewards and advantages, [P, G], of all processes.

        Token-level advantages are returned as each completion's mean over its tokens.
        """
        rewards_PG = self._total_rewards().view(-1, self.num_generations)
        context = self._advantage_context(output)
        advantages = self.estimator(rewards_PG, context)
        n, num_tokens = output["completion_mask"].shape
        mine = slice(self.accelerator.process_index * n, (self.accelerator.process_index + 1) * n)
        if self.estimator.is_token_level:
            mask_PGT = context.mask_PGT
            assert mask_PGT is not None
            output["advantages"] = advantages.flatten(0, 1)[mine, :num_tokens]
            advantages = (advantages * mask_PGT).sum(dim=2) / mask_PGT.sum(dim=2).clamp(min=1)
        else:
            output["advantages"] = advantages.flatten()[mine]
        self._logs["advantages"].extend(advantages.flatten().tolist())  # one batch long: pushes TRL's own out
        return rewards_PG, advantages

    def _total_rewards(self) -> Tensor:
        """The weighted sum of the reward functions, [N], NaN where none of them could decide."""
        assert self._rewards_NF is not None
        weighted_NF = self._rewards_NF * self.reward_weights.to(self._rewards_NF)
        return weighted_NF.nansum(dim=1).masked_fill(weighted_NF.isnan().all(dim=1), torch.nan)

    def _reward_parts(self) -> Mapping[str, Tensor]:
        """The reward functions one by one, name → [P, G]."""
        assert self._rewards_NF is not None
        columns = self._rewards_NF.unbind(dim=1)
        return {
            name: column.view(-1, self.num_generations)
            for name, column in zip(self.reward_func_names, columns, strict=True)
        }

    def _correct(self) -> Tensor | None:
        """Which completions of all processes are correct, [P, G]; None, as here: the rewards say it themselves."""
        return None

    def _advantage_context(self, output: dict[str, Any]) -> Context:
        """What the estimator asks for, of all processes."""
        needed = self.estimator.requires
        mask_nT = output["completion_mask"]
        given: dict[str, Any] = {"state": self.advantage_state, "correct_PG": self._correct()}
        if "lengths" in needed:
            given["lengths_PG"] = self._of_all_processes(mask_nT.sum(dim=1))
        if "parts" in needed:
            given["parts"] = self._reward_parts()
        if needed & {"entropies", "logprobs"}:
            assert self._scored is not None
            given["logprobs_PGT"], given["entropies_PGT"] = (self._of_all_processes(x) for x in self._scored)
            given["mask_PGT"] = self._of_all_processes(mask_nT)
        return Context(**given)

    def _of_all_processes(self, values: Tensor) -> Tensor:
        """[n, ...] of each process → [P, G, ...] of all; token axes are padded with zeros to the longest."""
        if values.ndim > 1:
            values = self.accelerator.pad_across_processes(values, dim=1)
        return self.accelerator.gather(values.contiguous()).unflatten(0, (-1, self.num_generations))

    @property
    def _keeps_scores(self) -> bool:
        return self.keep_scores or bool(self.estimator.requires & {"entropies", "logprobs"})

    @torch.no_grad()
    def _score(self, output: dict[str, Any]) -> None:
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
        self._get_per_token_logps_and_entropies(
            self.model,
            ids,
            mask,
            output["completion_ids"].shape[1],
            batch_size=self.args.per_device_train_batch_size,
            **{k: output[k] for k in PICTURE_FIELDS if k in output},
        )

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        if self.estimator.is_stateful and self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            (folder / STATE_FILE).write_text(json.dumps(self.advantage_state))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if self.estimator.is_stateful and checkpoint is not None:
            path = Path(checkpoint) / STATE_FILE
            if not path.is_file():
                raise ValueError(
                    f"checkpoint {checkpoint} has no {STATE_FILE}: it was not made under advantage "
                    f"{self.estimator.name!r}, which remembers earlier batches; resume with the estimator it was made "
                    "under, or start anew"
                )
            self.advantage_state = json.loads(path.read_text())

    # What the trainer beneath provides.
    model: Any
    args: Any
    state: Any
    accelerator: Any
    num_generations: Any
    reward_weights: Tensor
    reward_func_names: list[str]
    _logs: dict[str, Any]
    _get_output_dir: Any
