"""Drawing completions with transformers' generate: on a CPU or any accelerator, with any causal language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, LogitsProcessor, LogitsProcessorList

from agrae_lab.evaluation.engine import Completions, Decoding


@dataclass(frozen=True)
class TransformersEngine:
    """An Engine. Chunks draw from torch's random stream, seeded by (seed, stream)."""

    model: Any
    tokenizer: Any

    def sample(self, prompts: Sequence[Any], decoding: Decoding, *, stream: int) -> Completions:
        with random_stream(decoding.seed, stream):
            return sample(self.model, self.tokenizer, prompts, decoding)

    def greedy(self, prompts: Sequence[Any], *, max_new_tokens: int) -> Completions:
        return decode_greedily(self.model, self.tokenizer, prompts, max_new_tokens=max_new_tokens)

    def close(self) -> None:
        """Nothing to do: the model goes with the last reference to it."""


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
def random_stream(seed: int, stream: int) -> Iterator[None]:
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
