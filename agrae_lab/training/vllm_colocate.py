"""Sampling with vLLM inside TRL's trainer: TRL's arguments for it, and settings that TRL leaves at vLLM's defaults.

In colocate mode (on the trainer's own GPUs) every step draws from a random stream of its own, made from the run's
seed: two seeds differ, and a resumed run samples as an uninterrupted one. A server draws from its own stream.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from agrae_lab.evaluation.engines.transformers import random_stream
from agrae_lab.evaluation.engines.vllm import keep_weights_unpacked, sampling_rule

if TYPE_CHECKING:
    from trl import GRPOConfig


def colocated_vllm(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the settings of a vLLM on the trainer's own GPU; None if there is none."""
    vllm = config["hardware"]["vllm"]
    return vllm if config["engine"] == "vllm" and vllm["server"] is None else None


def vllm_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of TRL's GRPOConfig for vLLM; {} where transformers samples."""
    if config["engine"] != "vllm":
        return {}
    vllm = config["hardware"]["vllm"]
    shared = {"use_vllm": True, "generation_kwargs": sampling_rule(config["model"]["path"])}
    if vllm["server"] is not None:
        return {**shared, "vllm_mode": "server", "vllm_server_base_url": vllm["server"]}
    return {
        **shared,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": vllm["gpu_memory"],
        "vllm_tensor_parallel_size": vllm["tensor_parallel"],
    }


def sampling_stream(
    args: GRPOConfig, step: int, process: int, *, round_number: int = 1
) -> AbstractContextManager[None]:
    """Return a context in which a colocated vLLM draws a round's completions from a random stream of their own.

    TRL gives vLLM no seed: without it every run would draw from the same stream.
    """
    if not (args.use_vllm and args.vllm_mode == "colocate"):
        return nullcontext()
    group = process // args.vllm_tensor_parallel_size  # its processes must sample alike, different groups apart
    digest = hashlib.sha256(f"{args.seed} {step} {round_number} {group}".encode()).digest()
    return random_stream(int.from_bytes(digest[:8], "big"))


@contextmanager
def colocated_vllm_settings(config: Mapping[str, Any]) -> Iterator[None]:
    """Have TRL build its colocated vLLM with the run's dtype, and without the model's sampling defaults.

    TRL names no dtype, and vLLM then takes bfloat16 for a float32 model: the policy that samples would not be the one
    that is trained.
    """
    if colocated_vllm(config) is None:
        yield
        return
    import torch
    import trl.generation.vllm_generation as generation

    dtype = config["model"]["dtype"]
    on_cpu = not torch.cuda.is_available()
    if on_cpu and dtype == "float32":
        keep_weights_unpacked()
    original = generation.LLM
    extra = {"enforce_eager": True} if on_cpu else {}
    generation.LLM = functools.partial(original, dtype=dtype, generation_config="vllm", **extra)
    try:
        yield
    finally:
        generation.LLM = original
