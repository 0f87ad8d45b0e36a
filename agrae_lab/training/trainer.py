"""The lab's trainer: TRL's GRPOTrainer under any advantage estimator, with a record of every step.

A step is one generation batch, counted from 1; TRL's `global_step` counts optimizer updates. One `GenerationBatch` goes
through all stages of a step, in this order:

    _generate_and_score_completions     TRL calls it once a step
        _validate_policy                the policy that will sample, every `validate_every` steps
        _draw_groups                    with `sampling_rounds`: completions and verdicts of several rounds of prompts
        _make_prompts                   prompts, with their images
        _tokenize_prompts, _generate    completions (called inside TRL's method)
        _verify                         verdicts and rewards, with any overlong penalty (called inside TRL's method)
        _find_token_stats               log-probs and entropies of the policy that sampled
        _replace_advantages             the estimator's advantages in the place of TRL's
        _measure                        lengths, truncation, GRPO's advantages for comparison, metrics
        _remember_unmixed               problems whose group was not mixed, for `skip_window`
        _record                         rollouts
        _mask_truncated                 truncated completions out of the loss, if loss.mask_truncated
    _prepare_inputs                     for each micro-batch of an update: the tokens of the whole update
    _compute_loss                       for each micro-batch of an update: finite loss, approximate KL
    log                                 after the step's last update: finite logits, the row of metrics

`_find_token_stats` and `_replace_advantages` come from the TRL adapter (`AdvantageStages` in
agrae_lab/advantages/adapters/trl.py), which serves plain TRL trainers too; `_draw_groups` and `_remember_unmixed` from
`SamplingStages` (sampling_stages.py); `_mask_truncated` and `_prepare_inputs` from `LossStages` (loss_stages.py).
Methods of TRL 1.16 that are extended or replaced say so in their first sentence.

Legend: P prompts, G completions of each, N = P·G, n this process's share of N, T completion tokens, F reward functions.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers import PreTrainedModel
from trl import GRPOConfig, GRPOTrainer

from agrae_lab.advantages import Estimator, make
from agrae_lab.advantages.adapters.trl import AdvantageStages, policy_mask
from agrae_lab.advantages.statistics import mean_over_tokens
from agrae_lab.models.memory import advise_when_out_of_memory
from agrae_lab.tasks import Problem, Task, Verdict, differs_from_accuracy, is_control, with_random_rewards
from agrae_lab.tasks.encoding import map_images
from agrae_lab.training import overlong
from agrae_lab.training.batch import GenerationBatch
from agrae_lab.training.dynamic_sampling import completion_text
from agrae_lab.training.loss_stages import LossStages
from agrae_lab.training.memory_advice import sampling_advice
from agrae_lab.training.overlong import OverlongPenalty
from agrae_lab.training.recorder import Recorder, step_metrics, update_metrics
from agrae_lab.training.sampling_stages import SamplingStages
from agrae_lab.training.shared_prompts import shared_prompts
from agrae_lab.training.vllm_colocate import sampling_stream

logger = logging.getLogger(__name__)

BATCHES_BEFORE_WARNING = 3  # batches with a nonzero GRPO advantage in which an estimator may agree with GRPO by chance


class DivergedError(RuntimeError):
    """The loss, the gradient or the policy's logits are not finite."""


class AdvantageTrainer(SamplingStages, LossStages, AdvantageStages, GRPOTrainer):  # type: ignore[misc]
    """GRPOTrainer under any advantage estimator, on a dataset with the one column `problem_id`.

    Args:
        estimator: rewards [P, G] → advantages [P, G], or [P, G, T] token by token.
        task: makes prompts, and is the only reward function.
        problems: problem_id → problem. A prompt is made when it is sampled from, so that images are in memory for one
            batch.
        recorder: writes rollouts and metrics; None on processes that do not write.
        validate: called before every `validate_every`-th step; its values join the step's row. It is called once more
            after the last step; these values get the prefix `final_`.
        on_step: called with each finished row of metrics.
        sampling_rounds: rounds of dynamic sampling at most (dynamic_sampling.py); 1: each step takes what comes.
        skip_window: steps for which a problem is skipped after a group that was not mixed; 0: none is.
        overlong: the soft overlong penalty (overlong.py); None: a reward is the verifier's alone.
        loss: the config's section `loss`, for what TRL's arguments do not say of it.
    """

    args: GRPOConfig
    keeps_token_stats = True
    _batch: GenerationBatch

    def __init__(
        self,
        *,
        estimator: Estimator,
        task: Task,
        problems: Mapping[str, Problem],
        recorder: Recorder | None,
        validate: Callable[[Any], dict[str, float]] | None = None,
        validate_every: int = 1,
        on_step: Callable[[dict[str, Any]], None] | None = None,
        sampling_rounds: int = 1,
        skip_window: int = 0,
        overlong: OverlongPenalty | None = None,
        loss: Mapping[str, Any] | None = None,
        **trl_arguments: Any,
    ) -> None:
        super().__init__(reward_funcs=self._verify, **trl_arguments)
        self.estimator = estimator
        self._grpo = make("grpo", flavor=estimator.flavor)
        self._task, self._problems = task, problems
        self.recorder = recorder
        self._validate, self._validate_every = validate, validate_every
        self._on_step = on_step
        self.sampling_rounds, self.skip_window = sampling_rounds, skip_window
        self.last_unmixed = {}
        self.overlong = overlong
        self.loss_section = loss or {"name": "grpo"}
        self._num_batches_like_grpo: int | None = 0  # None: the estimator has differed from plain GRPO

    @property
    def _updates_per_step(self) -> int:
        assert self.args.steps_per_generation is not None
        return self.args.steps_per_generation * self.num_iterations // self.args.gradient_accumulation_steps

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Extend TRL's method: take one generation batch through the stages before its updates.

        TRL makes completions, rewards and advantages in this one method, without a hook for advantages.
        """
        step = self.state.global_step // self._updates_per_step + 1
        problem_ids_n = [row["problem_id"] for row in inputs]
        batch = self._batch = GenerationBatch(step=step, problem_ids_n=problem_ids_n, overlong=self.overlong)
        self._validate_policy(batch)
        self._draw_groups(batch)
        rows = self._make_prompts(batch)
        batch.loss_inputs = super()._generate_and_score_completions(rows)
        self._find_token_stats(batch)
        self._replace_advantages(batch)
        self._measure(batch)
        self._remember_unmixed(batch)
        self._record(batch)
        self._mask_truncated(batch)
        batch.complete_at = time.perf_counter()
        return batch.release_loss_inputs()

    def _validate_policy(self, batch: GenerationBatch) -> None:
        if self._validate is not None and (batch.step - 1) % self._validate_every == 0:
            batch.metrics |= self._validate(self.model)

    def _make_prompts(self, batch: GenerationBatch) -> list[dict[str, Any]]:
        """Set the batch's prompts; return rows for TRL without images, since TRL copies, gathers and logs prompts.

        `_tokenize_prompts` puts the images back.
        """
        made = {i: self._task.prompt(self._problems[i]) for i in dict.fromkeys(batch.problem_ids_n)}
        batch.prompts_n = [made[i] for i in batch.problem_ids_n]
        return [
            {"problem_id": problem_id, "prompt": map_images(prompt, lambda image: None)}
            for problem_id, prompt in zip(batch.problem_ids_n, batch.prompts_n, strict=True)
        ]

    def _tokenize_prompts(self, prompts: list) -> tuple:
        """Extend TRL's method: tokenize the batch's prompts with their images; TRL's rows have none."""
        return super()._tokenize_prompts(self._batch.prompts_n)

    def _generate(self, prompts: list) -> tuple:
        """Extend TRL's method: sample completions, or hand over those that `_draw_groups` has chosen."""
        return self._sample(prompts) if self._batch.draws_n is None else self._drawn_completions(prompts)

    def _sample(self, prompts: list, *, round_number: int = 1) -> tuple:
        """Return TRL's completions.

        Record the time, share each group's prompt, seed vLLM by step and round, and advise when out of memory.
        """
        start = time.perf_counter()
        process = self.accelerator.process_index
        stream = sampling_stream(self.args, self._batch.step, process, round_number=round_number)
        advice = advise_when_out_of_memory(sampling_advice(self.args))
        model = self.accelerator.unwrap_model(self.model)
        with stream, advice, shared_prompts(model, self.accelerator):
            generated = super()._generate(prompts)
        self._batch.add_seconds("seconds_sampling", start)
        return generated

    def _verify(
        self, *, completions: list[Any], completion_ids: list[list[int]], problem_id: list[str], **unused: Any
    ) -> list[float | None]:
        """Return a reward for each completion of this process, None where it is invalid: TRL's reward function."""
        draws_n = self._batch.draws_n
        verdicts = self._judge(completions, problem_id) if draws_n is None else [draw.verdict for draw in draws_n]
        self._batch.verdicts_N = gather_object(verdicts)
        return [self._batch.reward(verdict, len(ids)) for verdict, ids in zip(verdicts, completion_ids, strict=True)]

    def _judge(self, completions: list[Any], problem_ids: list[str]) -> list[Verdict]:
        """Return the task's verdicts, timed."""
        start = time.perf_counter()
        texts = [completion_text(completion) for completion in completions]
        found = self._task.verify_all(texts, [self._problems[i] for i in problem_ids])
        self._batch.add_seconds("seconds_reward", start)
        first = self.accelerator.process_index * len(found)
        stream = {"seed": self.args.seed, "step": self._batch.step}
        return with_random_rewards(self._task, found, problem_ids, **stream, first=first)

    def _correct(self, batch: GenerationBatch) -> Tensor:  # type: ignore[override]
        """Return 1 for a correct completion by its verdict, 0 for any other, [P, G].

        Under a control reward a completion counts as correct if its reward is 1, so that p and ω do not reveal the
        verdict.
        """
        if is_control(self._task):
            correct = [float(verdict.valid and verdict.reward >= 1) for verdict in batch.verdicts_N]
        else:
            correct = [float(verdict.correct) for verdict in batch.verdicts_N]
        return batch.rewards_NF.new_tensor(correct).view(-1, self.num_generations)

    def _reward_components(self, batch: GenerationBatch) -> Mapping[str, Tensor]:  # type: ignore[override]
        """Return the components of the rewards, name → [P, G]; NaN where a completion is invalid."""
        columns = {
            name: [v.components[name] if v.valid else math.nan for v in batch.verdicts_N]
            for name in self._task.components
        }
        if batch.overlong is not None:
            lengths_N = self.accelerator.gather(policy_mask(batch.loss_inputs).sum(dim=1)).tolist()
            columns[overlong.NAME] = [
                batch.overlong(length) if v.valid else math.nan
                for v, length in zip(batch.verdicts_N, lengths_N, strict=True)
            ]
        new_tensor = batch.rewards_NF.new_tensor
        return {name: new_tensor(column).view(-1, self.num_generations) for name, column in columns.items()}

    def _prompt_names(self, batch: GenerationBatch) -> list[str]:  # type: ignore[override]
        """Return the problem's identifier for each completion of this process."""
        return batch.problem_ids_n

    def _measure(self, batch: GenerationBatch) -> None:
        """Set what is recorded of the completions of all processes, and the metrics that follow from it."""
        mask_nT, ids_nT = policy_mask(batch.loss_inputs), batch.loss_inputs["completion_ids"]
        num_tokens_n = mask_nT.sum(dim=1)
        longest = slice(row := int(num_tokens_n.argmax()), row + 1)
        batch.longest = {
            name: torch.cat([batch.loss_inputs[f"{part}_{kind}"][longest] for part in ("prompt", "completion")], dim=1)
            for name, kind in (("input_ids", "ids"), ("attention_mask", "mask"))
        }
        length_n = batch.loss_inputs["completion_mask"].sum(dim=1)  # with the tokens of tools or an environment
        last_token_n = ids_nT.gather(1, (length_n - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        truncated_n = ~torch.isin(last_token_n, torch.tensor(self.eos_token_ids, device=ids_nT.device))
        token_stats = batch.logprobs_nT, batch.entropies_nT
        means = [mean_over_tokens(values_nT[:, None], mask_nT[:, None]).squeeze(1) for values_nT in token_stats]
        local = torch.stack([num_tokens_n.double(), truncated_n.double(), *(mean_n.double() for mean_n in means)])
        gathered = self.accelerator.gather(local.T.contiguous()).T.cpu()
        batch.num_tokens_N, batch.truncated_N = gathered[0].long(), gathered[1].bool()
        batch.mean_logprob_N, batch.mean_entropy_N = gathered[2], gathered[3]
        batch.problem_ids_N = gather_object(batch.problem_ids_n)
        batch.completions_N = [completion_text(c) for c in self._logs["completion"]]  # one batch long, gathered by TRL
        batch.grpo_PG = self._grpo(batch.rewards_PG)
        has_other_reward = self.overlong is not None or differs_from_accuracy(self._task)
        batch.metrics |= step_metrics(batch, has_other_reward=has_other_reward)

    def _record(self, batch: GenerationBatch) -> None:
        """Write the batch's rollouts; warn once if the estimator has given plain GRPO's advantages so far."""
        warning = self._count_batches_like_grpo(batch.metrics)
        if warning is not None:
            logger.warning("!!! %s !!!", warning)
        if self.recorder is not None:
            self.recorder.record_rollouts(batch)
            if warning is not None:
                self.recorder.record_warning(warning)

    def _count_batches_like_grpo(self, metrics: Mapping[str, Any]) -> str | None:
        """Count batches whose advantages are plain GRPO's; return a warning when there are BATCHES_BEFORE_WARNING."""
        # matching GRPO to GRPO's mass changes nothing, so the match slot is ignored
        unmatched = replace(self.estimator, match=self._grpo.match)
        if self._num_batches_like_grpo is None or unmatched.same_formula(self._grpo):
            return None
        if metrics["adv_share_changed"] > 0:
            self._num_batches_like_grpo = None
        elif metrics["grpo_abs_sum"] > 0:
            self._num_batches_like_grpo += 1
            if self._num_batches_like_grpo == BATCHES_BEFORE_WARNING:
                return (
                    f"advantage {self.estimator.name!r} has not changed a single advantage against plain GRPO in "
                    f"{BATCHES_BEFORE_WARNING} batches: this run trains plain GRPO"
                )
        return None

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        """Extend TRL's method: stop at a loss that is not finite, and log the KL from the policy that sampled."""
        loss = super()._compute_loss(model, inputs)
        finite = self.accelerator.gather(loss.detach().isfinite().reshape(1)).all()
        if not finite:
            reason = f"the loss is not finite at step {self._batch.step} (here {loss.item()})"
            self._stop_diverged(reason, {"loss": math.nan})
        self._metrics["train"]["approx_kl"].append(self._approx_kl(inputs))
        return loss

    def _approx_kl(self, inputs: dict[str, Any]) -> float:
        """Return KL(sampling policy ‖ updated policy), nats a token: mean of ρ − 1 − log ρ over the sampled tokens."""
        mask_nT, logprobs_nT = policy_mask(inputs), self._batch.update_logprobs_nT
        old_logprobs_nT = inputs.get("old_per_token_logps", logprobs_nT)  # absent exactly on policy: then KL = 0
        log_ratio_nT = logprobs_nT.float() - old_logprobs_nT
        kl_nT = (log_ratio_nT.exp() - 1 - log_ratio_nT) * mask_nT
        total, count = self.accelerator.reduce(torch.stack([kl_nT.sum(), mask_nT.sum().to(kl_nT)]), reduction="sum")
        return float(total / count.clamp(min=1))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Extend TRL's method, called after a step's last update: finish the step's row of metrics."""
        super().log(logs, start_time)
        if "loss" not in logs:  # the summary at the end of training
            return
        if not math.isfinite(logs["grad_norm"]):
            self._stop_diverged(f"the gradient norm is {logs['grad_norm']} at step {self._batch.step}", logs)
        if not self._gives_finite_logits():
            self._stop_diverged(f"the policy's logits are not finite after step {self._batch.step}", logs)
        self._finish_row(logs)

    @torch.no_grad()
    def _gives_finite_logits(self) -> bool:
        """Return whether the updated policy's logits are finite after the longest completion of each process.

        An update with a finite gradient can leave weights that overflow, some of them only on a long context. Images
        are left out. Evaluation mode keeps dropout from taking random numbers.
        """
        was_training = self.model.training
        self.model.eval()
        logits = self.model(**self._batch.longest, use_cache=False, logits_to_keep=1).logits
        self.model.train(was_training)
        finite = logits.logsumexp(dim=-1).isfinite().all()  # a model may mask tokens by −inf
        return bool(self.accelerator.gather(finite.reshape(1)).all())

    def _finish_row(self, logs: Mapping[str, Any], *, diverged: bool = False) -> None:
        row = self._batch.metrics | update_metrics(logs, use_vllm=self.use_vllm)
        row["seconds_training"] = time.perf_counter() - self._batch.complete_at
        row = {"greedy_accuracy": None, "greedy_entropy": None} | row  # steps without validation have these columns too
        if self._validate is not None and self.state.global_step >= self.state.max_steps and not diverged:
            row |= {f"final_{name}": value for name, value in self._validate(self.model).items()}
        if self.recorder is not None:
            row = self.recorder.record_metrics(row)
        if self._on_step is not None:
            self._on_step(row)

    def _stop_diverged(self, reason: str, logs: Mapping[str, Any]) -> None:
        """Record the step and raise DivergedError."""
        self._finish_row(logs, diverged=True)
        raise DivergedError(f"{reason}; its records are kept")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Replace transformers' method for vision-language models, which would resume from the untrained weights.

        transformers 5.17 saves such a model under the names in which its weights are published and reads them here
        under those of its modules, with no more than a warning.
        """
        is_peft = not isinstance(self.model, PreTrainedModel)  # a PEFT model is no PreTrainedModel
        if not self._is_vlm or self.is_fsdp_enabled or is_peft:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(self.model).from_pretrained(resume_from_checkpoint, dtype=self.model.dtype)
        self.model.load_state_dict(saved.state_dict())

    def create_model_card(self, *arguments: Any, **keywords: Any) -> None:
        """Replace transformers' method: write no model card, since config.yaml and meta.json describe the run."""
