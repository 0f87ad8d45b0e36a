"""Any estimator in TRL's GRPOTrainer. Nothing is imported from TRL: the mixin extends the trainer class it is given.

    from agrae_lab.advantages.adapters.trl import with_advantage

    trainer = with_advantage(GRPOTrainer, "a_grae")(model=..., reward_funcs=..., args=..., train_dataset=...)

After TRL has scored a generation batch, the estimator's advantages replace its own. They are computed from the rewards
of all processes, and `scale_rewards` has no effect on them. In evaluation TRL's own advantages stand.

If rewards are 0 or 1, success rates come from them. Otherwise pass `correct=`, the name of the reward function that is
1 for a correct completion; if you have none, add one with weight 0 (`reward_weights`):

    with_advantage(GRPOTrainer, "a_grae", correct="accuracy_reward")(reward_funcs=[accuracy_reward, format_reward], ...)

Tokens that a tool or an environment has written (TRL's `tool_mask`, `env_mask`) are not the policy's: lengths, token
entropies, token log-probs and token-level advantages leave them out.

Legend: P prompts, G completions, N = P·G, n this process's share of N, T completion tokens, F reward functions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, Estimator, unknown_name_message
from agrae_lab.advantages.presets import make
from agrae_lab.advantages.statistics import mean_over_tokens, widened

STATE_FILE = "advantage_state.json"  # the state of a stateful estimator, in a checkpoint
# TRL's fields of prompts with images: pixels, their layout, and the tokens that stand for them. They vary by model.
IMAGE_FIELDS = (
    *("pixel_values", "pixel_attention_mask", "num_images", "num_tiles"),
    *("image_grid_thw", "image_sizes", "image_position_ids", "spatial_shapes"),
    *("token_type_ids", "mm_token_type_ids"),
)


def with_advantage(
    trainer_class: type, advantage: str | Estimator, *, correct: str | None = None, **overrides: Any
) -> type:
    """Return a subclass of `trainer_class` (TRL's GRPOTrainer or a subclass) that trains under an estimator.

    Args:
        advantage: an estimator, or the name of a preset for `make`.
        correct: name of the reward function that gives 1 to a correct completion and 0 to any other. None: the total
            reward says it (0 or 1).
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


@dataclass(eq=False, repr=False, kw_only=True)
class ScoredBatch:
    """A generation batch, from TRL's rewards to the estimator's advantages.

    Each stage sets its fields; reading a field before its stage raises AttributeError. The comment of a field begins
    with the method that sets it. Fields of n completions are of this process, those of N or P·G of all processes.
    """

    rows_n: list[dict[str, Any]] = field(default_factory=list)  # the dataset's rows
    rewards_NF: Tensor = field(init=False)  # _calculate_rewards: of each reward function; NaN where it gave None
    policy_passes: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # log-probs and entropies, [n, T] each
    loss_inputs: dict[str, Any] = field(init=False)  # TRL's _generate_and_score_completions
    logprobs_nT: Tensor = field(init=False)  # _find_token_stats: of the policy that sampled
    entropies_nT: Tensor = field(init=False)  # _find_token_stats: nats
    rewards_PG: Tensor = field(init=False)  # _replace_advantages: NaN for an invalid completion
    advantages_PG: Tensor = field(init=False)  # _replace_advantages: means over tokens where they are token-level


@dataclass(frozen=True)
class UnmarkedContext(Context):
    """Context when no reward function is named as `correct`: the rewards must say it themselves.

    num_functions: reward functions whose weighted sum the rewards are.
    """

    num_functions: int = 1

    def correctness(self, rewards_PG: Tensor) -> Tensor:
        """Return the rewards as correctness: values in [0, 1] of one function; only 0 and 1 of several.

        Raises:
            ValueError: another value.
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
    """Return 1 at the policy's tokens, 0 at padding and at tokens of tools or an environment, [n, T]."""
    mask_nT = batch["completion_mask"]
    return mask_nT * batch["tool_mask"] if "tool_mask" in batch else mask_nT


def prompt_name(prompt: Any) -> str:
    """Return 16 hex digits of a prompt, a string or messages; images count by their pixels."""

    def by_content(value: Any) -> str:
        return hashlib.sha256(value.tobytes()).hexdigest()

    return hashlib.sha256(json.dumps(prompt, default=by_content).encode()).hexdigest()[:16]


class AdvantageStages:
    """Stages from rewards to advantages, for a subclass of GRPOTrainer that sets `_batch` and calls them in order.

    The subclass overrides `_generate_and_score_completions`: TRL 1.16 computes advantages inline there, without a hook.
    Used by AdvantageMixin (plain TRL) and AdvantageTrainer (agrae_lab/training/trainer.py), which differ only in when
    the stages run. A stateful estimator's state is saved with checkpoints and loaded from them.
    """

    estimator: Estimator
    correct: str | None = None  # the reward function that marks correct completions; None: the total reward does
    keeps_token_stats = False  # True: log-probs and entropies are kept even if the estimator needs none
    _batch: ScoredBatch | None = None  # the batch in progress, for the hooks that TRL calls

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.advantage_state: dict[str, Any] = {}
        self._check_correct()

    def _check_correct(self) -> None:
        """Raise ValueError if `correct` names no reward function, or more than one."""
        if self.correct is None or self.reward_func_names.count(self.correct) == 1:
            return
        if self.correct in self.reward_func_names:
            raise ValueError(
                f"with_advantage: correct={self.correct!r} names several of the reward functions; rename one"
            )
        raise ValueError(
            f"with_advantage: {unknown_name_message('reward function', self.correct, self.reward_func_names)}"
        )

    def _calculate_rewards(self, *arguments: Any, **keywords: Any) -> Tensor:
        """Extend TRL's method: keep the rewards of all processes and functions, which TRL sums up at once."""
        rewards_NF = super()._calculate_rewards(*arguments, **keywords)  # type: ignore[misc]
        assert self._batch is not None
        self._batch.rewards_NF = widened(rewards_NF)
        return rewards_NF

    def _get_per_token_logps_and_entropies(self, model: Any, *arguments: Any, **keywords: Any) -> tuple:
        """Extend TRL's method: keep what the passes over the sampled tokens give, and have them compute entropy.

        TRL computes entropy in the update alone, where it is another policy's from the second mini-batch on.
        """
        is_kept = self._needs_token_stats and model is self.model and not torch.is_grad_enabled()
        if is_kept:
            keywords["compute_entropy"] = True
        token_stats = super()._get_per_token_logps_and_entropies(model, *arguments, **keywords)  # type: ignore[misc]
        if is_kept and self._batch is not None:
            self._batch.policy_passes.append(token_stats[:2])
        return token_stats

    @property
    def _needs_token_stats(self) -> bool:
        return self.keeps_token_stats or bool(self.estimator.requires & {"entropies", "logprobs"})

    def _find_token_stats(self, batch: ScoredBatch) -> None:
        """Set log-probs and entropies of the policy that sampled, where they are needed.

        Of the passes that TRL has made, the policy's is the one whose log-probs are handed on as the old ones; another
        may be the reference's, which under PEFT is the same model with its adapter switched off. Exactly on policy TRL
        needs no old log-probs and makes no such pass: then one is made here.
        """
        if self._needs_token_stats:
            old_logprobs = batch.loss_inputs.get("old_per_token_logps")
            found = [token_stats for token_stats in batch.policy_passes if token_stats[0] is old_logprobs]
            batch.logprobs_nT, batch.entropies_nT = found[0] if found else self._token_stats(batch.loss_inputs)
        batch.policy_passes.clear()

    @torch.no_grad()
    def _token_stats(self, loss_inputs: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return log-probs and entropies of the completion tokens under the policy, [n, T] each."""
        ids = torch.cat([loss_inputs["prompt_ids"], loss_inputs["completion_ids"]], dim=1)
        mask = torch.cat([loss_inputs["prompt_mask"], loss_inputs["completion_mask"]], dim=1)
        token_stats = self._get_per_token_logps_and_entropies(
            self.model,
            ids,
            mask,
            loss_inputs["completion_ids"].shape[1],
            batch_size=self.args.per_device_train_batch_size,
            **{name: loss_inputs[name] for name in IMAGE_FIELDS if name in loss_inputs},
        )
        return token_stats[:2]

    def _replace_advantages(self, batch: ScoredBatch) -> None:
        """Put the estimator's advantages in the place of TRL's, in its loss inputs and its log."""
        correct_PG = self._correct(batch)
        batch.rewards_PG = self._total_rewards(batch, correct_PG)
        context = self._context(batch, correct_PG)
        advantages, self.advantage_state = self.estimator.step(batch.rewards_PG, context, state=self.advantage_state)
        n, num_tokens = batch.loss_inputs["completion_mask"].shape
        mine = slice(self.accelerator.process_index * n, (self.accelerator.process_index + 1) * n)
        if self.estimator.is_token_level:
            assert context.mask_PGT is not None
            batch.loss_inputs["advantages"] = advantages.flatten(0, 1)[mine, :num_tokens]
            advantages = mean_over_tokens(advantages, context.mask_PGT)
        else:
            batch.loss_inputs["advantages"] = advantages.flatten()[mine]
        batch.advantages_PG = advantages
        self._logs["advantages"].extend(
            advantages.flatten().tolist()
        )  # this deque holds one batch, so ours replace TRL's

    def _correct(self, batch: ScoredBatch) -> Tensor | None:
        """Return 1 for a correct completion, 0 for any other, NaN where it is not known, [P, G].

        None: the rewards themselves are 1 or 0.

        Raises:
            ValueError: the reward function `correct` gives something else than 1, 0 or None.
        """
        if self.correct is None:
            return None
        correct_N = batch.rewards_NF[:, self.reward_func_names.index(self.correct)]
        strange = correct_N[~((correct_N == 0) | (correct_N == 1) | correct_N.isnan())]
        if len(strange):
            raise ValueError(
                f"reward function {self.correct!r} must give 1 to a correct completion, 0 to any other, and None where "
                f"it cannot decide, since correct={self.correct!r}; it gave {strange[0].item():g}"
            )
        return correct_N.view(-1, self.num_generations)

    def _total_rewards(self, batch: ScoredBatch, correct_PG: Tensor | None) -> Tensor:
        """Return the weighted sum of the reward functions, [P, G].

        NaN marks an invalid completion: all functions gave None, or the one that marks correct completions did.
        """
        weighted_NF = batch.rewards_NF * self.reward_weights.to(batch.rewards_NF)
        is_invalid = weighted_NF.isnan().all(dim=1)
        if correct_PG is not None:
            is_invalid |= correct_PG.flatten().isnan()
        return weighted_NF.nansum(dim=1).masked_fill(is_invalid, torch.nan).view(-1, self.num_generations)

    def _reward_components(self, batch: ScoredBatch) -> Mapping[str, Tensor]:
        """Return the reward functions one by one, name → [P, G]."""
        columns = batch.rewards_NF.unbind(dim=1)
        return {
            name: column.view(-1, self.num_generations)
            for name, column in zip(self.reward_func_names, columns, strict=True)
        }

    def _gather_prompt_names(self, batch: ScoredBatch) -> list[str]:
        """Return the names of the P prompts of all processes."""
        from accelerate.utils import gather_object  # with TRL; the estimators need torch alone

        return gather_object(self._prompt_names(batch))[:: self.num_generations]

    def _prompt_names(self, batch: ScoredBatch) -> list[str]:
        """Return a name for the prompt of each completion of this process, the same whenever the prompt comes again."""
        return [prompt_name(row["prompt"]) for row in batch.rows_n]

    def _context(self, batch: ScoredBatch, correct_PG: Tensor | None) -> Context:
        """Return the inputs that the estimator requires, of all processes."""
        required = self.estimator.requires
        mask_nT = policy_mask(batch.loss_inputs)
        given: dict[str, Any] = {"correct_PG": correct_PG}
        if "lengths" in required:
            given["lengths_PG"] = self._gather_groups(mask_nT.sum(dim=1))
        if "parts" in required:
            given["parts"] = self._reward_components(batch)
        if "prompts" in required:
            given["prompts"] = self._gather_prompt_names(batch)
        if required & {"entropies", "logprobs"}:
            given["logprobs_PGT"] = self._gather_groups(batch.logprobs_nT)
            given["entropies_PGT"] = self._gather_groups(batch.entropies_nT)
            given["mask_PGT"] = self._gather_groups(mask_nT)
        if correct_PG is None:
            return UnmarkedContext(**given, num_functions=len(self.reward_func_names))
        return Context(**given)

    def _gather_groups(self, values: Tensor) -> Tensor:
        """Return [P, G, ...] of all processes from [n, ...] of each; zeros pad token axes to the longest."""
        if values.ndim > 1:
            values = self.accelerator.pad_across_processes(values, dim=1)
        return self.accelerator.gather(values.contiguous()).unflatten(0, (-1, self.num_generations))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Extend TRL's method: save the state of a stateful estimator with the checkpoint."""
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        if self.estimator.is_stateful and self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            (folder / STATE_FILE).write_text(json.dumps(self.advantage_state))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Extend TRL's method, which runs on every resume: load the state of a stateful estimator.

        Raises:
            ValueError: the checkpoint has no such state.
        """
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if self.estimator.is_stateful and checkpoint is not None:
            path = Path(checkpoint) / STATE_FILE
            if not path.is_file():
                raise ValueError(
                    f"checkpoint {checkpoint} has no {STATE_FILE}: it was not made under advantage "
                    f"{self.estimator.name!r}, which keeps a state from batch to batch. Resume with the estimator "
                    "that it was made under, or train from the start"
                )
            self.advantage_state = json.loads(path.read_text())

    # Provided by GRPOTrainer.
    model: Any
    args: Any
    state: Any
    accelerator: Any
    num_generations: Any
    reward_weights: Tensor
    reward_func_names: list[str]
    _logs: dict[str, Any]
    _get_output_dir: Any


class AdvantageMixin(AdvantageStages):
    """Put before TRL's GRPOTrainer in a class's bases, with `estimator` set on the class or the instance."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Extend TRL 1.16's method: in training, replace the advantages that it has computed."""
        batch = self._batch = ScoredBatch(rows_n=inputs)
        batch.loss_inputs = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        if self.model.training:
            self._find_token_stats(batch)
            self._replace_advantages(batch)
        self._batch = None
        return batch.loss_inputs
