"""Sampling n completions per problem and decoding greedily, in chunks that survive an interruption.

    <benchmark>/samples.parquet         one row per (problem, sample), and one greedy row (sample −1) per problem
    <benchmark>/chunks/sample-00003.parquet   while it is not finished

Each chunk has its own random stream, made from the evaluation seed and its number, so that an interrupted evaluation
ends with the same samples as an unbroken one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList

from agrae_lab.runs import SCHEMA_VERSION, replacing
from agrae_lab.tasks import Problem, Task

GREEDY = -1  # the `sample` of a greedy row


@dataclass(frozen=True)
class Decoding:
    """How completions are drawn."""

    num_samples: int
    temperature: float
    top_p: float
    max_new_tokens: int
    batch_size: int
    seed: int


@dataclass(frozen=True)
class Completions:
    """Decoded completions with their lengths in tokens, the end-of-sequence token counted."""

    texts: list[str]
    num_tokens: list[int]
    truncated: list[bool]
    mean_entropy: list[float] | None = None  # nats a token, full softmax at temperature 1; greedy decoding only


def evaluate(
    model: Any,
    tokenizer: Any,
    task: Task,
    problems: Sequence[Problem],
    decoding: Decoding,
    path: Path,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write `path`/samples.parquet unless it is there; finished chunks of an earlier attempt are kept.

    Args:
        on_progress: called with (chunks done, chunks in all).
    """
    if (path / "samples.parquet").is_file():
        return
    chunks_dir = path / "chunks"
    chunks_dir.mkdir(parents=True, exist_ok=True)
    plan = _plan_chunks([len(str(task.prompt(p))) for p in problems], decoding)
    parts = []
    for done, (name, rows) in enumerate(plan.items()):
        on_progress(done, len(plan))
        part = chunks_dir / f"{name}.parquet"
        if not part.is_file():
            table = _chunk_table(model, tokenizer, task, problems, decoding, rows, stream=done, benchmark=path.name)
            with replacing(part) as temporary:
                pq.write_table(table, temporary)
        parts.append(pq.read_table(part))
    with replacing(path / "samples.parquet") as temporary:
        pq.write_table(pa.concat_tables(parts), temporary, compression="zstd")
    shutil.rmtree(chunks_dir)
    on_progress(len(plan), len(plan))


def _plan_chunks(prompt_lengths: Sequence[int], decoding: Decoding) -> dict[str, list[tuple[int, int]]]:
    """Chunk name → its (problem index, sample) pairs; the greedy chunks first.

    Problems come by the length of their prompts, so that a chunk wastes little on padding.
    """
    size = decoding.batch_size
    by_length = sorted(range(len(prompt_lengths)), key=prompt_lengths.__getitem__)
    greedy = [(i, GREEDY) for i in by_length]
    samples = [(i, s) for i in by_length for s in range(decoding.num_samples)]
    chunks = {f"greedy-{at // size:05d}": greedy[at : at + size] for at in range(0, len(greedy), size)}
    return chunks | {f"sample-{at // size:05d}": samples[at : at + size] for at in range(0, len(samples), size)}


def _chunk_table(
    model: Any,
    tokenizer: Any,
    task: Task,
    problems: Sequence[Problem],
    decoding: Decoding,
    rows: list[tuple[int, int]],
    *,
    stream: int,
    benchmark: str,
) -> pa.Table:
    chosen = [problems[i] for i, _ in rows]
    prompts = [task.prompt(p) for p in chosen]
    greedy = rows[0][1] == GREEDY
    if greedy:
        drawn = decode_greedily(model, tokenizer, prompts, max_new_tokens=decoding.max_new_tokens)
    else:
        with _random_stream(decoding.seed, stream):
            drawn = sample(model, tokenizer, prompts, decoding)
    verdicts = [task.verify(text, problem) for text, problem in zip(drawn.texts, chosen, strict=True)]
    n = len(rows)
    return pa.table(
        {
            "schema_version": [SCHEMA_VERSION] * n,
            "benchmark": [benchmark] * n,
            "problem_id": [str(p["id"]) for p in chosen],
            "decoding": ["greedy" if greedy else "sample"] * n,
            "sample": [s for _, s in rows],
            "completion": drawn.texts,
            "correct": [v.correct for v in verdicts],
            "valid": [v.valid for v in verdicts],
            "answer": pa.array([v.answer for v in verdicts], pa.string()),
            "n_tokens": drawn.num_tokens,
            "truncated": drawn.truncated,
            "mean_entropy": pa.nulls(n, pa.float64()) if drawn.mean_entropy is None else drawn.mean_entropy,
            "temperature": [0.0 if greedy else decoding.temperature] * n,
            "top_p": [1.0 if greedy else decoding.top_p] * n,
        }
    )


@torch.no_grad()
def sample(model: Any, tokenizer: Any, prompts: Sequence[Any], decoding: Decoding) -> Completions:
    """One completion per prompt, from torch's global random state."""
    settings = {"do_sample": True, "temperature": decoding.temperature, "top_p": decoding.top_p, "top_k": 0}
    completions, _ = _generate(model, tokenizer, prompts, max_new_tokens=decoding.max_new_tokens, **settings)
    return completions


@torch.no_grad()
def decode_greedily(model: Any, tokenizer: Any, prompts: Sequence[Any], *, max_new_tokens: int) -> Completions:
    """One completion per prompt, the likeliest token at each position. Uses no random numbers."""
    entropies = EntropyRecorder()
    settings = {"do_sample": False, "logits_processor": LogitsProcessorList([entropies])}
    completions, mask = _generate(model, tokenizer, prompts, max_new_tokens=max_new_tokens, **settings)
    mean_entropy = (torch.stack(entropies.entropies_n, dim=1) * mask).sum(dim=1) / mask.sum(dim=1)
    return replace(completions, mean_entropy=mean_entropy.tolist())


class EntropyRecorder(LogitsProcessor):
    """Keeps the entropy of each next-token distribution, [n] a position, and changes nothing.

    The logits themselves would not fit: positions × n × vocabulary numbers.
    """

    def __init__(self) -> None:
        self.entropies_n: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        log_probs = scores.float().log_softmax(dim=-1)
        self.entropies_n.append(-(log_probs.exp() * log_probs).nan_to_num(nan=0.0).sum(dim=-1))  # 0 · log 0 = 0
        return scores


def _generate(model: Any, tokenizer: Any, prompts: Sequence[Any], **settings: Any) -> tuple[Completions, Tensor]:
    """Completions, and the mask of their tokens [n, T] (up to and with the end of sequence)."""
    prompt_ids, prompt_mask, row_of_n = _tokenize_distinct(tokenizer, prompts)
    prompt_ids, prompt_mask, row_of_n = (x.to(model.device) for x in (prompt_ids, prompt_mask, row_of_n))
    end_ids = _end_ids(model, tokenizer)
    with _evaluating(model, GenerationConfig(eos_token_id=end_ids, pad_token_id=tokenizer.pad_token_id)):
        sequences = model.generate(
            input_ids=prompt_ids[row_of_n],
            attention_mask=prompt_mask[row_of_n],
            past_key_values=_prefill(model, prompt_ids, prompt_mask, row_of_n),
            **settings,
        )
    ids = sequences[:, prompt_ids.shape[1] :]
    is_end = torch.isin(ids, torch.tensor(end_ids, device=ids.device))
    mask = is_end.cumsum(dim=1) - is_end.int() == 0
    completions = Completions(
        texts=tokenizer.batch_decode(ids.masked_fill(~mask, tokenizer.pad_token_id), skip_special_tokens=True),
        num_tokens=mask.sum(dim=1).tolist(),
        truncated=(~is_end.any(dim=1)).tolist(),
    )
    return completions, mask


def _tokenize_distinct(tokenizer: Any, prompts: Sequence[Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids and mask of the distinct prompts, padded on the left, and for each prompt which of them it is [n]."""
    numbers: dict[str, int] = {}
    row_of_n = torch.tensor([numbers.setdefault(repr(prompt), len(numbers)) for prompt in prompts])
    distinct = [prompts[int((row_of_n == number).nonzero()[0])] for number in range(len(numbers))]
    if isinstance(prompts[0], str):
        inputs = tokenizer(distinct, padding=True, return_tensors="pt")
    else:
        inputs = tokenizer.apply_chat_template(
            distinct, add_generation_prompt=True, padding=True, return_dict=True, return_tensors="pt"
        )
    return inputs["input_ids"], inputs["attention_mask"], row_of_n


def _prefill(model: Any, prompt_ids: Tensor, prompt_mask: Tensor, row_of_n: Tensor) -> DynamicCache | None:
    """Keys and values of each distinct prompt's tokens but the last, computed once and repeated for its samples.

    None where nothing would be saved, or the model keeps another kind of cache.
    """
    if len(prompt_ids) == len(row_of_n) or prompt_ids.shape[1] < 2:
        return None
    positions = (prompt_mask.cumsum(dim=1) - 1).clamp(min=0)  # as generate() counts them, padding left out
    cache = model(
        input_ids=prompt_ids[:, :-1],
        attention_mask=prompt_mask[:, :-1],
        position_ids=positions[:, :-1],
        use_cache=True,
        logits_to_keep=1,  # the logits are not wanted at all
    ).past_key_values
    if not isinstance(cache, DynamicCache):
        return None
    cache.batch_select_indices(row_of_n)
    return cache


def _end_ids(model: Any, tokenizer: Any) -> list[int]:
    ids = model.generation_config.eos_token_id
    ids = tokenizer.eos_token_id if ids is None else ids
    return list(ids) if isinstance(ids, (list, tuple)) else [ids]


@contextmanager
def _random_stream(seed: int, stream: int) -> Iterator[None]:
    """Run the block under its own random state, leaving torch's as it was."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed * 1_000_003 + stream)
        yield


@contextmanager
def _evaluating(model: Any, generation_config: GenerationConfig) -> Iterator[None]:
    """Evaluation mode, and no decoding habits (repetition penalty, min-p, …) that a model may bring along."""
    was_training, habits = model.training, model.generation_config
    model.eval()
    model.generation_config = generation_config
    try:
        yield
    finally:
        model.generation_config = habits
        model.train(was_training)
