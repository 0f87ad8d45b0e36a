"""Random streams of an evaluation: one for each sample of each problem.

A sample depends on the evaluation seed, the policy's training seed, the benchmark, the problem and the sample's number.
It does not depend on its batch, so that more samples can be drawn later, in batches of another size. Arms of one
training seed share their streams (their samples are pairs); two training seeds share none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

BASE_STREAM = 0  # the stream of the model that training starts from


def policy_stream(training_seed: int) -> int:
    """Return the stream of policies trained under a seed; it differs from the base model's."""
    return training_seed + 1


def sample_seeds(evaluation_seed: int, stream: int, benchmark: str, problem_id: str, samples: range) -> list[int]:
    """Return one 64-bit seed for each sample of a problem. A sample has the same seed in every range."""
    content = hashlib.sha256(f"{benchmark}\0{problem_id}".encode()).digest()
    words = np.frombuffer(content, dtype="<u4").tolist()
    sequence = np.random.SeedSequence([evaluation_seed, stream, *words])
    return sequence.generate_state(samples.stop, np.uint64)[samples.start :].tolist()


def uniforms(seeds: Sequence[int], num_tokens: int) -> np.ndarray:
    """Return [n, T] numbers in [0, 1), one row for each seed."""
    return np.stack([np.random.Generator(np.random.Philox(key=seed)).random(num_tokens) for seed in seeds])
