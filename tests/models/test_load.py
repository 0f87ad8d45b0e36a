"""Tokenizers without the tokens that are needed, and models that are not there."""

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from agrae_lab.models.load import (
    ModelError,
    fingerprint_model,
    load_config,
    load_generation_settings,
    load_model,
    load_processing,
    local_path,
)


def model_with_tokenizer(path, **special):
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    LlamaForCausalLM(LlamaConfig(vocab_size=2, **sizes)).save_pretrained(path)
    core = Tokenizer(models.WordLevel({"<end>": 0, "a": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=core, **special).save_pretrained(path)
    return str(path)


def test_a_tokenizer_without_padding_pads_with_the_end_of_sequence(tmp_path):
    tokenizer = load_processing(model_with_tokenizer(tmp_path / "model", eos_token="<end>"))
    assert tokenizer.pad_token == "<end>"
    assert tokenizer.padding_side == "left"


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    path = model_with_tokenizer(tmp_path / "model")
    for load in (load_processing, lambda name: load_model(name, dtype="float32")):
        with pytest.raises(ValueError, match=r"neither a padding token nor an end-of-sequence token\. Set tokenizer"):
            load(path)


def test_a_model_that_is_neither_here_nor_to_be_reached(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for load in (load_config, load_processing, load_generation_settings, fingerprint_model):
        with pytest.raises(
            ModelError, match=r"model\.path 'nobody/nothing' cannot be loaded \(.+\)\. Where the Hub"
        ) as told:
            load("nobody/nothing")
        assert "\n" not in str(told.value)
        assert str(told.value).endswith("give the model's directory: model.path=<directory>")


def without_weights(path: Path) -> None:
    (path / "model.safetensors").unlink()


def with_weights_cut_off(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def with_a_config_of(**changes):
    def damage(path: Path) -> None:
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | changes))

    return damage


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without_weights, "no file named model.safetensors"),
        (with_weights_cut_off, "SafetensorError: "),
        (with_a_config_of(hidden_size=16), "RuntimeError: "),
        (with_a_config_of(model_type="nosuch"), "model type `nosuch`"),
        (with_a_config_of(model_type="t5"), "T5Config"),
    ],
)
def test_a_model_directory_that_is_damaged(tmp_path, damage, reason):
    path = model_with_tokenizer(tmp_path / "model", eos_token="<end>")
    damage(Path(path))
    with pytest.raises(ModelError) as told:
        load_model(path, dtype="float32")
    assert str(told.value).startswith(f"model.path {path!r} cannot be loaded (")
    assert reason in str(told.value)
    assert str(told.value).endswith("complete and as save_pretrained writes it")
    assert "\n" not in str(told.value)


def test_a_fingerprint_is_also_of_the_vocabulary(tmp_path):
    model, found = shutil.copytree(local_path("nano"), tmp_path / "a"), []
    for merges in ("a b", "b a"):
        (model / "merges.txt").write_text(merges)
        found.append(fingerprint_model(str(model)))
    (model / "README.txt").write_text("other")
    assert len({*found, fingerprint_model(str(model))}) == 2


def test_a_fingerprint_ignores_the_paths_of_the_training_that_wrote_the_weights(tmp_path):
    """The same weights under two roots are one model: an evaluation of one is an evaluation of the other."""
    shutil.copytree(local_path("nano"), tmp_path / "a")
    before = fingerprint_model(str(tmp_path / "a"))
    (tmp_path / "a" / "training_args.bin").write_bytes(b"output_dir=/tmp/one")
    assert fingerprint_model(str(tmp_path / "a")) == before
    (tmp_path / "a" / "pytorch_model.bin").write_bytes(b"other weights")
    assert fingerprint_model(str(tmp_path / "a")) != before
