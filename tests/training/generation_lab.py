"""The nano model with sampling defaults of its own: what generation_config.json may say beside the special tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from agrae_lab.models.load import NANO, load_processing

# Each of them changes what nano samples or how generate runs; the ids are those of characters that nano writes.
SAMPLING_DEFAULTS: dict[str, Any] = {
    "min_p": 0.9,
    "typical_p": 0.2,
    "top_k": 2,
    "top_p": 0.3,
    "temperature": 0.1,
    "epsilon_cutoff": 0.3,
    "no_repeat_ngram_size": 1,
    "repetition_penalty": 2.0,
    "min_new_tokens": 12,
    "min_length": 30,
    "max_length": 12,
    "bad_words_ids": [[4], [5]],
    "suppress_tokens": [6, 7],
    "begin_suppress_tokens": [8, 9],
    "forced_eos_token_id": 4,
    "sequence_bias": [[[10], -20.0]],
    "exponential_decay_length_penalty": [2, 5.0],
    "encoder_repetition_penalty": 1.5,
    "num_beams": 3,
    "num_return_sequences": 2,
    "max_time": 1e-9,
    "stop_strings": "+",
    "use_cache": False,
    "cache_implementation": "static",
    "return_dict_in_generate": True,
}


def nano_with(path: Path, *, tokenizer_ends: bool = True, **settings: Any) -> str:
    """A copy of nano whose generation_config.json holds these settings."""
    shutil.copytree(NANO, path)
    known = {"eos_token_id": 1, "pad_token_id": 0}
    (path / "generation_config.json").write_text(json.dumps(known | settings))
    if not tokenizer_ends:
        file = path / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token": None}))
    return str(path)


def token_id(text: str) -> int:
    (number,) = load_processing("nano")(text)["input_ids"]
    return number
