"""Checks of a run on this machine before anything expensive starts: device, prompts, lengths, memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from transformers import PretrainedConfig

from agrae_lab.models.generation import end_token_ids, sampling_defaults
from agrae_lab.models.load import SHIPPED, load_config, load_generation_settings, load_processing
from agrae_lab.models.memory import (
    GIB,
    TIGHT,
    Workload,
    estimate,
    floor,
    kv_cache,
    largest,
    peak,
    render,
    weights_for_sampling,
)
from agrae_lab.runs import Run
from agrae_lab.runs.packages import check_packages
from agrae_lab.runs.processes import is_main
from agrae_lab.tasks import Problem, load_task
from agrae_lab.tasks.encoding import encode, tokenizer_of
from agrae_lab.tasks.prompts import render as render_prompts
from agrae_lab.training.devices import (
    Place,
    device_memory,
    divide_minibatch,
    runs_on_cpu,
    uses_checkpointing,
)
from agrae_lab.training.memory_advice import LOWERS
from agrae_lab.training.vllm_colocate import colocated_vllm

logger = logging.getLogger(__name__)


def preflight(run: Run, problem_sets: Mapping[str, Sequence[Problem]]) -> None:
    """Refuse a run that cannot work, warn of one that may not, and log ignored sampling defaults and a memory estimate.

    Raises:
        ValueError: a package that the run needs is not installed; hardware.device asks for a GPU and there is none, or
            one without bfloat16; chat prompts for a model without a chat template, or images for one that reads text
            alone; images of too many tokens; too few prompts within train.max_prompt_length; parameters, gradients and
            optimiser larger than the device; a group of completions larger than the KV cache.
    """
    config = run.config
    check_packages(config)
    _check_device(config)
    model, processing = load_config(config["model"]["path"]), load_processing(config["model"]["path"])
    _check_tokens(model, processing)
    if is_main() and (line := describe_generation_settings(config["model"]["path"], tokenizer_of(processing))):
        logger.info("%s", line)
    largest_prompts = {
        name: _largest_prompt(model, processing, config, name, problems) for name, problems in problem_sets.items()
    }
    if config["model"]["path"] in SHIPPED:  # fits anywhere
        return
    longest = {name: size.tokens for name, size in largest_prompts.items()}
    work = workload(config, prompt_length=longest["train"], num_pixel_values=largest_prompts["train"].num_pixel_values)
    table = estimate(model, work)
    device, memory = device_memory(config)
    if is_main():
        for text in _length_warnings(config, model, longest):
            logger.warning("%s", text)
        logger.info("%s", render(table, available=memory, device=device))
    check_fit(config, model, work, memory=memory, device=device)


def check_fit(config: Mapping[str, Any], model: PretrainedConfig, work: Workload, *, memory: int, device: str) -> None:
    """Raise ValueError if the run cannot possibly fit into `memory` bytes of a device; warn if it may not."""
    table, vllm = estimate(model, work), colocated_vllm(config)
    share = 0 if vllm is None else int(vllm["gpu_memory"] * memory)
    if (needed := floor(table)) > memory - share:
        raise ValueError(
            f"model.path {config['model']['path']!r} needs {_gib(needed)} on each device for parameters, gradients and "
            f"optimiser alone, and {device} has {_gib(memory - share)}{' beside vLLM' if share else ''}; "
            "set model.lora, or spread the model over more devices with FSDP or DeepSpeed (docs/scale.md)"
        )
    train = config["train"]
    tokens = train["num_generations"] * work.max_length
    if vllm is None:
        room = memory - needed
        group = kv_cache(model, tokens, key_bytes=work.weight_bytes, value_bytes=work.compute_bytes)
        advice = "lower train.num_generations or train.max_completion_length, or set engine=vllm"
    else:
        room = share - weights_for_sampling(model, work) // vllm["tensor_parallel"]
        group = (
            kv_cache(model, tokens, key_bytes=work.compute_bytes, value_bytes=work.compute_bytes)
            // vllm["tensor_parallel"]
        )
        advice = "raise hardware.vllm.gpu_memory or hardware.vllm.tensor_parallel"
    if group > room:
        raise ValueError(
            f"a group of train.num_generations = {train['num_generations']} completions of up to {work.max_length} "
            f"tokens with their prompt needs {_gib(group)} of KV cache, and {device} has {_gib(max(room, 0))} left for "
            f"it; {advice}"
        )
    if (needed_at_peak := peak(table)) > TIGHT * (memory - share):
        logger.warning(
            "memory may not suffice: about %s are needed and %s has %s, most of it for %s; %s",
            *(_gib(needed_at_peak), device, _gib(memory - share), (row := largest(table)), LOWERS[row]),
        )


def workload(
    config: Mapping[str, Any], *, prompt_length: int, num_pixel_values: int = 0, place: Place | None = None
) -> Workload:
    """Return the sizes that decide how much memory a process needs.

    Args:
        place: of the run; None: under the launcher that has started this process.
    """
    place = Place.here(config) if place is None else place
    train, lora = config["train"], config["model"].get("lora")
    per_process, per_device = divide_minibatch(config, processes=place.num_processes)
    return Workload(
        prompt_length=prompt_length,
        completion_length=train["max_completion_length"],
        micro_batch=per_device,
        sampled_at_once=0 if config["engine"] == "vllm" else per_process * train["num_minibatches"],
        bfloat16=not place.on_cpu and config["model"]["dtype"] == "bfloat16",
        gradient_checkpointing=uses_checkpointing(config, on_cpu=place.on_cpu),
        lora_rank=None if lora is None else lora["rank"],
        reference_model=config["loss"]["kl_coefficient"] > 0 and lora is None,
        num_processes=place.num_processes,
        parameter_shards=place.parameter_shards,
        optimizer_shards=place.optimizer_shards,
        num_pixel_values=num_pixel_values,
        images_held=per_process * train["num_minibatches"],
    )


def _check_device(config: Mapping[str, Any]) -> None:
    """Raise ValueError if the device of the config is not there, or cannot compute in its dtype."""
    if config["hardware"]["device"] == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "hardware.device: cuda, but torch sees no GPU here. Set hardware.device=cpu, or install a torch with CUDA"
        )
    wants_bfloat16 = config["model"]["dtype"] == "bfloat16"
    if wants_bfloat16 and not runs_on_cpu(config) and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(
            f"model.dtype: {torch.cuda.get_device_name()} cannot compute in bfloat16. Set model.dtype=float32"
        )


def _check_tokens(model: PretrainedConfig, processing: Any) -> None:
    """Raise ValueError if the tokenizer pads or ends with a token that the model does not have."""
    tokenizer, known = tokenizer_of(processing), model.get_text_config().vocab_size
    for token in (tokenizer.pad_token, tokenizer.eos_token):
        if token is not None and (number := tokenizer.convert_tokens_to_ids(token)) >= known:
            raise ValueError(
                f"the tokenizer at model.path pads or ends with {token!r}, its token {number}, and the model has the "
                f"tokens 0 to {known - 1}; set tokenizer.pad_token and tokenizer.eos_token to some of the model's and "
                "save the tokenizer beside it"
            )


def describe_generation_settings(name: str, tokenizer: Any) -> str:
    """Return one line on the sampling defaults of a model that are ignored, and on several ends of a completion.

    Empty where its generation_config.json has no sampling defaults and no other end of a completion than the tokenizer.
    """
    settings = load_generation_settings(name)
    ignored = ", ".join(f"{key} = {value}" for key, value in sampling_defaults(settings).items())
    ends = [tokenizer.convert_ids_to_tokens(number) or number for number in end_token_ids(settings, tokenizer)]
    texts = [f"ignored sampling defaults of generation_config.json: {ignored}"] if ignored else []
    texts += [f"a completion ends at {' or '.join(map(repr, ends))}"] if len(ends) > 1 else []
    return f"model.path {name!r}: {'; '.join(texts)}" if texts else ""


@dataclass(frozen=True)
class PromptSize:
    """Size of a prompt as a model's input."""

    tokens: int
    image_tokens: int = 0  # of `tokens`, those that stand for images
    num_pixel_values: int = 0  # values of its pixel tensors, after resizing


def prompt_sizes(model: PretrainedConfig, processing: Any, prompts: Iterable[Any]) -> list[PromptSize]:
    """Return the size of each prompt; prompts are taken one by one, so that one prompt's images are in memory."""
    if processing is tokenizer_of(processing):
        return [PromptSize(len(ids)) for ids in render_prompts(processing, prompts)]

    def size(inputs: Mapping[str, torch.Tensor]) -> PromptSize:
        ids, pixels = inputs["input_ids"], inputs.get("pixel_values")
        is_image = ids == getattr(model, "image_token_id", -1)
        return PromptSize(ids.shape[1], int(is_image.sum()), 0 if pixels is None else pixels.numel())

    return [size(encode(processing, prompt)) for prompt in prompts]


def _largest_prompt(
    model: PretrainedConfig, processing: Any, config: Mapping[str, Any], name: str, problems: Sequence[Problem]
) -> PromptSize:
    """Return the maximum of each size among the prompts of the training problems (`train`) or of a benchmark.

    Raises:
        ValueError: chat prompts for a model without a chat template, images of too many tokens, or too few prompts
            within train.max_prompt_length.
    """
    section = config["task"] if name == "train" else config["evaluation"]["benchmarks"][name]
    task = load_task(section["name" if name == "train" else "task"], config["task"])
    sizes = prompt_sizes(model, processing, (task.prompt(problem) for problem in problems))
    if not all(size.tokens for size in sizes):
        raise ValueError(
            f"prompts of task {task.name!r} are no tokens at all to the tokenizer at model.path; are all of its files "
            "(tokenizer.json, tokenizer_config.json) there?"
        )
    limit = config["train"].get("max_prompt_length") if name == "train" else None  # longer ones are left out
    if limit is None or config["task"].get("on_bad_row") != "skip":
        _check_images(model, name, problems, sizes, limit)
    kept = [size for size in sizes if limit is None or size.tokens <= limit]
    if limit is not None and len(kept) < (needed := config["train"]["num_prompts"]):
        raise ValueError(
            f"only {len(kept)} of {len(sizes)} prompts of task.name = {task.name} have at most "
            f"train.max_prompt_length = {limit} tokens, fewer than train.num_prompts = {needed}; the longest has "
            f"{max(size.tokens for size in sizes)} tokens"
        )
    return PromptSize(*(max(getattr(size, field.name) for size in kept) for field in fields(PromptSize)))


def _check_images(
    model: PretrainedConfig, name: str, problems: Sequence[Problem], sizes: Sequence[PromptSize], limit: int | None
) -> None:
    """Raise ValueError if the images of a problem alone are more tokens than a prompt may have."""
    positions = getattr(model.get_text_config(), "max_position_embeddings", None)
    bounds = [(limit, "train.max_prompt_length"), (positions, "the model's positions")]
    for most, key in ((most, key) for most, key in bounds if most is not None):
        for problem, size in zip(problems, sizes, strict=True):
            if size.image_tokens > most:
                raise ValueError(
                    f"problem {str(problem['id'])!r} of {name!r}: its images are {size.image_tokens} tokens to the "
                    f"model, more than {key} = {most} allow. Lower task.max_pixels, or scale the images down"
                )


def _length_warnings(config: Mapping[str, Any], model: PretrainedConfig, longest: Mapping[str, int]) -> list[str]:
    """Return a warning for each set whose prompts and completions together exceed the model's positions."""
    positions = getattr(model.get_text_config(), "max_position_embeddings", None)
    if positions is None:
        return []
    limits = {"train": ("train.max_completion_length", config["train"]["max_completion_length"])}
    limits |= dict.fromkeys(
        config["evaluation"]["benchmarks"], ("evaluation.max_new_tokens", config["evaluation"]["max_new_tokens"])
    )
    return [
        f"{key} = {tokens} and a prompt of {longest[name]} tokens ({name}) exceed the model's {positions} positions: "
        "text may degenerate there, and vLLM stops at the last position"
        for name, (key, tokens) in limits.items()
        if longest[name] + tokens > positions
    ]


def _gib(amount: int) -> str:
    return f"{amount / GIB:.1f} GiB"
