"""Memory that a planned run needs on each device, from its config alone: for previews of sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agrae_lab.models.load import load_config
from agrae_lab.models.memory import GIB, estimate, floor, peak, weights_for_sampling
from agrae_lab.training.devices import Place
from agrae_lab.training.preflight import workload
from agrae_lab.training.vllm_colocate import colocated_vllm

PROMPT_TOKENS = 512  # of the longest prompt, where train.max_prompt_length does not limit it


def planned_memory(config: Mapping[str, Any], *, on_cpu: bool) -> str:
    """Return a phrase on the memory of each device; "memory not known" if the model's config.json is not here."""
    try:
        model = load_config(config["model"]["path"])
    except (ValueError, OSError):
        return "memory not known (the model's config.json is not here)"
    length = config["train"].get("max_prompt_length") or PROMPT_TOKENS
    work = workload(config, prompt_length=length, place=Place.planned(config, on_cpu=on_cpu))
    table = estimate(model, work)
    words = f"about {peak(table) / GIB:.1f} GiB on each at the peak, {floor(table) / GIB:.1f} GiB of it for good"
    if (vllm := colocated_vllm(config)) is not None:
        weights = weights_for_sampling(model, work) / vllm["tensor_parallel"]
        words += f"; beside it vLLM with {weights / GIB:.1f} GiB of weights"
    return words
