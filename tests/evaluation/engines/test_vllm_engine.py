"""vLLM for real, where it is installed: a tiny random Qwen2, on whatever this machine has."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest
import trl.generation.vllm_generation as generation

from agrae_lab.evaluation.engines import vllm
from agrae_lab.evaluation.engines.base import Decoding
from agrae_lab.evaluation.engines.vllm import VllmEngine, sampling_rule
from agrae_lab.evaluation.sample import evaluate
from agrae_lab.evaluation.streams import sample_seeds
from agrae_lab.models.load import load_processing
from agrae_lab.tasks import load_task, read_problems
from agrae_lab.tasks.problems import shipped_file
from agrae_lab.training.vllm_colocate import colocated_vllm_settings, vllm_arguments
from tests.training.generation_lab import SAMPLING_DEFAULTS, nano_with

TASK = load_task("countdown")
PROBLEMS = read_problems(shipped_file("countdown", "test"), TASK.columns, limit=6)
# vLLM warns of much that is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

DECODING = Decoding(num_samples=8, temperature=1.0, top_p=1.0, max_new_tokens=8, batch_size=64, seed=0)


class FakeLLM:
    """Notes what vLLM would be asked for, and draws a star and an end each time."""

    def __init__(self, **arguments):
        self.arguments, self.settings = arguments, []
        self.tokenizer = load_processing(arguments["model"])

    def get_tokenizer(self):
        return self.tokenizer

    def generate(self, inputs, settings, use_tqdm):
        self.settings += settings
        output = SimpleNamespace(text="", token_ids=(14, 1), finish_reason="stop")
        return [SimpleNamespace(outputs=[output]) for _ in inputs]


@pytest.fixture
def fake_vllm(monkeypatch):
    module = ModuleType("vllm")
    module.LLM = FakeLLM
    module.SamplingParams = lambda **settings: settings
    module._custom_ops = ModuleType("vllm._custom_ops")
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm._custom_ops", module._custom_ops)
    monkeypatch.setattr(vllm, "check_vllm", lambda: "0.31.0")


@pytest.mark.parametrize(
    ("settings", "ends"), [({}, [1]), ({"eos_token_id": 14}, [1, 14]), ({"tokenizer_ends": False}, [1])]
)
def test_vllm_is_asked_for_the_config_alone(fake_vllm, tmp_path, settings, ends):
    """The same ends of a completion as with transformers, and no sampling default of the model's directory."""
    engine = VllmEngine(nano_with(tmp_path / "model", **(SAMPLING_DEFAULTS | settings)), dtype="float32")
    assert engine._llm.arguments["generation_config"] == "vllm"
    decoding = replace(DECODING, temperature=0.7, top_p=0.9)
    texts = engine.sample(["1=1:"], decoding, seeds=[0]).texts
    assert texts == ["*"]
    engine.greedy(["1=1:"], max_new_tokens=8)
    sampled, greedy = engine._llm.settings
    sampled.pop("seed")
    assert sampled == {"temperature": 0.7, "top_p": 0.9, "max_tokens": 8, "stop_token_ids": ends}
    assert greedy == {"temperature": 0.0, "max_tokens": 8, "stop_token_ids": ends}


def test_a_vllm_never_draws_a_part_of_a_image():
    assert sampling_rule("nano_vl") == {"stop_token_ids": [3], "bad_words": ["<|image_pad|>"]}


@pytest.mark.parametrize("server", [None, "http://localhost:8000"])
def test_training_with_vllm_is_asked_for_the_same(tmp_path, monkeypatch, server):
    path = nano_with(tmp_path / "model", **(SAMPLING_DEFAULTS | {"eos_token_id": 14}))
    vllm = {"server": server, "gpu_memory": 0.3, "tensor_parallel": 1}
    config = {"engine": "vllm", "hardware": {"vllm": vllm}, "model": {"path": path, "dtype": "bfloat16"}}
    assert vllm_arguments(config)["generation_kwargs"] == {"stop_token_ids": [1, 14]}
    made = []
    monkeypatch.setattr(generation, "LLM", lambda **arguments: made.append(arguments), raising=False)
    with colocated_vllm_settings(config):
        generation.LLM(model=path)
    ours = {"dtype": "bfloat16", "generation_config": "vllm", "enforce_eager": True}
    assert made == [{"model": path, **({} if server else ours)}]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    pytest.importorskip("vllm", reason="vLLM is not installed (extra: vllm)")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    path = tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return VllmEngine(str(path), dtype="float32", max_model_length=64, gpu_memory=0.1)


def tiny_model(path: Path) -> Path:
    """A random Qwen2 with the nano tokenizer; vLLM's attention on a CPU wants heads of 32."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from agrae_lab.models.load import load_model

    _, tokenizer = load_model("nano", dtype="float32")
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, initializer_range=0.2, **sizes, **special)
    Qwen2ForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def drawn(engine, *, seed=0):
    prompts = [TASK.prompt(p) for p in PROBLEMS for _ in range(8)]
    seeds = sample_seeds(seed, 0, "test", "any", range(len(prompts)))
    return engine.sample(prompts, DECODING, seeds=seeds)


@pytest.mark.vllm
def test_one_seed_repeats_and_two_differ(engine):
    assert drawn(engine) == drawn(engine)
    assert drawn(engine).texts != drawn(engine, seed=1).texts


@pytest.mark.vllm
def test_the_samples_of_a_group_are_drawn_apart(engine):
    texts = drawn(engine).texts
    assert min(len(set(texts[i : i + 8])) for i in range(0, len(texts), 8)) > 4


@pytest.mark.vllm
def test_greedy_completions_are_those_of_transformers(engine):
    from agrae_lab.evaluation.engines.transformers import TransformersEngine
    from agrae_lab.models.load import load_model

    ours = TransformersEngine(*load_model(engine._llm.model_config.model, dtype="float32"))
    prompts = [TASK.prompt(p) for p in PROBLEMS]
    a, b = (one.greedy(prompts, max_new_tokens=8) for one in (engine, ours))
    assert a.texts == b.texts
    assert a.num_tokens == b.num_tokens
    assert a.truncated == b.truncated


@pytest.mark.vllm
def test_frequencies_are_the_softmaxs(engine):
    """The first token of 2,000 samples against the model's own probabilities, at temperature 0.7."""
    import torch

    from agrae_lab.models.load import load_model

    model, tokenizer = load_model(engine._llm.model_config.model, dtype="float32")
    prompt = TASK.prompt(PROBLEMS[0])
    with torch.no_grad():
        logits = model(tokenizer(prompt, return_tensors="pt")["input_ids"]).logits[0, -1]
    expected = (logits / 0.7).softmax(dim=-1)
    decoding = replace(DECODING, temperature=0.7, max_new_tokens=1)
    texts = engine.sample([prompt] * 2000, decoding, seeds=sample_seeds(0, 0, "test", "any", range(2000))).texts
    likeliest = int(expected.argmax())
    share = sum(text == tokenizer.decode(likeliest, skip_special_tokens=True) for text in texts) / 2000
    p = float(expected[likeliest])
    assert share == pytest.approx(p, abs=4 * (p * (1 - p) / 2000) ** 0.5)


@pytest.mark.vllm
def test_an_evaluation_is_written_as_any_other(engine, tmp_path):
    evaluate(engine, TASK, PROBLEMS, DECODING, tmp_path / "test")
    frame = pd.read_parquet(tmp_path / "test" / "samples.parquet")
    assert frame.groupby("decoding").size().to_dict() == {"greedy": 6, "sample": 48}
    assert frame["mean_entropy"].isna().all()
