"""Keys and values of a prompt computed once for all completions of its group, in sampling with `generate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor

from agrae_lab.evaluation.engines.transformers import prefill

_WHOLE_MODEL = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


@contextmanager
def shared_prompts(model: Any, accelerator: Accelerator) -> Iterator[None]:
    """Let `model.generate` compute equal prompts of a batch once, within the block.

    The sampled distribution stays the same, and so do the random numbers that are drawn. Models whose weights are
    sharded, and inputs other than text, are left to `generate` itself.

    Args:
        model: the unwrapped model that TRL samples from.
    """
    if accelerator.distributed_type not in _WHOLE_MODEL:
        yield
        return
    generate = model.generate

    def generate_shared(*, input_ids: Tensor, attention_mask: Tensor, **others: Any) -> Any:
        if others.keys() == {"generation_config"}:
            rows = torch.cat([input_ids, attention_mask], dim=1)
            distinct, row_of_n = rows.unique(dim=0, return_inverse=True)
            prompt_ids, prompt_mask = distinct.chunk(2, dim=1)
            with torch.no_grad():
                others["past_key_values"] = prefill(model, prompt_ids, prompt_mask, row_of_n)
        return generate(input_ids=input_ids, attention_mask=attention_mask, **others)

    model.generate = generate_shared
    try:
        yield
    finally:
        del model.generate
