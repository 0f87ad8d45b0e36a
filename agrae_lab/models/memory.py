"""Memory estimate of a run on one device, from the model's configuration and the run's settings alone.

The estimate counts tensors that grow with the model or the batch. Parameters, gradients and Adam's moments are exact.
Activations are those that autograd keeps for a decoder with gated MLPs (Llama, Qwen2 and their like); for a vision
tower, inputs and outputs of its matrices and norms. Fragmentation and the libraries' own memory are not counted: a run
whose estimate is above the share TIGHT of the device's memory may fail.

Legend: L layers, H hidden size, V vocabulary, S tokens of a sequence, b sequences of a forward and backward pass.
"""

from __future__ import annotations

import errno
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from agrae_lab.models.vision import model_class

if TYPE_CHECKING:
    from transformers import PretrainedConfig

FLOAT32, BFLOAT16 = 4, 2  # bytes
TIGHT = 0.9  # share of a device's memory above which a run may not fit
GIB = 2**30

# TRL's fused head computes a tile of this many tokens × this many words of the vocabulary at a time.
TILE_TOKENS, TILE_WORDS = 4096, 32768

# Words of torch, CUDA, NCCL and safetensors; not those within a path.
_OUT_OF_MEMORY = re.compile(r"(?<![/\\])out of memory(?!\.\w|[/\\])|[Cc]an(?:no|')t allocate memory")

PERSISTENT = ("parameters", "gradients", "optimiser", "reference model")
TRAINING = ("bfloat16 copies", "activations", "logits", "images")
SAMPLING = ("KV cache", "images")


@dataclass(frozen=True)
class Workload:
    """Load of a run on one device."""

    prompt_length: int  # tokens of the longest prompt, image tokens included
    completion_length: int  # tokens of the longest completion
    micro_batch: int  # sequences of one forward and backward pass
    sampled_at_once: int  # sequences that this process samples at once; 0 if another engine samples
    bfloat16: bool = False  # arithmetic in bfloat16; trained weights are float32 in any case
    gradient_checkpointing: bool = False
    lora_rank: int | None = None  # None: all weights are trained
    reference_model: bool = False  # a second copy for the KL penalty; LoRA needs none
    num_processes: int = 1
    parameter_shards: int = 1  # devices that share one copy of the parameters
    optimizer_shards: int = 1  # devices that share gradients and Adam's moments
    num_pixel_values: int = 0  # at most so many values in the pixel tensors of one prompt's images, after resizing
    images_held: int = 0  # completions of a step whose prompts' images stay on the device

    @property
    def max_length(self) -> int:
        return self.prompt_length + self.completion_length

    @property
    def compute_bytes(self) -> int:
        """Bytes of a number in the arithmetic."""
        return BFLOAT16 if self.bfloat16 else FLOAT32

    @property
    def weight_bytes(self) -> int:
        """Bytes of a weight; frozen weights have the precision of the arithmetic."""
        return FLOAT32 if self.lora_rank is None else self.compute_bytes


@dataclass(frozen=True)
class Size:
    """Size of a model in numbers."""

    parameters: int
    adapted: int  # Σ (inputs + outputs) over the linear layers that LoRA adapts: all but the head
    vision_adapted: int = 0  # the share of `adapted` in the vision tower


def measure(config: PretrainedConfig) -> Size:
    """Count a model's parameters, shared ones once. Nothing is allocated: the model is built on the meta device."""
    return _measure(config.model_type, config.to_json_string(use_diff=False))


@cache
def _measure(model_type: str, settings: str) -> Size:
    import torch
    from transformers import AutoConfig

    config = AutoConfig.for_model(**{**json.loads(settings), "model_type": model_type})
    with torch.device("meta"):
        model: Any = model_class(config).from_config(config)
    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    decoder = set(model.get_decoder().modules())
    return Size(
        parameters=sum(p.numel() for p in model.parameters()),
        adapted=sum(m.in_features + m.out_features for m in linear),
        vision_adapted=sum(m.in_features + m.out_features for m in linear if m not in decoder),
    )


def estimate(config: PretrainedConfig, work: Workload) -> dict[str, int]:
    """Return bytes on one device by purpose, under the names of PERSISTENT, TRAINING and SAMPLING."""
    text = config.get_text_config()
    size = measure(config)
    lora = work.lora_rank is not None
    trained = size.parameters if work.lora_rank is None else work.lora_rank * size.adapted
    compute_bytes, weight_bytes = work.compute_bytes, work.weight_bytes
    gradients = FLOAT32 * trained // work.optimizer_shards
    is_ddp = work.num_processes > 1 and work.optimizer_shards == 1
    copies = work.bfloat16 and not lora and work.parameter_shards == 1
    return {
        "parameters": weight_bytes * size.parameters // work.parameter_shards + (FLOAT32 * trained if lora else 0),
        "gradients": gradients * (2 if is_ddp else 1),  # DDP adds them up in buckets of the same size
        "optimiser": 2 * FLOAT32 * trained // work.optimizer_shards,
        "reference model": weight_bytes * size.parameters // work.parameter_shards if work.reference_model else 0,
        "bfloat16 copies": BFLOAT16 * size.parameters if copies else 0,  # autocast keeps them for the whole pass
        "activations": _activations(text, work, residual_bytes=weight_bytes, compute_bytes=compute_bytes)
        + _vision_activations(config, size, work, residual_bytes=weight_bytes, compute_bytes=compute_bytes),
        "logits": _logits(text, work, compute_bytes=compute_bytes, trains_head=not lora),
        "KV cache": kv_cache(
            config, work.sampled_at_once * work.max_length, key_bytes=weight_bytes, value_bytes=compute_bytes
        ),
        "images": FLOAT32 * work.num_pixel_values * work.images_held,
    }


def _activations(text: PretrainedConfig, work: Workload, *, residual_bytes: int, compute_bytes: int) -> int:
    """Return bytes that autograd keeps: of every layer, or with checkpointing every layer's input and one layer."""
    hidden, heads = text.hidden_size, text.num_attention_heads * _head_size(text)
    casts = compute_bytes < residual_bytes  # autocast casts a layer's input once for each matrix that reads it
    inputs = 5 if casts else 2
    layer = (
        4 * residual_bytes * hidden  # the inputs of two norms, and what they normalised
        + inputs * compute_bytes * hidden
        + 4 * compute_bytes * heads  # queries, keys and values at all heads, attention's output
        + 4 * compute_bytes * text.intermediate_size  # gate, its activation, up, their product
        + compute_bytes * work.max_length  # the attention mask, a row a token
    )
    layers = text.num_hidden_layers
    token = layers * residual_bytes * hidden + layer if work.gradient_checkpointing else layers * layer
    return work.micro_batch * work.max_length * token


def _vision_activations(
    config: PretrainedConfig, size: Size, work: Workload, *, residual_bytes: int, compute_bytes: int
) -> int:
    """Return bytes that autograd keeps of the vision tower, whose positions are patches; 0 if its config is unknown.

    A rough estimate: it counts inputs and outputs of matrices and norms once each.
    """
    vision: Any = getattr(config, "vision_config", None)
    hidden = getattr(vision, "embed_dim", getattr(vision, "hidden_size", 0))
    blocks = getattr(vision, "depth", getattr(vision, "num_hidden_layers", 0))
    side = getattr(vision, "patch_size", 0)
    if not (work.num_pixel_values and hidden and blocks and side):
        return 0
    channels = getattr(vision, "in_channels", getattr(vision, "num_channels", 3))
    area = side**2 if isinstance(side, int) else math.prod(side)
    patches = work.num_pixel_values // (channels * area * getattr(vision, "temporal_patch_size", 1))
    kept = compute_bytes * size.vision_adapted + 2 * residual_bytes * hidden * blocks
    token = blocks * residual_bytes * hidden + kept // blocks if work.gradient_checkpointing else kept
    return work.micro_batch * patches * token


def _logits(text: PretrainedConfig, work: Workload, *, compute_bytes: int, trains_head: bool) -> int:
    """Return bytes of a tile of logits, the hidden states before the head, and the gradients of both."""
    tokens = work.micro_batch * work.max_length
    tile = min(tokens, TILE_TOKENS) * (compute_bytes * TILE_WORDS + FLOAT32 * min(text.vocab_size, TILE_WORDS))
    head = FLOAT32 * text.vocab_size * text.hidden_size if trains_head else 0
    return tile + head + tokens * text.hidden_size * (FLOAT32 + compute_bytes)


def kv_cache(config: PretrainedConfig, tokens: int, *, key_bytes: int, value_bytes: int) -> int:
    """Return bytes of so many tokens' keys and values, at `key_bytes` and `value_bytes` per number.

    In transformers, keys after rotary positions have the precision of the weights, under autocast too.
    """
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return tokens * text.num_hidden_layers * heads * _head_size(text) * (key_bytes + value_bytes)


def weights_for_sampling(config: PretrainedConfig, work: Workload) -> int:
    """Return bytes of the weights that vLLM holds."""
    return work.compute_bytes * measure(config).parameters


def _head_size(text: PretrainedConfig) -> int:
    return getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads


def peak(table: dict[str, int]) -> int:
    """Return bytes at the peak: in a backward pass, or at the end of sampling."""
    return sum(table[name] for name in PERSISTENT) + max(
        sum(table[name] for name in TRAINING), sum(table[name] for name in SAMPLING)
    )


def largest(table: dict[str, int]) -> str:
    """Return the name of the largest entry at the peak."""
    training = sum(table[name] for name in TRAINING) >= sum(table[name] for name in SAMPLING)
    return max((*PERSISTENT, *(TRAINING if training else SAMPLING)), key=table.__getitem__)


def floor(table: dict[str, int]) -> int:
    """Return bytes that a run needs at any batch size."""
    return sum(table[name] for name in PERSISTENT)


def render(table: dict[str, int], *, available: int, device: str) -> str:
    """Return the estimate as lines of text, in GiB."""
    rows = [(name, amount) for name, amount in table.items() if amount]
    rows += [("peak (training or sampling)", peak(table)), (f"available on {device}", available)]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {amount / GIB:8.2f} GiB" for name, amount in rows]
    return "\n".join(["memory, estimated for one device:", *lines])


@contextmanager
def advise_when_out_of_memory(advice: str) -> Iterator[None]:
    """Add advice to an out-of-memory error of this block, unless an inner block has added its own."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error) and not getattr(error, "__notes__", None):
            error.add_note(advice)
        raise


def evaluation_advice(batch_size: int) -> str:
    """Return the advice for an evaluation that runs out of memory."""
    return f"to need less memory in evaluation, lower evaluation.batch_size (it was {batch_size}), or set engine=vllm"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device or the machine is out of memory.

    The errors of libraries say so in words. Errors that quote the user's input do not count: they may name a file
    `out of memory.jsonl`.
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError):
        return True
    return not isinstance(error, ValueError | LookupError) and _OUT_OF_MEMORY.search(str(error)) is not None


def out_of_memory_message(error: BaseException) -> str:
    """Return the message for an error of `is_out_of_memory`, with its notes, which hold advice."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return "; ".join([f"out of memory ({reason})", *getattr(error, "__notes__", [])])
