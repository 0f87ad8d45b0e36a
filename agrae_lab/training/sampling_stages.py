"""Dynamic sampling in the trainer: rounds of completions before TRL makes a batch of the chosen ones, a mixin.

dynamic_sampling.py says which groups are drawn, kept and dropped. Every process samples its share of a round, and all
decide alike, since each sees all completions.

Legend: P prompts, G completions of each, N = P·G, n this process's share of N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from accelerate.utils import gather_object
from torch import Tensor

from agrae_lab.advantages import Context
from agrae_lab.tasks import Problem
from agrae_lab.training.batch import GenerationBatch
from agrae_lab.training.dynamic_sampling import Draw, divide, num_mixed, other_problems


class SamplingStages:
    """Put before TRL's GRPOTrainer in the bases of a class that sets `sampling_rounds`, `_problems` and `_batch`."""

    sampling_rounds: int  # at most; 1: a step takes what comes
    _problems: Mapping[str, Problem]
    _batch: GenerationBatch

    def _draw_groups(self, batch: GenerationBatch) -> None:
        """Sample rounds of groups; set the batch's problems and completions to those of the groups to train on.

        One round without dynamic sampling is left to TRL.
        """
        if self.sampling_rounds == 1:
            return
        g, num_prompts = self.num_generations, len(gather_object(batch.problem_ids_n)) // self.num_generations
        rounds: list[list[list[Draw]]] = []
        while True:
            draws_N = gather_object(self._draw_round(batch, round_number=len(rounds) + 1))
            rounds.append([draws_N[i : i + g] for i in range(0, len(draws_N), g)])
            taken = {draw.problem_id for groups in rounds for group in groups for draw in group}
            is_enough = sum(map(num_mixed, rounds)) >= num_prompts or len(rounds) == self.sampling_rounds
            stream = {"seed": self.args.seed, "step": batch.step, "round_number": len(rounds) + 1}
            following = None if is_enough else other_problems(list(self._problems), taken, num_prompts, **stream)
            if following is None:
                break
            batch.problem_ids_n = self._share([problem_id for problem_id in following for _ in range(g)])
        batch.sampled = divide(rounds, num_prompts)
        batch.draws_n = self._share([draw for group in batch.sampled.kept for draw in group])
        batch.problem_ids_n = [draw.problem_id for draw in batch.draws_n]

    def _share(self, values_N: list[Any]) -> list[Any]:
        """Return this process's n of N values."""
        n = len(values_N) // self.accelerator.num_processes
        return values_N[self.accelerator.process_index * n :][:n]

    def _draw_round(self, batch: GenerationBatch, *, round_number: int) -> list[Draw]:
        """Return a completion with its verdict for each of this process's problems."""
        rows = self._make_prompts(batch)
        _, ids_n, _, completions, log_probs_n, *_ = self._sample(
            [row["prompt"] for row in rows], round_number=round_number
        )
        verdicts = self._judge(completions, batch.problem_ids_n)
        parts = zip(batch.problem_ids_n, ids_n, completions, log_probs_n or [None] * len(ids_n), verdicts, strict=True)
        return [Draw(*part) for part in parts]

    def _drawn_completions(self, prompts: list) -> tuple:
        """Return what TRL's `_generate` would, of the chosen completions: eight parts, without tools."""
        draws_n = self._batch.draws_n
        assert draws_n is not None
        prompt_ids, images, _ = self._tokenize_prompts(prompts)
        ids_n, completions = [draw.completion_ids for draw in draws_n], [draw.completion for draw in draws_n]
        log_probs_n = [draw.log_probs for draw in draws_n]
        return prompt_ids, ids_n, None, completions, None if None in log_probs_n else log_probs_n, {}, images, []

    def _context(self, batch: GenerationBatch, correct_PG: Tensor | None) -> Context:
        """Return the estimator's inputs; ω is of all that was sampled, dropped groups included."""
        context = super()._context(batch, correct_PG)  # type: ignore[misc]
        if not batch.dropped_draws:
            return context
        verdicts = [*batch.verdicts_N, *(draw.verdict for draw in batch.dropped_draws)]
        valid = [float(verdict.correct) for verdict in verdicts if verdict.valid]
        return replace(context, omega=sum(valid) / len(valid) if valid else None)

    # Provided by AdvantageTrainer and GRPOTrainer.
    args: Any
    accelerator: Any
    num_generations: Any
    _make_prompts: Any
    _sample: Any
    _judge: Any
    _tokenize_prompts: Any
