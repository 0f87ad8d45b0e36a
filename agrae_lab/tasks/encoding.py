"""Model inputs of prompts: tokens, and the pixel values of images.

A prompt is text, or chat messages; a message's content is text, or a list of blocks of text and images. `processing`
is a tokenizer, or the processor of a vision-language model. Legend: n prompts, L tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Inputs = Mapping[str, "Tensor"]  # a model's inputs by their names


def tokenizer_of(processing: Any) -> Any:
    """Return the tokenizer of a tokenizer or processor."""
    return getattr(processing, "tokenizer", processing)


def images_in(prompt: Any) -> list[Any]:
    """Return the images in a prompt, in order."""
    if isinstance(prompt, str):
        return []
    blocks = [block for message in prompt if not isinstance(message["content"], str) for block in message["content"]]
    return [block["image"] for block in blocks if block["type"] == "image"]


def map_images(prompt: Any, change: Any) -> Any:
    """Return the prompt with `change(image)` in place of each image."""
    if isinstance(prompt, str):
        return prompt

    def changed(content: Any) -> Any:
        if isinstance(content, str):
            return content
        return [{**b, "image": change(b["image"])} if b["type"] == "image" else b for b in content]

    return [{**message, "content": changed(message["content"])} for message in prompt]


def encode(processing: Any, prompt: Any) -> Inputs:
    """Return one prompt's inputs: `input_ids` and `attention_mask` [1, L], and the model's fields for images.

    Raises:
        ValueError: messages for a model without a chat template, or images for a text model.
    """
    tokenizer = tokenizer_of(processing)
    if isinstance(prompt, str):
        return _text_inputs(tokenizer(prompt, return_tensors="pt"))
    if processing is tokenizer and images_in(prompt):
        raise ValueError(
            "the task's prompts have images, and the model at model.path reads text alone. Choose a vision-language "
            "model"
        )
    if not getattr(processing, "chat_template", None):
        raise ValueError("the model at model.path has no chat template, which prompts of chat messages need")
    settings = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    if processing is tokenizer:
        return _text_inputs(tokenizer.apply_chat_template(prompt, **settings))
    return processing.apply_chat_template([_in_blocks(message) for message in prompt], **settings)


def _text_inputs(inputs: Inputs) -> Inputs:
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


def _in_blocks(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with its content as blocks, the form that all vision-language templates accept."""
    content = message["content"]
    return {**message, "content": [{"type": "text", "text": content}] if isinstance(content, str) else content}


def collate(encoded: Sequence[Inputs], *, pad_token_id: int) -> dict[str, Tensor]:
    """Return the inputs of several prompts as one batch: tokens [n, L] padded on the left, images concatenated.

    Models hold images as rows of patches, tiles or images, or as one row per prompt, padded with zeros to the largest.
    """
    import torch

    width = max(inputs["input_ids"].shape[1] for inputs in encoded)
    batch: dict[str, list[Tensor]] = {}
    for inputs in encoded:
        length = inputs["input_ids"].shape[1]
        for name, values in inputs.items():
            if values.shape == (1, length):  # one number per token
                fill = pad_token_id if name == "input_ids" else 0
                values = torch.nn.functional.pad(values, (width - length, 0), value=fill)
            batch.setdefault(name, []).append(values)
    return {name: torch.cat(_pad_to_largest(rows)) for name, rows in batch.items()}


def _pad_to_largest(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors padded with zeros to equal sizes in all axes but the first."""
    import torch

    sizes = [max(size) for size in zip(*(t.shape[1:] for t in tensors), strict=True)]

    def padding(shape: Sequence[int]) -> list[int]:
        return [x for size, wanted in reversed(list(zip(shape, sizes, strict=True))) for x in (0, wanted - size)]

    return [torch.nn.functional.pad(t, padding(t.shape[1:])) if list(t.shape[1:]) != sizes else t for t in tensors]
