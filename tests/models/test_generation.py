"""Special tokens and sampling defaults of a loaded model's generation_config.json."""

import json

import pytest
import torch

from agrae_lab.evaluation.engines.base import Decoding
from agrae_lab.evaluation.engines.transformers import TransformersEngine
from agrae_lab.models.generation import end_token_ids, sampling_defaults
from agrae_lab.models.load import ModelError, load_generation_settings, load_model, load_processing
from tests.training.generation_lab import SAMPLING_DEFAULTS, nano_with, token_id

PROMPTS = ["123=24:", "4567=10:"]
DECODING = Decoding(num_samples=1, temperature=1.0, top_p=1.0, max_new_tokens=16, batch_size=64, seed=0)


def drawn(path):
    engine = TransformersEngine(*load_model(path, dtype="float32"))
    return engine.sample(PROMPTS * 16, DECODING, seeds=range(16 * len(PROMPTS))), engine.greedy(
        PROMPTS, max_new_tokens=16
    )


@pytest.fixture(scope="module")
def plain():
    return drawn("nano")


@pytest.mark.parametrize("key", SAMPLING_DEFAULTS)
def test_each_sampling_default_is_ignored(key, plain, tmp_path):
    path = nano_with(tmp_path / "model", **{key: SAMPLING_DEFAULTS[key]})
    assert drawn(path) == plain
    named = sampling_defaults(load_generation_settings(path))
    assert named == ({} if key == "use_cache" else {key: SAMPLING_DEFAULTS[key]})


def test_sampling_defaults_in_config_json_where_there_is_no_other_file(plain, tmp_path):
    path = nano_with(tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").unlink()
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"repetition_penalty": 2.0, "min_p": 0.9}))
    assert sampling_defaults(load_generation_settings(path)) == {"repetition_penalty": 2.0, "min_p": 0.9}
    assert drawn(path) == plain
    load_model(path, dtype="float32")[0].save_pretrained(tmp_path / "saved")


def test_a_model_is_saved_and_loaded_again_without_sampling_defaults(plain, tmp_path):
    model, tokenizer = load_model(nano_with(tmp_path / "model", **SAMPLING_DEFAULTS), dtype="float32")
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert sampling_defaults(load_generation_settings(str(tmp_path / "saved"))) == {}
    assert drawn(str(tmp_path / "saved")) == plain


def test_neutral_values_are_no_sampling_defaults(tmp_path):
    neutral = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "num_beams": 1, "min_p": None}
    neutral |= {
        "do_sample": False,
        "no_repeat_ngram_size": 0,
        "bad_words_ids": [],
        "use_cache": True,
        "bos_token_id": 3,
    }
    assert sampling_defaults(load_generation_settings(nano_with(tmp_path / "neutral", **neutral))) == {}
    assert sampling_defaults(load_generation_settings("nano")) == {}
    top_k = load_generation_settings(nano_with(tmp_path / "top_k", top_k=50))  # transformers' own default is one too
    assert sampling_defaults(top_k) == {"top_k": 50}


@pytest.mark.parametrize("setting", [{"num_beams": 0}, {"early_stopping": "perhaps"}, {"max_new_tokens": -1}])
def test_what_transformers_would_refuse_to_load_is_set_aside_too(setting, plain, tmp_path):
    assert drawn(nano_with(tmp_path / "model", **setting)) == plain


@pytest.mark.parametrize(("named", "ends"), [(1, [1]), (None, [1]), (14, [1, 14]), ([14, 1], [1, 14]), ([], [1])])
def test_the_ends_are_the_tokenizers_and_the_models(named, ends, tmp_path):
    path = nano_with(tmp_path / "model", eos_token_id=named)
    model, tokenizer = load_model(path, dtype="float32")
    assert end_token_ids(load_generation_settings(path), tokenizer) == ends
    assert end_token_ids(model.generation_config.to_dict(), tokenizer) == ends


def test_a_tokenizer_without_an_end(tmp_path):
    path = nano_with(tmp_path / "star", tokenizer_ends=False, eos_token_id=[14, 1])
    assert load_processing(path).eos_token == "*"
    assert torch.tensor(drawn(path)[0].truncated).logical_not().any()
    path = nano_with(tmp_path / "nothing", tokenizer_ends=False, eos_token_id=None)
    with pytest.raises(ModelError, match=r"has no end-of-sequence token\. Set tokenizer\.eos_token .* eos_token_id in"):
        load_processing(path)
    assert token_id("*") == 14


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "its generation_config.json is no JSON: Expecting"),
        ("[1]", r"its generation_config.json must be a JSON object, got \[1\]"),
        ('{"eos_token_id": "<eos>"}', "eos_token_id must be the number of a token, or a list of them, got '<eos>'"),
        ('{"eos_token_id": [1, true]}', "eos_token_id must be the number of a token"),
    ],
)
def test_a_file_that_cannot_be_read(text, reason, tmp_path):
    path = nano_with(tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text(text)
    with pytest.raises(ModelError, match=reason) as told:
        load_model(path, dtype="float32")
    assert "\n" not in str(told.value)
