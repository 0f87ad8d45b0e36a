"""Interface of the engines that sample an evaluation's completions. The config key `engine` chooses one.

transformers.py   transformers' generate, on any device
vllm.py           vLLM, offline, in this process
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agrae_lab.evaluation.streams import BASE_STREAM


@dataclass(frozen=True)
class Decoding:
    """Sampling settings of an evaluation."""

    num_samples: int
    temperature: float
    top_p: float
    max_new_tokens: int
    batch_size: int
    seed: int
    stream: int = BASE_STREAM  # random stream of the policy's training seed (streams.py)


@dataclass(frozen=True)
class Completions:
    """Decoded completions with their lengths in tokens, the end-of-sequence token counted."""

    texts: list[str]
    num_tokens: list[int]
    truncated: list[bool]
    mean_entropy: list[float] | None = None  # nats per token, full softmax at temperature 1; greedy decoding only


class Engine(Protocol):
    """Sampler of one model. A prompt is text, or chat messages with or without images."""

    def sample(self, prompts: Sequence[Any], decoding: Decoding, *, seeds: Sequence[int]) -> Completions:
        """Return one completion per prompt, each from its own 64-bit seed: the same in any batch, up to rounding."""
        ...

    def greedy(self, prompts: Sequence[Any], *, max_new_tokens: int) -> Completions:
        """Return greedy completions, with mean_entropy if the engine sees the whole distribution."""
        ...

    def close(self) -> None:
        """Free the engine's memory and processes."""
        ...
