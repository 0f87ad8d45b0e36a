"""Advice for a run that may not fit, or has not fitted, into a device's memory: the settings that lower its need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agrae_lab.training.devices import divide_minibatch, uses_checkpointing

if TYPE_CHECKING:
    from trl import GRPOConfig

_MORE_DEVICES = "set model.lora, or spread the model over more devices (docs/scale.md)"
_SMALLER_PASS = "lower hardware.per_device_batch_size"
LOWERS = {  # row of the memory estimate → the settings that lower it
    "parameters": _MORE_DEVICES,
    "gradients": _MORE_DEVICES,
    "optimiser": _MORE_DEVICES,
    "reference model": "set loss.kl_coefficient=0, or model.lora, which needs none",
    "bfloat16 copies": _MORE_DEVICES,
    "activations": f"{_SMALLER_PASS}, or set hardware.gradient_checkpointing=true",
    "logits": _SMALLER_PASS,
    "KV cache": "set engine=vllm, use more processes, or lower train.num_prompts or train.max_completion_length",
    "images": "lower task.max_pixels or train.num_prompts, or use more processes",
}


def update_advice(config: Mapping[str, Any]) -> str:
    """Return the advice for an update that runs out of memory."""
    settings = [f"lower hardware.per_device_batch_size (it was {divide_minibatch(config)[1]})"]
    settings += [] if uses_checkpointing(config) else ["set hardware.gradient_checkpointing=true"]
    settings += ["set model.lora", "spread the model over more devices (docs/scale.md)"]
    return f"to need less memory in training, {', '.join(settings[:-1])} or {settings[-1]}"


def sampling_advice(args: GRPOConfig) -> str:
    """Return the advice for sampling that runs out of memory."""
    if args.use_vllm:
        return "to need less memory in sampling, lower hardware.vllm.gpu_memory or train.max_completion_length"
    assert args.steps_per_generation is not None
    at_once = args.per_device_train_batch_size * args.steps_per_generation
    return (
        f"to need less memory in sampling ({at_once} completions side by side on each process), set engine=vllm, "
        "use more processes, or lower train.num_prompts or train.max_completion_length"
    )
