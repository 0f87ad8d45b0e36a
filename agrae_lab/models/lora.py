"""LoRA (arXiv 2106.09685): W + (α/rank)·B·A with A [rank, inputs] and B [outputs, rank] trained, and W left alone.

Every linear layer but the head is adapted, the vision tower's too. The frozen weights W may be bfloat16; A and B are
float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agrae_lab.models.load import load_model

if TYPE_CHECKING:
    from peft import LoraConfig


def lora_config(config: Mapping[str, Any]) -> LoraConfig | None:
    """Return peft's config of a run; None for a run that trains all weights."""
    lora = config["model"].get("lora")
    if lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(r=lora["rank"], lora_alpha=lora["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")


def merge_adapter(folder: Path, base: str) -> None:
    """Merge the adapter saved in a folder into its base model and save the whole model there.

    Works in float32, which does not round away updates that are small beside their weights.
    """
    from peft import PeftModel

    model, _ = load_model(base, dtype="float32")
    PeftModel.from_pretrained(model, str(folder)).merge_and_unload().save_pretrained(folder)
    for leftover in (*folder.glob("adapter_*"), folder / "README.md"):
        leftover.unlink(missing_ok=True)
