"""Dynamic sampling in the trainer: rounds of completions before TRL makes a batch of the chosen ones, a mixin.

dynamic_sampling.py says which groups are drawn, kept and dropped. Every process samples its share of a round, and all
decide alike, since each sees all completions.

Legend: P prompts, G completions of each, N = P·G, n this process's share of N.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from torch import Tensor

from agrae_lab.advantages import Context
from agrae_lab.tasks import Problem
from agrae_lab.training.batch import GenerationBatch
from agrae_lab.training.dynamic_sampling import (
    Draw,
    divide,
    num_mixed,
    other_problems,
    replace_skipped,
    unmixed_reason,
)

WINDOW_FILE = "skip_window.json"  # of a checkpoint


class SamplingStages:
    """Put before TRL's GRPOTrainer in the bases of a class that sets the fields below."""

    sampling_rounds: int  # at most; 1: a step takes what comes
    skip_window: int  # steps for which a problem is skipped after an unmixed group; 0: none is
    last_unmixed: dict[str, int]  # problem → the step of its last group, where that was not mixed
    _problems: Mapping[str, Problem]
    _batch: GenerationBatch

    def _draw_groups(self, batch: GenerationBatch) -> None:
        """Sample rounds of groups; set the batch's problems and completions to those of the groups to train on.

        One round without dynamic sampling is left to TRL.
        """
        if self.skip_window:
            self._replace_skipped(batch)
        if self.sampling_rounds == 1:
            return
        g, num_prompts = self.num_generations, len(gather_object(batch.problem_ids_n)) // self.num_generations
        rounds: list[list[list[Draw]]] = []
        while True:
            draws_N = gather_object(self._draw_round(batch, round_number=len(rounds) + 1))
            rounds.append([draws_N[i : i + g] for i in range(0, len(draws_N), g)])
            taken = {draw.problem_id for groups in rounds for group in groups for draw in group} | self._skipped(batch)
            is_enough = sum(map(num_mixed, rounds)) >= num_prompts or len(rounds) == self.sampling_rounds
            stream = {"seed": self.args.seed, "step": batch.step, "round_number": len(rounds) + 1}
            following = None if is_enough else other_problems(list(self._problems), taken, num_prompts, **stream)
            if following is None:
                break
            batch.problem_ids_n = self._share([problem_id for problem_id in following for _ in range(g)])
        batch.sampled = divide(rounds, num_prompts)
        batch.draws_n = self._share([draw for group in batch.sampled.kept for draw in group])
        batch.problem_ids_n = [draw.problem_id for draw in batch.draws_n]

    def _skipped(self, batch: GenerationBatch) -> set[str]:
        """Return the problems that this step skips."""
        return {i for i, step in self.last_unmixed.items() if batch.step - step <= self.skip_window}

    def _replace_skipped(self, batch: GenerationBatch) -> None:
        """Put other problems in the places of skipped ones; their number is the metric `passed_over`."""
        problem_ids_P = gather_object(batch.problem_ids_n)[:: self.num_generations]
        skipped = self._skipped(batch)
        chosen = replace_skipped(problem_ids_P, skipped, list(self._problems), seed=self.args.seed, step=batch.step)
        batch.metrics["passed_over"] = sum(one != other for one, other in zip(problem_ids_P, chosen, strict=True))
        batch.problem_ids_n = self._share([problem_id for problem_id in chosen for _ in range(self.num_generations)])

    def _remember_unmixed(self, batch: GenerationBatch) -> None:
        """Record the step of every sampled problem whose group was not mixed; forget the others."""
        if not self.skip_window:
            return
        g = self.num_generations
        groups = [(batch.problem_ids_N[i], batch.verdicts_N[i : i + g]) for i in range(0, len(batch.verdicts_N), g)]
        for group in batch.sampled.dropped if batch.sampled else ():
            groups.append((group.draws[0].problem_id, [draw.verdict for draw in group.draws]))
        for problem_id, verdicts in groups:
            self.last_unmixed.pop(problem_id, None)
            if unmixed_reason(verdicts) is not None:
                self.last_unmixed[problem_id] = batch.step

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Extend TRL's method: save `last_unmixed` with the checkpoint."""
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        if self.skip_window and self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            (folder / WINDOW_FILE).write_text(json.dumps(self.last_unmixed))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Extend TRL's method, which runs on every resume: load `last_unmixed`."""
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if self.skip_window and checkpoint is not None:
            self.last_unmixed = json.loads((Path(checkpoint) / WINDOW_FILE).read_text())

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
    state: Any
    accelerator: Any
    _get_output_dir: Any
    num_generations: Any
    _make_prompts: Any
    _sample: Any
    _judge: Any
    _tokenize_prompts: Any
