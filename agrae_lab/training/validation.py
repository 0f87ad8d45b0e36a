"""Greedy accuracy of the policy at work, shared out among the processes of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from accelerate.state import PartialState
from accelerate.utils import gather_object
from transformers import PretrainedConfig

from agrae_lab.evaluation.transformers_engine import decode_greedily
from agrae_lab.models.memory import FLOAT32, evaluation_needs, kv_cache, out_of_memory_means
from agrae_lab.tasks import Problem, load_task
from agrae_lab.tasks.prompts import render
from agrae_lab.training.machine import device_memory

Totals = tuple[int, float, int]  # correct answers, Σ entropy, tokens


def make_validation(
    config: Mapping[str, Any], problem_sets: Mapping[str, Sequence[Problem]], model: Any, processing: Any
) -> Callable[[Any], dict[str, float]]:
    """Greedy accuracy and entropy (nats a token, temperature 1) on the first benchmark. Uses no random numbers."""
    name, benchmark = next(iter(config["evaluation"]["benchmarks"].items()))
    task, problems = load_task(benchmark["task"], config["task"]), problem_sets[name]
    max_new_tokens = config["evaluation"]["max_new_tokens"]
    longest = max(len(ids) for ids in render(processing, (task.prompt(problem) for problem in problems)))
    batch_size = min(config["evaluation"]["batch_size"], _fits(config, model.config, longest + max_new_tokens))

    def decode(policy: Any, batch: Sequence[Problem]) -> Totals:
        prompts = [task.prompt(problem) for problem in batch]
        with out_of_memory_means(evaluation_needs(batch_size)):
            drawn = decode_greedily(policy, processing, prompts, max_new_tokens=max_new_tokens)
        assert drawn.mean_entropy is not None
        correct = sum(verdict.correct for verdict in task.verify_all(drawn.texts, batch))
        entropy = sum(h * n for h, n in zip(drawn.mean_entropy, drawn.num_tokens, strict=True))
        return correct, entropy, sum(drawn.num_tokens)

    def validate(policy: Any) -> dict[str, float]:
        processes = PartialState()
        mine = problems[processes.process_index :: processes.num_processes]
        parts: list[Totals] = []
        for at in range(0, math.ceil(len(problems) / processes.num_processes), batch_size):
            batch = mine[at : at + batch_size]
            # all processes decode equally often, since spread weights are gathered by all of them together
            totals = decode(policy, batch or problems[:1])
            parts += [totals] if batch else []
        correct, entropy, tokens = (sum(column) for column in zip(*gather_object(parts), strict=True))
        return {"greedy_accuracy": correct / len(problems), "greedy_entropy": entropy / tokens}

    return validate


def _fits(config: Mapping[str, Any], model: PretrainedConfig, tokens: int) -> int:
    """Sequences of so many tokens whose keys and values take a quarter of the device, beside what training keeps there.

    Greedy decoding is the same in batches of any size, so that the machine may choose it.
    """
    _, memory = device_memory(config)
    return max(1, memory // 4 // kv_cache(model, tokens, key=FLOAT32, value=FLOAT32))
