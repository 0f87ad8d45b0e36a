"""What draws an evaluation's completions: an engine. Its choice is `engine` in the config.

transformers_engine.py   transformers' generate, anywhere
vllm_engine.py           vLLM, offline, in this process
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agrae_lab.evaluation.streams import BASE_STREAM


@dataclass(frozen=True)
class Decoding:
    """How completions are drawn."""

    num_samples: int
    temperature: float
    top_p: float
    max_new_tokens: int
    batch_size: int
    seed: int
    stream: int = BASE_STREAM  # of the policy's training seed, see streams.py


@dataclass(frozen=True)
class Completions:
    """Decoded completions with their lengths in tokens, the end-of-sequence token counted."""

    texts: list[str]
    num_tokens: list[int]
    truncated: list[bool]
    mean_entropy: list[float] | None = None  # nats a token, full softmax at temperature 1; greedy decoding only


class Engine(Protocol):
    """Draws completions from one model. A prompt is text, or chat messages, with or without images."""

    def sample(self, prompts: Sequence[Any], decoding: Decoding, *, seeds: Sequence[int]) -> Completions:
        """One completion per prompt, each from its own 64-bit seed: the same in whatever batch, up to rounding."""
        ...

    def greedy(self, prompts: Sequence[Any], *, max_new_tokens: int) -> Completions:
        """The likeliest token at each position; mean_entropy where the engine sees the whole distribution."""
        ...

    def close(self) -> None:
        """Give back what the engine holds."""
        ...
