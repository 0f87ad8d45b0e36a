"""Loading a policy and its tokenizer, and saying exactly which one it was."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

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


def load_model(name: str, *, dtype: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The causal language model and its tokenizer (padding on the left, with a padding token).

    Raises:
        ValueError: nothing to load under this name, here or on the Hub.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # displays are the launcher's business; a bar in a log file is noise
    source = local_path(name) or name
    try:
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    except OSError as error:
        raise ValueError(f"model.path {name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def fingerprint_model(name: str) -> str:
    """12 hex digits of a model directory's configuration, tokenizer and weights; a Hub model's commit.

    Raises:
        ValueError: as `load_model`.
    """
    path = local_path(name)
    if path is None:
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(name)
        except OSError as error:
            raise ValueError(f"model.path {name!r} cannot be loaded: {str(error).splitlines()[0]}") from error
        return str(getattr(config, "_commit_hash", None) or "unknown")[:12]
    digest = hashlib.sha256()
    for file in sorted(path.glob("*")):
        if file.suffix in (".json", ".safetensors", ".bin", ".model"):
            digest.update(file.name.encode())
            with file.open("rb") as handle:
                while block := handle.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()[:12]
