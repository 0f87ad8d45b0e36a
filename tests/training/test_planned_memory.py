"""Memory of planned runs, as previews of sweeps print it: the figures of docs/scale.md, from configs alone."""

from __future__ import annotations

import re

import pytest
from omegaconf import OmegaConf

from agrae_lab.training import planned_memory as module
from agrae_lab.training.planned_memory import planned_memory
from tests.documents import ROOT
from tests.models.test_memory import PUBLISHED
from tests.training.conftest import compose

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
SIZES = {
    "Qwen/Qwen2.5-Math-7B": "Qwen2.5-Math-7B, DeepSeek-R1-Distill-Qwen-7B",
    "meta-llama/Llama-3.2-3B-Instruct": "Llama-3.2-3B-Instruct",
    "Qwen/Qwen2.5-0.5B-Instruct": "Qwen2.5-0.5B-Instruct",
    SMOLLM2: "SmolLM2-135M-Instruct",
}
LORA = ("hardware.processes=1", "model.lora={rank: 64, alpha: 128}")
# row of the table in docs/scale.md → the overrides that it stands for
ROWS = {
    "7B, FSDP over 8": ("world=qwen25_math_7b",),
    "7B, FSDP over 16": ("world=qwen25_math_7b", "hardware.processes=16"),
    "7B, LoRA of rank 64, one device": ("world=qwen25_math_7b", *LORA),
    "3B, FSDP over 8": ("world=llama32_3b",),
    "3B, LoRA of rank 64, one device": ("world=llama32_3b", *LORA),
    "0.5B, one device, transformers samples": ("world=qwen25_05b",),
    "135M, CPU in float32, transformers samples": ("world=smollm2_135m",),
}


def config_of(*words):
    return OmegaConf.to_container(compose(*words), resolve=True)


@pytest.fixture(autouse=True)
def _sizes_without_the_hub(monkeypatch):
    monkeypatch.setattr(module, "load_config", lambda name: PUBLISHED[SIZES[name]][0])


@pytest.mark.parametrize("row", ROWS)
def test_the_table_of_the_documents_is_what_a_preview_prints(row):
    (line,) = [one for one in (ROOT / "docs" / "scale.md").read_text().splitlines() if one.startswith(f"| {row} |")]
    kept, peak, weights = (cell.strip() for cell in line.split("|")[2:5])
    words = planned_memory(config_of(*ROWS[row]), on_cpu="CPU" in row)
    beside = f"; beside it vLLM with {weights} GiB of weights" if weights else ""
    assert words == f"about {peak} GiB on each at the peak, {kept} GiB of it for good{beside}"


def test_vllm_on_other_gpus_or_spread_over_several_takes_less():
    spread = planned_memory(config_of("world=qwen25_math_7b", "hardware.vllm.tensor_parallel=2"), on_cpu=False)
    assert spread.endswith("; beside it vLLM with 7.1 GiB of weights")
    server = planned_memory(config_of("world=qwen25_math_7b", "hardware.vllm.server='http://a:1'"), on_cpu=False)
    assert "vLLM" not in server


def test_a_longer_prompt_takes_more_and_none_given_is_taken_for_512_tokens():
    def at_peak(*words):
        return float(re.search(r"about ([\d.]+) GiB", planned_memory(config_of(*words), on_cpu=False))[1])

    words = ("world=qwen25_math_7b", "train.max_prompt_length=")
    assert at_peak(words[0], f"{words[1]}2048") > at_peak(words[0], f"{words[1]}1024")
    assert at_peak(words[0], f"{words[1]}null") == at_peak(words[0], f"{words[1]}{module.PROMPT_TOKENS}")


@pytest.mark.parametrize("error", [ValueError("no such model"), OSError("offline")])
def test_a_model_that_is_not_here_is_said_to_be_unknown(monkeypatch, error):
    def missing(name):
        raise error

    monkeypatch.setattr(module, "load_config", missing)
    words = planned_memory(config_of("world=qwen25_math_7b"), on_cpu=False)
    assert words == "memory not known (the model's config.json is not here)"
