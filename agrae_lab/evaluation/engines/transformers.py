"""The transformers engine: generate on a CPU or any accelerator, for any model of text or images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import DynamicLayer

from agrae_lab.evaluation.engines.base import Completions, Decoding
from agrae_lab.evaluation.streams import uniforms
from agrae_lab.models.generation import end_token_ids, forbidden_token_ids, without_sampling_defaults
from agrae_lab.tasks.encoding import Inputs, collate, encode, map_images, tokenizer_of


@dataclass(frozen=True)
class TransformersEngine:
    """Engine on one model in this process."""

    model: Any
    processing: Any  # a tokenizer, or the processor of a vision-language model

    def sample(self, prompts: Sequence[Any], decoding: Decoding, *, seeds: Sequence[int]) -> Completions:
        return sample(self.model, self.processing, prompts, decoding, seeds=seeds)

    def greedy(self, prompts: Sequence[Any], *, max_new_tokens: int) -> Completions:
        return decode_greedily(self.model, self.processing, prompts, max_new_tokens=max_new_tokens)

    def close(self) -> None:
        """Do nothing: the model is freed with the last reference to it."""


@torch.no_grad()
def sample(
    model: Any, processing: Any, prompts: Sequence[Any], decoding: Decoding, *, seeds: Sequence[int]
) -> Completions:
    """Return one completion per prompt, each from its own seed. Leaves torch's random state alone."""
    drawing = SeededSampling(decoding, seeds)
    settings = {"do_sample": False, "logits_processor": LogitsProcessorList([drawing])}
    completions, _ = _generate(model, processing, prompts, max_new_tokens=decoding.max_new_tokens, **settings)
    return completions


class SeededSampling(LogitsProcessor):
    """Sample each row's token by inverting the cumulative distribution at the row's own uniform number.

    The returned scores leave one token, which greedy decoding then takes. torch's own sampling has one random stream
    for the batch, so that a completion would depend on its neighbours.
    """

    def __init__(self, decoding: Decoding, seeds: Sequence[int]) -> None:
        self._uniforms_nT = torch.from_numpy(uniforms(seeds, decoding.max_new_tokens))
        self._warpers: list[LogitsProcessor] = [TemperatureLogitsWarper(float(decoding.temperature))]
        if decoding.top_p < 1:
            self._warpers += [TopPLogitsWarper(float(decoding.top_p))]
        self._position = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores = scores.float()
        for warper in self._warpers:
            scores = warper(input_ids, scores)
        token_n1 = invert(scores.softmax(dim=-1), self._uniforms_nT[:, self._position].to(scores.device))
        self._position += 1
        return torch.full_like(scores, -torch.inf).scatter_(1, token_n1, 0.0)


def invert(probs_nV: Tensor, uniform_n: Tensor) -> Tensor:
    """Return [n, 1] tokens: the first whose cumulative probability exceeds the row's number, none of probability 0.

    Raises:
        FloatingPointError: a probability is not finite.
    """
    cumulative_nV = probs_nV.double().cumsum(dim=-1)
    total_n = cumulative_nV[:, -1]
    if not total_n.isfinite().all():
        raise FloatingPointError("the model's next-token probabilities are not finite. Check its weights and its dtype")
    target_n = torch.minimum(uniform_n * total_n, torch.nextafter(total_n, torch.zeros_like(total_n)))
    return torch.searchsorted(cumulative_nV, target_n.unsqueeze(1), right=True)


@torch.no_grad()
def decode_greedily(model: Any, processing: Any, prompts: Sequence[Any], *, max_new_tokens: int) -> Completions:
    """Return one completion per prompt, with the likeliest token at each position. Uses no random numbers."""
    entropies = EntropyRecorder()
    settings = {"do_sample": False, "logits_processor": LogitsProcessorList([entropies])}
    completions, mask = _generate(model, processing, prompts, max_new_tokens=max_new_tokens, **settings)
    mean_entropy = (torch.stack(entropies.entropies_n, dim=1) * mask).sum(dim=1) / mask.sum(dim=1)
    return replace(completions, mean_entropy=mean_entropy.tolist())


class EntropyRecorder(LogitsProcessor):
    """Record the entropy of each next-token distribution, [n] per position, and change no score.

    The logits themselves would not fit into memory: positions × n × vocabulary numbers.
    """

    def __init__(self) -> None:
        self.entropies_n: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        log_probs = scores.float().log_softmax(dim=-1)
        self.entropies_n.append(-(log_probs.exp() * log_probs).nan_to_num(nan=0.0).sum(dim=-1))  # 0 · log 0 = 0
        return scores


def _generate(model: Any, processing: Any, prompts: Sequence[Any], **settings: Any) -> tuple[Completions, Tensor]:
    """Return completions, and the mask of their tokens [n, T], the end of sequence included."""
    tokenizer = tokenizer_of(processing)
    end_ids = end_token_ids(model.generation_config.to_dict(), tokenizer)
    with _evaluating(model, _generation_config(model, tokenizer)):
        inputs, cache = _inputs(model, processing, prompts)
        sequences = model.generate(**inputs, past_key_values=cache, **settings)
    ids = sequences[:, inputs["input_ids"].shape[1] :]
    is_end = torch.isin(ids, torch.tensor(end_ids, device=ids.device))
    mask = is_end.cumsum(dim=1) - is_end.int() == 0
    completions = Completions(
        texts=tokenizer.batch_decode(ids.masked_fill(~mask, tokenizer.pad_token_id), skip_special_tokens=True),
        num_tokens=mask.sum(dim=1).tolist(),
        truncated=(~is_end.any(dim=1)).tolist(),
    )
    return completions, mask


def _generation_config(model: Any, tokenizer: Any) -> GenerationConfig:
    """Return the trainer's settings: no sampling defaults of the model, and no token that must not be sampled."""
    generation_config = without_sampling_defaults(model.generation_config.to_dict(), tokenizer)
    generation_config.suppress_tokens = forbidden_token_ids(model.config) or None
    return generation_config


def _inputs(model: Any, processing: Any, prompts: Sequence[Any]) -> tuple[Inputs, DynamicCache | None]:
    """Return the model's inputs of all prompts on its device, and a prefilled cache. Equal prompts are encoded once."""
    by_content = dict(zip(keys := content_keys(prompts), prompts, strict=True))
    encoded = [encode(processing, prompt) for prompt in by_content.values()]
    numbers = {key: number for number, key in enumerate(by_content)}
    row_of_n = [numbers[key] for key in keys]
    pad_token_id = tokenizer_of(processing).pad_token_id

    def batch(rows: Sequence[Inputs]) -> dict[str, Tensor]:
        return {name: values.to(model.device) for name, values in collate(rows, pad_token_id=pad_token_id).items()}

    distinct, rows = batch(encoded), torch.tensor(row_of_n, device=model.device)
    if processing is tokenizer_of(processing):
        cache = prefill(model, distinct["input_ids"], distinct["attention_mask"], rows)
    else:
        cache = _prefill_images(model, distinct, rows)
        if cache is None:
            return batch([encoded[row] for row in row_of_n]), None
    return {name: distinct[name][rows] for name in ("input_ids", "attention_mask")}, cache


def content_keys(prompts: Sequence[Any]) -> list[str]:
    """Return one text per prompt, equal for prompts with the same words and images of the same pixels."""
    digests: dict[int, str] = {}  # by the image's id, which is stable while the prompts exist

    def digest(image: Any) -> str:
        if id(image) not in digests:
            content = hashlib.sha256(image.tobytes()).hexdigest()
            digests[id(image)] = f"{image.mode} {image.size} {content}"
        return digests[id(image)]

    return [repr(map_images(prompt, digest)) for prompt in prompts]


def prefill(model: Any, prompt_ids: Tensor, prompt_mask: Tensor, row_of_n: Tensor) -> DynamicCache | None:
    """Return keys and values of all tokens but the last, computed once per distinct prompt.

    None if that saves no work, or if the model has another kind of cache.
    """
    if len(prompt_ids) == len(row_of_n) or prompt_ids.shape[1] < 2:
        return None
    positions = (prompt_mask.cumsum(dim=1) - 1).clamp(min=0)  # as generate() counts them, padding left out
    cache = model(
        input_ids=prompt_ids[:, :-1],
        attention_mask=prompt_mask[:, :-1],
        position_ids=positions[:, :-1],
        use_cache=True,
        logits_to_keep=1,  # the logits are not used
    ).past_key_values
    if not isinstance(cache, DynamicCache):
        return None
    cache.batch_select_indices(row_of_n)
    return cache


# Inputs that a model reads before the first token only. A model with other fields may need them at every token.
_PROMPT_INPUTS = {"pixel_values", "pixel_attention_mask", "image_grid_thw", "image_sizes", "image_position_ids"}
_PROMPT_INPUTS |= {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "spatial_shapes"}


def _prefill_images(model: Any, distinct: Inputs, row_of_n: Tensor) -> DynamicCache | None:
    """Prefill prompts with images by the model's own `generate` of one token: each model counts positions its way.

    The Qwen family keeps in `rope_deltas` [prompts, 1] the shift of positions after images.
    """
    num_prompts = len(distinct["input_ids"])
    if num_prompts == len(row_of_n) or not distinct.keys() <= _PROMPT_INPUTS:
        return None
    cache = model.generate(**distinct, do_sample=False, max_new_tokens=1, return_dict_in_generate=True).past_key_values
    if not isinstance(cache, DynamicCache) or any(type(layer) is not DynamicLayer for layer in cache.layers):
        return None
    cache.crop(-1)
    cache.batch_select_indices(row_of_n)
    for module in model.modules():
        if isinstance(deltas := getattr(module, "rope_deltas", None), Tensor):
            module.rope_deltas = deltas[row_of_n]
    return cache


@contextmanager
def random_stream(seed: int) -> Iterator[None]:
    """Run the block under its own random state, and restore torch's afterwards."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def _evaluating(model: Any, generation_config: GenerationConfig) -> Iterator[None]:
    """Run the block in evaluation mode under a generation config, and restore the model's own afterwards."""
    was_training, own_config = model.training, model.generation_config
    model.eval()
    model.generation_config = generation_config
    try:
        yield
    finally:
        model.generation_config = own_config
        model.train(was_training)
