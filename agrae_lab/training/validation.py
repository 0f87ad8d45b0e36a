"""Validation of the policy during training: accuracy on one benchmark, shared among the processes of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from accelerate.state import PartialState
from accelerate.utils import gather_object
from transformers import PretrainedConfig

from agrae_lab.evaluation.engines.base import Decoding
from agrae_lab.evaluation.engines.transformers import decode_greedily, sample
from agrae_lab.evaluation.streams import policy_stream, sample_seeds
from agrae_lab.models.memory import FLOAT32, advise_when_out_of_memory, evaluation_advice, kv_cache
from agrae_lab.tasks import Problem, Task, load_task
from agrae_lab.tasks.prompts import render
from agrae_lab.training.devices import device_memory

Totals = dict[str, float]  # sums over some of the problems


def make_validation(
    config: Mapping[str, Any], problem_sets: Mapping[str, Sequence[Problem]], model: Any, processing: Any
) -> Callable[[Any], dict[str, float]]:
    """Return the validation on the benchmark train.validate_on: a function of the policy.

    Without train.validate_on it is the only benchmark of the config. The function returns greedy_accuracy and
    greedy_entropy (nats a token, temperature 1) and, with train.validate_samples = n, the mean accuracy of n samples of
    each problem (sampled_accuracy, avg@n) and Pass@k for k = 2, 4, … up to n (pass_at_k). It takes no random number
    from training: samples draw from the streams of the evaluation.
    """
    name = config["train"].get("validate_on") or next(iter(config["evaluation"]["benchmarks"]))
    task = load_task(config["evaluation"]["benchmarks"][name]["task"], config["task"])
    problems, num_samples = problem_sets[name], config["train"].get("validate_samples") or 0
    decoding = _decoding(config, num_samples)
    longest = max(len(ids) for ids in render(processing, (task.prompt(problem) for problem in problems)))
    largest_batch = _largest_batch(config, model.config, longest + decoding.max_new_tokens)
    batch_size = min(decoding.batch_size, largest_batch)

    def decode(policy: Any, batch: Sequence[Problem]) -> Totals:
        with advise_when_out_of_memory(evaluation_advice(batch_size)):
            totals = _greedy(policy, processing, task, batch, decoding)
            if num_samples:
                totals |= _sampled(policy, processing, task, batch, decoding, benchmark=name)
        return totals

    def validate(policy: Any) -> dict[str, float]:
        processes = PartialState()
        mine = problems[processes.process_index :: processes.num_processes]
        totals: list[Totals] = []
        for start in range(0, math.ceil(len(problems) / processes.num_processes), batch_size):
            batch = mine[start : start + batch_size]
            # all processes decode equally often, since all of them together gather sharded weights
            decoded = decode(policy, batch or problems[:1])
            totals += [decoded] if batch else []
        gathered: list[Totals] = gather_object(totals)
        total = {key: sum(totals_of_batch[key] for totals_of_batch in gathered) for key in gathered[0]}
        entropy = total.pop("entropy") / total.pop("tokens")
        return {"greedy_entropy": entropy, **{key: value / len(problems) for key, value in total.items()}}

    return validate


def _greedy(policy: Any, processing: Any, task: Task, batch: Sequence[Problem], decoding: Decoding) -> Totals:
    """Return correct greedy completions, their entropy summed over tokens, and their tokens."""
    prompts = [task.prompt(problem) for problem in batch]
    drawn = decode_greedily(policy, processing, prompts, max_new_tokens=decoding.max_new_tokens)
    assert drawn.mean_entropy is not None
    return {
        "greedy_accuracy": sum(verdict.correct for verdict in task.verify_all(drawn.texts, batch)),
        "entropy": sum(h * n for h, n in zip(drawn.mean_entropy, drawn.num_tokens, strict=True)),
        "tokens": sum(drawn.num_tokens),
    }


def _sampled(
    policy: Any, processing: Any, task: Task, batch: Sequence[Problem], decoding: Decoding, *, benchmark: str
) -> Totals:
    """Return the sums of accuracy and Pass@k over the problems.

    One sample of every problem is drawn at a time, so that the batch is no larger than in greedy decoding.
    """
    n = decoding.num_samples
    prompts = [task.prompt(problem) for problem in batch]
    seeds_Pn = [
        sample_seeds(decoding.seed, decoding.stream, benchmark, str(problem["id"]), range(n)) for problem in batch
    ]
    correct_P = [0] * len(batch)
    for s in range(n):
        drawn = sample(policy, processing, prompts, decoding, seeds=[seeds[s] for seeds in seeds_Pn])
        for i, verdict in enumerate(task.verify_all(drawn.texts, batch)):
            correct_P[i] += verdict.correct
    ks = [2**i for i in range(1, n.bit_length())]
    passed = {f"pass_at_{k}": sum(1 - math.comb(n - c, k) / math.comb(n, k) for c in correct_P) for k in ks}
    return {"sampled_accuracy": sum(correct_P) / n, **passed}


def _decoding(config: Mapping[str, Any], num_samples: int) -> Decoding:
    keys = ("temperature", "top_p", "max_new_tokens", "batch_size", "seed")
    settings = {key: config["evaluation"][key] for key in keys}
    return Decoding(num_samples=num_samples, stream=policy_stream(config["seed"]), **settings)


def _largest_batch(config: Mapping[str, Any], model: PretrainedConfig, tokens: int) -> int:
    """Return the number of sequences whose KV cache takes a quarter of the device, which training shares.

    Decoding gives the same in batches of any size, so the machine may decide it.
    """
    _, memory = device_memory(config)
    return max(1, memory // 4 // kv_cache(model, tokens, key_bytes=FLOAT32, value_bytes=FLOAT32))
