"""Loading a policy and its tokenizer, and saying exactly which one it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

NANO = Path(__file__).parent / "nano"


def local_path(name: str) -> Path | None:
    """The directory that `model.path` means; None for a Hugging Face name.

    A name with one slash is a directory if there is one, else `owner/model` on the Hub.

    Raises:
        ValueError: it can be no Hub name and there is no such directory, or the directory holds no config.json.
    """
    path = NANO if name == "nano" else Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ValueError(f"model.path {name!r} is a directory without config.json, not a model")
        return path
    if name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not name.endswith("/"):
        return None
    raise ValueError(f"model.path {name!r} does not exist; give 'nano', a model directory, or a Hub name 'owner/model'")


def load_config(name: str) -> PretrainedConfig:
    """The model's configuration, without its weights.

    Raises:
        ValueError: nothing to load under this name, here or on the Hub.
    """
    from transformers import AutoConfig

    with _saying_what_is_missing(name):
        return AutoConfig.from_pretrained(local_path(name) or name)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer, padding on the left; where it has no padding token, the end of the sequence takes its place.

    Padding is masked wherever it matters, so that it makes no difference which token pads.

    Raises:
        ValueError: nothing to load under this name, or a tokenizer with neither token.
    """
    from transformers import AutoTokenizer

    with _saying_what_is_missing(name):
        tokenizer = AutoTokenizer.from_pretrained(local_path(name) or name, padding_side="left")
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise ValueError(
                f"the tokenizer of model.path {name!r} has neither a padding token nor an end-of-sequence token; set "
                "tokenizer.eos_token and save the tokenizer beside the model"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(name: str, *, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The causal language model and its tokenizer (padding on the left, with a padding token).

    Raises:
        ValueError: nothing to load under this name, here or on the Hub, or a tokenizer that cannot pad.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # displays are the launcher's business; a bar in a log file is noise
    with _saying_what_is_missing(name):
        model = AutoModelForCausalLM.from_pretrained(local_path(name) or name, dtype=dtype)
    return model, load_tokenizer(name)


@contextmanager
def _saying_what_is_missing(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"model.path {name!r} cannot be loaded ({str(error).splitlines()[0].rstrip('.')}); where the Hub cannot be "
            "reached, give the model's directory: model.path=<directory>"
        ) from error


def fingerprint_model(name: str) -> str:
    """12 hex digits of a model directory's configuration, tokenizer and weights; a Hub model's commit.

    Raises:
        ValueError: as `load_model`.
    """
    path = local_path(name)
    if path is None:
        return str(getattr(load_config(name), "_commit_hash", None) or "unknown")[:12]
    digest = hashlib.sha256()
    for file in sorted(path.glob("*")):
        if file.suffix in (".json", ".safetensors", ".bin", ".model"):
            digest.update(file.name.encode())
            with file.open("rb") as handle:
                while block := handle.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()[:12]
