"""The shared trainer: TRL's GRPOTrainer with our advantages in the place of its own, and a recorder.

Differences from stock TRL 1.16:
1. `AdvantageMixin`: after TRL has scored a generation batch, its advantages are replaced by the estimator's, computed
   from the rewards of all processes (TRL's own standard deviation is switched off), and entropy is computed in the
   pass that scores the sampled tokens, so that it belongs to the policy that sampled.
2. `PromptingTrainer`: prompts, and with them pictures, are made when they are wanted.
3. Here: every generation batch is recorded, a loss or gradient that is not finite stops the run.
A step is one generation batch, counted from 1; TRL's `global_step` counts optimizer updates.

Legend: P prompts, G completions of each, N = P·G, n this process's share of N, T completion tokens.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from trl import GRPOConfig

from agrae_lab.advantages import Estimator, make
from agrae_lab.advantages.adapters.trl import AdvantageMixin, policy_mask
from agrae_lab.advantages.statistics import mean_over_tokens
from agrae_lab.evaluation.engines.transformers import random_stream
from agrae_lab.models.memory import out_of_memory_means
from agrae_lab.tasks import Problem, Task, Verdict, is_shaped
from agrae_lab.training.prompts import PromptingTrainer
from agrae_lab.training.recorder import GenerationBatch, Recorder, step_metrics

logger = logging.getLogger(__name__)

BATCHES_BEFORE_SHOUTING = 3  # mixed batches in which an estimator may coincide with plain GRPO by chance


class DivergedError(RuntimeError):
    """The loss or the gradient is no longer finite; training cannot go on."""


class TaskReward:
    """A TRL reward function over a task's verifier. Keeps the verdicts of the last call and the seconds it took."""

    __name__ = "reward"  # what TRL calls its metric

    def __init__(self, task: Task, problems: dict[str, Problem]) -> None:
        self._task, self._problems = task, problems
        self.parts, self.is_shaped = task.components, is_shaped(task)
        self.verdicts: list[Verdict] = []
        self.seconds = 0.0

    def __call__(self, *, completions: list[Any], problem_id: list[str], **unused: Any) -> list[float | None]:
        start = time.perf_counter()
        texts = [completion_text(completion) for completion in completions]
        self.verdicts = self._task.verify_all(texts, [self._problems[i] for i in problem_id])
        self.seconds = time.perf_counter() - start
        return [v.reward if v.valid else None for v in self.verdicts]


def completion_text(completion: str | list[dict[str, Any]]) -> str:
    """The text of a completion, which is a string or, after a chat prompt, a list of messages."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])


class AdvantageTrainer(AdvantageMixin, PromptingTrainer):
    """GRPOTrainer under any advantage estimator.

    Args:
        estimator: rewards [P, G] → advantages [P, G], or [P, G, T] token by token.
        reward: the only reward function.
        recorder: where rollouts and metrics go; None on processes that do not write.
        validate: called at the start of every `validate_every`-th step (0: never), when the policy is that of the
            steps before; its values join the step's row. After the last step it is called once more: `final_…`.
        on_step: called with each finished row of metrics.
    """

    args: GRPOConfig
    keep_scores = True

    def __init__(
        self,
        *,
        estimator: Estimator,
        reward: TaskReward,
        recorder: Recorder | None,
        validate: Callable[[Any], dict[str, float]] | None = None,
        validate_every: int = 0,
        on_step: Callable[[dict[str, Any]], None] | None = None,
        **trl_arguments: Any,
    ) -> None:
        super().__init__(reward_funcs=reward, **trl_arguments)
        self.estimator = estimator
        self._grpo = make("grpo", flavor=estimator.flavor)
        self._reward, self.recorder = reward, recorder
        self._validate, self._validate_every = validate, validate_every
        self._on_step = on_step
        self._row: dict[str, Any] = {}
        self._inputs: list[dict[str, Any]] = []  # this process's rows of the generation batch at work
        self._verdicts: list[Verdict] = []  # of all processes
        self._sampled_at = 0.0
        self._loss_logps: Tensor | None = None  # of the policy at work on the current mini-batch [n, T]
        self._mixed_batches_unchanged: int | None = 0  # None: the estimator has shown that it is not plain GRPO

    @property
    def step(self) -> int:
        """The generation batch at work, counted from 1."""
        return self.state.global_step // self._updates_per_step + 1

    @property
    def _num_steps(self) -> int:
        return self.state.max_steps // self._updates_per_step

    @property
    def _updates_per_step(self) -> int:
        assert self.args.steps_per_generation is not None
        return self.args.steps_per_generation * self.num_iterations // self.args.gradient_accumulation_steps

    def _generate(self, prompts: list) -> tuple:
        start = time.perf_counter()
        with self._own_stream(), out_of_memory_means(self._what_sampling_needs):
            generated = super()._generate(prompts)
        self._row["seconds_sampling"] = time.perf_counter() - start
        return generated

    @property
    def _what_sampling_needs(self) -> str:
        if self.use_vllm:
            return "to need less memory in sampling, lower hardware.vllm.gpu_memory or train.max_completion_length"
        assert self.args.steps_per_generation is not None
        at_once = self.args.per_device_train_batch_size * self.args.steps_per_generation
        return (
            f"to need less memory in sampling ({at_once} completions side by side on each process), set engine=vllm, "
            "use more processes, or lower train.num_prompts or train.max_completion_length"
        )

    def _own_stream(self) -> AbstractContextManager[None]:
        """The random stream that a colocated vLLM draws this step from: its own would be the same in every run."""
        if not (self.use_vllm and self.vllm_mode == "colocate"):
            return nullcontext()
        group = self.accelerator.process_index // self.args.vllm_tensor_parallel_size
        return random_stream(self.args.seed, self.step * self.accelerator.num_processes + group)

    def _calculate_rewards(self, *arguments: Any, **keywords: Any) -> Tensor:
        rewards_N1 = super()._calculate_rewards(*arguments, **keywords)
        self._row["seconds_reward"] = self._reward.seconds
        self._verdicts = gather_object(self._reward.verdicts)
        return rewards_N1

    def _correct(self) -> Tensor:
        assert self._rewards_NF is not None
        correct = [float(v.correct) for v in self._verdicts]
        return self._rewards_NF.new_tensor(correct).view(-1, self.num_generations)

    def _reward_parts(self) -> Mapping[str, Tensor]:
        """The verifier's parts, name → [P, G]; NaN where it could not decide."""
        assert self._rewards_NF is not None
        names = self._reward.parts
        parts = [[v.components[name] if v.valid else math.nan for v in self._verdicts] for name in names]
        columns = self._rewards_NF.new_tensor(parts).view(len(names), -1, self.num_generations)
        return dict(zip(names, columns, strict=True))

    def _get_per_token_logps_and_entropies(self, model: Any, *arguments: Any, **keywords: Any) -> tuple:
        scores = super()._get_per_token_logps_and_entropies(model, *arguments, **keywords)
        if torch.is_grad_enabled():
            self._loss_logps = scores[0].detach()
        return scores

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._row, self._inputs = {}, inputs
        if self._validate is not None and self._validate_every and (self.step - 1) % self._validate_every == 0:
            self._row |= self._validate(self.model)
        return super()._generate_and_score_completions(inputs)

    def _replace_advantages(self, output: dict[str, Any]) -> tuple[Tensor, Tensor]:
        rewards_PG, advantages_PG = super()._replace_advantages(output)
        batch = self._gather_batch(output, rewards_PG, advantages_PG)
        self._row |= step_metrics(batch)
        self._shout_if_unchanged()
        if self.recorder is not None:
            self.recorder.record_rollouts(batch)
        self._sampled_at = time.perf_counter()
        return rewards_PG, advantages_PG

    def _gather_batch(self, output: dict[str, Any], rewards_PG: Tensor, advantages_PG: Tensor) -> GenerationBatch:
        """The whole step's rollouts, on every process."""
        assert self._scored is not None
        mask_nT, end_n = policy_mask(output), output["completion_mask"].sum(dim=1)
        num_tokens_n = mask_nT.sum(dim=1)
        last_n = output["completion_ids"].gather(1, (end_n - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        ends = torch.tensor(self.eos_token_ids, device=last_n.device)
        means = [mean_over_tokens(x[:, None], mask_nT[:, None]).squeeze(1) for x in self._scored]
        local = torch.stack([num_tokens_n.double(), (~torch.isin(last_n, ends)).double(), *(m.double() for m in means)])
        gathered = self.accelerator.gather(local.T.contiguous()).T.cpu()
        return GenerationBatch(
            step=self.step,
            prompt_ids=gather_object([x["problem_id"] for x in self._inputs]),
            completions=[completion_text(c) for c in self._logs["completion"]],  # one batch long, gathered by TRL
            verdicts=self._verdicts,
            is_shaped=self._reward.is_shaped,
            rewards_PG=rewards_PG.cpu(),
            advantages_PG=advantages_PG.cpu(),
            grpo_PG=self._grpo(rewards_PG).cpu(),
            num_tokens_N=gathered[0].long(),
            truncated_N=gathered[1].bool(),
            mean_logprob_N=gathered[2],
            mean_entropy_N=gathered[3],
        )

    def _shout_if_unchanged(self) -> None:
        """An estimator that claims to differ from GRPO and never does is a mistake in the making: say so, loudly."""
        unmatched = replace(self.estimator, match=self._grpo.match)  # plain GRPO is the fixed point of matching to it
        if self._mixed_batches_unchanged is None or unmatched.same_formula(self._grpo):
            return
        if self._row["adv_share_changed"] > 0:
            self._mixed_batches_unchanged = None
        elif self._row["grpo_abs_sum"] > 0:
            self._mixed_batches_unchanged += 1
            if self._mixed_batches_unchanged == BATCHES_BEFORE_SHOUTING:
                text = (
                    f"advantage {self.estimator.name!r} has not changed a single advantage against plain GRPO in "
                    f"{BATCHES_BEFORE_SHOUTING} batches: this run trains plain GRPO"
                )
                logger.warning("!!! %s !!!", text)
                if self.recorder is not None:
                    self.recorder.record_warning(text)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        loss = super()._compute_loss(model, inputs)
        finite = self.accelerator.gather(loss.detach().isfinite().reshape(1)).all()
        if self.model.training and not finite:
            self._stop_diverged(f"the loss is {loss.item()} at step {self.step}")
        self._metrics["train"]["approx_kl"].append(self._approx_kl(inputs))
        return loss

    def _approx_kl(self, inputs: dict[str, Any]) -> float:
        """KL(sampling policy ‖ policy at work), nats a token: mean of ρ − 1 − log ρ over the sampled tokens."""
        assert self._loss_logps is not None
        mask_nT = policy_mask(inputs)
        log_ratio_nT = self._loss_logps.float() - inputs.get("old_per_token_logps", self._loss_logps)
        kl_nT = (log_ratio_nT.exp() - 1 - log_ratio_nT) * mask_nT
        total, count = self.accelerator.reduce(torch.stack([kl_nT.sum(), mask_nT.sum().to(kl_nT)]), reduction="sum")
        return float(total / count.clamp(min=1))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        if "loss" not in logs or not self._row:  # the summary at the end of training
            return
        step = self.state.global_step // self._updates_per_step
        if not math.isfinite(logs["grad_norm"]):
            self._stop_diverged(f"the gradient norm is {logs['grad_norm']} at step {step}", logs)
        self._finish_row(logs)

    def _finish_row(self, logs: dict[str, Any]) -> None:
        names = {"loss": "loss", "grad_norm": "grad_norm", "learning_rate": "learning_rate", "epoch": "epoch"}
        names |= {
            "kl": "kl",
            "approx_kl": "approx_kl",
            "clip_low": "clip_ratio/low_mean",
            "clip_high": "clip_ratio/high_mean",
        }
        names |= {"clip_region": "clip_ratio/region_mean"}
        if self.use_vllm:  # how far the probabilities of the engine that samples lie from the trainer's, nats a token
            names |= {"sampling_gap_mean": "sampling/sampling_logp_difference/mean"}
            names |= {"sampling_gap_max": "sampling/sampling_logp_difference/max"}
        row = self._row | {ours: _float(logs.get(theirs)) for ours, theirs in names.items()}
        row["seconds_training"] = time.perf_counter() - self._sampled_at
        row = {"greedy_accuracy": None, "greedy_entropy": None} | row
        if self._validate is not None and self._validate_every and self.step > self._num_steps:
            row |= {f"final_{name}": value for name, value in self._validate(self.model).items()}
        self._row = {}
        if self.recorder is not None:
            row = self.recorder.record_metrics(row)
        if self._on_step is not None:
            self._on_step(row)

    def _stop_diverged(self, reason: str, logs: dict[str, Any] | None = None) -> None:
        self._finish_row(logs or {"loss": math.nan})
        raise DivergedError(f"{reason}; its records are kept")

    def create_model_card(self, *arguments: Any, **keywords: Any) -> None:
        """No model card beside a checkpoint: config.yaml and meta.json say what made it."""


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
