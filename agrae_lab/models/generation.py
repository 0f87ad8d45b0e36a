"""The part of a model's generation_config.json that a run keeps: the tokens that end, begin and pad a sequence.

The file may also set sampling defaults (min_p, repetition_penalty, no_repeat_ngram_size, min_new_tokens, …), which
transformers and vLLM apply on top of the requested settings. Training, validation and evaluation sample by the config's
keys alone, so that a model is loaded without its sampling defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import GenerationConfig

Settings = Mapping[str, Any]  # content of generation_config.json
_KEPT = ("eos_token_id", "bos_token_id", "pad_token_id")
_NOT_SAMPLING = {
    *_KEPT,
    *("_from_model_config", "transformers_version", "use_cache", "decoder_start_token_id"),
}


def end_token_ids(settings: Settings, tokenizer: Any) -> list[int]:
    """Return the tokens that end a completion: the tokenizer's first, then the model's others.

    Raises:
        ValueError: eos_token_id is not a token's number, a list of them, or null.
    """
    named = settings.get("eos_token_id")
    numbers = named if isinstance(named, list | tuple) else [named]
    if any(number is not None and type(number) is not int for number in numbers):
        raise ValueError(
            f"generation_config.json: eos_token_id must be the number of a token, or a list of them, got {named!r}"
        )
    return [n for n in dict.fromkeys([tokenizer.eos_token_id, *numbers]) if n is not None]


def without_sampling_defaults(settings: Settings, tokenizer: Any) -> GenerationConfig:
    """Return a generation config with the special tokens alone, which always loads and saves.

    Raises:
        ValueError: as `end_token_ids`.
    """
    from transformers import GenerationConfig

    ends = end_token_ids(settings, tokenizer)
    return GenerationConfig(
        eos_token_id=ends[0] if len(ends) == 1 else ends,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=settings.get("bos_token_id"),
    )


def sampling_defaults(settings: Settings) -> dict[str, Any]:
    """Return the sampling defaults of a generation_config.json, name → value, without values that have no effect."""
    from transformers import GenerationConfig

    neutral = GenerationConfig._get_default_generation_params() | {"top_k": 0}
    return {name: v for name, v in settings.items() if v and v != neutral.get(name) and name not in _NOT_SAMPLING}


def forbidden_token_ids(model_config: Any) -> list[int]:
    """Return the tokens that must not be sampled: an image token in a completion would have no image."""
    image = getattr(model_config, "image_token_id", None)
    return [] if image is None else [image]
