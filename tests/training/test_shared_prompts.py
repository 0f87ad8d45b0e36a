"""A group's prompt is computed once in sampling, and nothing changes by that."""

import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from transformers import GenerationConfig

from agrae_lab.models.load import load_model
from agrae_lab.training import shared_prompts as module
from agrae_lab.training.shared_prompts import shared_prompts

PROMPTS = ["123=16:", "4567=55:", "12345=99:"]
SAMPLING = GenerationConfig(do_sample=True, max_new_tokens=14, pad_token_id=0, eos_token_id=1)


@pytest.fixture
def nano():
    return load_model("nano", dtype="float32")


def test_equal_prompts_are_computed_once_and_the_samples_are_the_same(nano):
    model, tokenizer = nano
    inputs = tokenizer([prompt for prompt in PROMPTS for _ in range(8)], padding=True, return_tensors="pt")
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    shapes = []
    model.register_forward_pre_hook(
        lambda model, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )

    def sample():
        shapes.clear()
        torch.manual_seed(3)
        return model.generate(**given, generation_config=SAMPLING)

    own = sample()
    width = given["input_ids"].shape[1]
    assert shapes[0] == (24, width)
    with shared_prompts(model, Accelerator(cpu=True)):
        shared = sample()
    assert shapes[:2] == [(3, width - 1), (24, 1)]
    assert torch.equal(shared, own)
    assert torch.equal(sample(), own)  # generate is its own again
    assert shapes[0] == (24, width)


def test_a_run_ends_with_the_same_weights_as_without(small_run, tmp_path, monkeypatch):
    words = ["train.num_generations=8", "train.num_steps=2"]
    shared = small_run(*words)
    monkeypatch.setattr(module, "_WHOLE_MODEL", ())
    own = small_run(*words, root=tmp_path)
    completions = [
        pd.concat(map(pd.read_parquet, sorted(run.path.glob("rollouts/*")))).completion for run in (shared, own)
    ]
    assert completions[0].tolist() == completions[1].tolist()
    weights = [load_model(str(run.path / "model"), dtype="float32")[0].state_dict() for run in (shared, own)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
