"""The vLLM engine, offline: for models whose samples would take days with transformers.

vLLM is an extra. Versions outside TRL's range are refused, since training refuses them too.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

from agrae_lab.evaluation.engines.base import Completions, Decoding
from agrae_lab.models.generation import end_token_ids, forbidden_token_ids
from agrae_lab.models.load import load_config, load_generation_settings, load_processing
from agrae_lab.runs.packages import check_vllm
from agrae_lab.runs.processes import local_rank
from agrae_lab.tasks.encoding import images_in, tokenizer_of


class VllmEngine:
    """Engine on vLLM. Every completion has its own seed.

    Args:
        path: a model directory or hub name.
        dtype: of the weights; without it vLLM silently loads a float32 model in bfloat16.
        tensor_parallel: number of GPUs for one copy of the model.
        gpu_memory: share of each GPU's memory that vLLM may use.
        max_model_length: tokens of prompt and completion together; None: the model's own limit.

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
            generation_config="vllm",  # ignores the sampling defaults of the model
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

        # no mean_entropy: vLLM shows the likeliest tokens only, and their partial sum is not the entropy
        settings = SamplingParams(temperature=0.0, max_tokens=max_new_tokens, **self._rule)
        return self._generate(prompts, [settings] * len(prompts))

    def close(self) -> None:
        self._llm.llm_engine.engine_core.shutdown()

    def _generate(self, prompts: Sequence[Any], settings: Sequence[Any]) -> Completions:
        inputs = [self._vllm_prompt(prompt) for prompt in prompts]
        drawn = [request.outputs[0] for request in self._llm.generate(inputs, settings, use_tqdm=False)]
        return Completions(
            # as transformers.py does; vLLM's own text lacks an end token that is not special
            texts=self._tokenizer.batch_decode(
                [list(completion.token_ids) for completion in drawn], skip_special_tokens=True
            ),
            num_tokens=[len(completion.token_ids) for completion in drawn],
            truncated=[completion.finish_reason == "length" for completion in drawn],
        )

    def _vllm_prompt(self, prompt: Any) -> dict[str, Any]:
        """Return a prompt in vLLM's form: token ids, or for images the text with a placeholder each, and the images.

        Prompts with images follow vLLM's documentation and are untested.
        """
        images = images_in(prompt)
        if not images:
            return {"prompt_token_ids": self._token_ids(prompt)}
        text = self._tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        return {"prompt": text, "multi_modal_data": {"image": images}}

    def _token_ids(self, prompt: Any) -> list[int]:
        """Return a text prompt's tokens, the same as in transformers.py."""
        if isinstance(prompt, str):
            return self._tokenizer(prompt)["input_ids"]
        encoded = self._tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)
        return encoded["input_ids"]


def sampling_rule(path: str) -> dict[str, Any]:
    """Return SamplingParams settings for tokens that end a completion and tokens that are never sampled.

    All other defaults of SamplingParams are neutral. The end tokens are passed explicitly, since a vLLM server may lack
    the model's generation_config.json.

    Raises:
        ValueError: as `load_model`.
    """
    tokenizer = tokenizer_of(load_processing(path))
    rule: dict[str, Any] = {"stop_token_ids": end_token_ids(load_generation_settings(path), tokenizer)}
    if forbidden := forbidden_token_ids(load_config(path)):
        rule["bad_words"] = tokenizer.convert_ids_to_tokens(forbidden)
    return rule


@functools.cache  # a second call would select among the GPUs that the first has selected
def keep_to_own_gpus(count: int) -> None:
    """Restrict this process to its own `count` GPUs if several processes share an evaluation."""
    if "LOCAL_RANK" in os.environ:
        first = local_rank()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(first + count)))).split(",")
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(visible[first : first + count])


def keep_weights_unpacked() -> None:
    """Keep vLLM from packing float32 weights on a CPU for oneDNN.

    Packing drops the original weights, so that the trainer could not load new ones.
    """
    import vllm._custom_ops as operations

    operations._supports_onednn = False
