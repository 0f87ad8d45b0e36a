"""Any estimator in TRL's GRPOTrainer. Nothing is imported from TRL: the mixin sits on top of the trainer it is given.

    from agrae_lab.advantages.adapters.trl import with_advantage

    trainer = with_advantage(GRPOTrainer, "a_grae")(model=..., reward_funcs=..., args=..., train_dataset=...)

After TRL has scored a generation batch, its advantages are replaced by the estimator's, computed from the rewards of
all processes; whatever `scale_rewards` says has no effect on them. In evaluation TRL's own stand.

Success rates are taken from the rewards too, where these are 0 or 1. Of a mixture, name the reward function that says
what is correct; where none of them does, add one and give it the weight 0 (`reward_weights`):

    with_advantage(GRPOTrainer, "a_grae", correct="accuracy_reward")(reward_funcs=[accuracy_reward, format_reward], ...)

Tokens that a tool or an environment has written (TRL's `tool_mask`, `env_mask`) are not the policy's: lengths, token
entropies and log-probabilities, and advantages by token leave them out.

Legend: P prompts, G completions, N = P·G, n this process's share of N, T completion tokens, F reward functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, Estimator, unknown
from agrae_lab.advantages.presets import make
from agrae_lab.advantages.statistics import mean_over_tokens, widened

STATE_FILE = "advantage_state.json"  # in a checkpoint: what a stateful estimator remembers
# What TRL hands on of prompts with pictures, by model: pixels, how they lie, and which tokens stand for them.
PICTURE_FIELDS = (
    *("pixel_values", "pixel_attention_mask", "num_images", "num_tiles"),
    *("image_grid_thw", "image_sizes", "image_position_ids", "spatial_shapes"),
    *("token_type_ids", "mm_token_type_ids"),
)


def with_advantage(
    trainer_class: type, advantage: str | Estimator, *, correct: str | None = None, **overrides: Any
) -> type:
    """`trainer_class` (TRL's GRPOTrainer or a subclass) under an estimator, given or made by `make`.

    Args:
        correct: name of the reward function that gives 1 to a correct completion and 0 to any other. None: the sum of
            the rewards does.
        overrides: for `make`.

    Raises:
        ValueError: as `make`, or overrides beside an estimator that is made already.
    """
    if isinstance(advantage, Estimator) and overrides:
        raise ValueError(
            f"with_advantage: {', '.join(overrides)} cannot change an estimator that is made already; give its name, "
            f"{advantage.name!r}, or make it with these settings"
        )
    chosen = advantage if isinstance(advantage, Estimator) else make(advantage, **overrides)
    members = {"estimator": chosen, "correct": correct}
    return type(f"{trainer_class.__name__}With{chosen.name}", (AdvantageMixin, trainer_class), members)


@dataclass(frozen=True)
class MixtureContext(Context):
    """A context whose rewards are a mixture of which nobody has said what is correct in it.

    num_functions: reward functions in the mixture.
    """

    num_functions: int = 1

    def accuracy(self, rewards_PG: Tensor) -> Tensor:
        """The rewards, if they can be success themselves.

        Raises:
            ValueError: they are outside [0, 1], or the mixture of several functions is neither 0 nor 1 somewhere.
        """
        values = rewards_PG[~rewards_PG.isnan()]
        is_unit = ((values >= 0) & (values <= 1)).all()
        if not is_unit or (self.num_functions > 1 and not ((values == 0) | (values == 1)).all()):
            strange = values[(values != 0) & (values != 1)][0].item()
            raise ValueError(
                f"the estimator needs to know which completions are correct, and a reward of {strange:g} does not say "
                'it; name the reward function that gives 1 or 0 for it, with_advantage(..., correct="<its name>"), '
                "which may be one with the weight 0 in reward_weights"
            )
        return rewards_PG


def policy_mask(batch: Mapping[str, Any]) -> Tensor:
    """1 at the tokens that the policy has written, 0 at padding and at those of tools or an environment, [n, T]."""
    mask_nT = batch["completion_mask"]
    return mask_nT * batch["tool_mask"] if "tool_mask" in batch else mask_nT


class AdvantageMixin:
    """Put before TRL's GRPOTrainer in a class's bases, with `estimator` set on the class or the instance.

    A stateful estimator's state lies in checkpoints, and a resumed run goes on from it.
    """

    estimator: Estimator
    correct: str | None = None  # the reward function that says what is correct; None: the sum of all does
    keep_scores = False  # whether token log-probabilities and entropies are kept even if the estimator needs none

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.advantage_state: dict[str, Any] = {}
        self._passes: list[tuple[Tensor, Tensor]] = []  # as _scored, of each pass over the sampled tokens
        self._scored: tuple[Tensor, Tensor] | None = None  # log-probabilities and entropies at sampling [n, T]
        self._rewards_NF: Tensor | None = None
        self._check_correct()

    def _check_correct(self) -> None:
        """Raises ValueError if `correct` names no reward function, or more than one."""
        if self.correct is None or self.reward_func_names.count(self.correct) == 1:
            return
        if self.correct in self.reward_func_names:
            raise ValueError(
                f"with_advantage: correct={self.correct!r} names several of the reward functions; rename one"
            )
        raise ValueError(f"with_advantage: {unknown('reward function', self.correct, self.reward_func_names)}")

    def _calculate_rewards(self, *arguments: Any, **keywords: Any) -> Tensor:
        rewards_NF = super()._calculate_rewards(*arguments, **keywords)  # type: ignore[misc]
        self._rewards_NF = widened(rewards_NF)
        return rewards_NF

    def _get_per_token_logps_and_entropies(self, model: Any, *arguments: Any, **keywords: Any) -> tuple:
        is_sampled = self._keeps_scores and model is self.model and not torch.is_grad_enabled()
        if is_sampled:  # entropy in the pass that scores the sampled tokens belongs to the policy that sampled
            keywords["compute_entropy"] = True
        scores = super()._get_per_token_logps_and_entropies(model, *arguments, **keywords)  # type: ignore[misc]
        if is_sampled:
            self._passes.append(scores[:2])
        return scores

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._passes.clear()
        output = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        if self.model.training:
            if self._keeps_scores:
                self._scored = self._scores_of_policy(output)
            self._replace_advantages(output)
        self._passes.clear()
        return output

    def _scores_of_policy(self, output: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies of the policy that sampled, [n, T].

        Under PEFT the reference's pass is one of the same model, with the adapter switched off. The policy's is the one
        whose log-probabilities TRL hands on as the old ones; exactly on policy TRL needs none, and makes no such pass.
        """
        old_logps = output.get("old_per_token_logps")
        for scores in self._passes:
            if scores[0] is old_logps:
                return scores
        self._passes.clear()
        self._score(output)
        (scores,) = self._passes
        return scores

    def _replace_advantages(self, output: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Put the estimator's advantages into TRL's batch; returns rewards and advantages, [P, G], of all processes.

        Token-level advantages are returned as each completion's mean over the policy's tokens.
        """
        rewards_PG = self._total_rewards().view(-1, self.num_generations)
        context = self._advantage_context(output)
        advantages, self.advantage_state = self.estimator.step(rewards_PG, context, state=self.advantage_state)
        n, num_tokens = output["completion_mask"].shape
        mine = slice(self.accelerator.process_index * n, (self.accelerator.process_index + 1) * n)
        if self.estimator.is_token_level:
            mask_PGT = context.mask_PGT
            assert mask_PGT is not None
            output["advantages"] = advantages.flatten(0, 1)[mine, :num_tokens]
            advantages = mean_over_tokens(advantages, mask_PGT)
        else:
            output["advantages"] = advantages.flatten()[mine]
        self._logs["advantages"].extend(advantages.flatten().tolist())  # one batch long: pushes TRL's own out
        return rewards_PG, advantages

    def _total_rewards(self) -> Tensor:
        """The weighted sum of the reward functions, [N], NaN where none of them could decide, or not the one that says
        what is correct."""
        assert self._rewards_NF is not None
        weighted_NF = self._rewards_NF * self.reward_weights.to(self._rewards_NF)
        is_undecided = weighted_NF.isnan().all(dim=1)
        if (correct := self._correct()) is not None:
            is_undecided |= correct.flatten().isnan()
        return weighted_NF.nansum(dim=1).masked_fill(is_undecided, torch.nan)

    def _reward_parts(self) -> Mapping[str, Tensor]:
        """The reward functions one by one, name → [P, G]."""
        assert self._rewards_NF is not None
        columns = self._rewards_NF.unbind(dim=1)
        return {
            name: column.view(-1, self.num_generations)
            for name, column in zip(self.reward_func_names, columns, strict=True)
        }

    def _correct(self) -> Tensor | None:
        """Which completions of all processes are correct, [P, G], NaN where it is not known; None: the rewards say it
        themselves.

        Raises:
            ValueError: the reward function `correct` gives something else than 1, 0 or None.
        """
        if self.correct is None:
            return None
        assert self._rewards_NF is not None
        correct_N = self._rewards_NF[:, self.reward_func_names.index(self.correct)]
        strange = correct_N[~((correct_N == 0) | (correct_N == 1) | correct_N.isnan())]
        if len(strange):
            raise ValueError(
                f"reward function {self.correct!r} must give 1 to a correct completion, 0 to any other, and None where "
                f"it cannot decide, since correct={self.correct!r}; it gave {strange[0].item():g}"
            )
        return correct_N.view(-1, self.num_generations)

    def _advantage_context(self, output: dict[str, Any]) -> Context:
        """What the estimator asks for, of all processes."""
        needed = self.estimator.requires
        mask_nT = policy_mask(output)
        correct_PG = self._correct()
        given: dict[str, Any] = {"correct_PG": correct_PG}
        if "lengths" in needed:
            given["lengths_PG"] = self._of_all_processes(mask_nT.sum(dim=1))
        if "parts" in needed:
            given["parts"] = self._reward_parts()
        if needed & {"entropies", "logprobs"}:
            assert self._scored is not None
            given["logprobs_PGT"], given["entropies_PGT"] = (self._of_all_processes(x) for x in self._scored)
            given["mask_PGT"] = self._of_all_processes(mask_nT)
        return (
            MixtureContext(**given, num_functions=len(self.reward_func_names))
            if correct_PG is None
            else Context(**given)
        )

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
