"""Loading a policy with its tokenizer or processor, and saying exactly which one it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agrae_lab.models.generation import Settings, end_token_ids, without_habits
from agrae_lab.models.memory import is_out_of_memory
from agrae_lab.models.vision import model_class, processor_class, reads_images
from agrae_lab.tasks.encoding import tokenizer_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

NANO = Path(__file__).parent / "nano"
_GENERATION_FILE = "generation_config.json"
SHIPPED = {"nano": NANO, "nano_vl": NANO.with_name("nano_vl")}


class ModelError(ValueError):
    """A model that cannot be loaded; the message is one sentence with its name and what would be right."""


def local_path(name: str) -> Path | None:
    """The directory that `model.path` means; None for a Hugging Face name.

    A name with one slash is a directory if there is one, else `owner/model` on the Hub.

    Raises:
        ValueError: it can be no Hub name and there is no such directory, or the directory holds no config.json.
    """
    path = SHIPPED.get(name) or Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ValueError(f"model.path {name!r} is a directory without config.json, not a model")
        return path
    if name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not name.endswith("/"):
        return None
    raise ValueError(
        f"model.path {name!r} does not exist; give 'nano', 'nano_vl', a model directory, or a Hub name 'owner/model'"
    )


def load_config(name: str) -> PretrainedConfig:
    """The model's configuration, without its weights.

    Raises:
        ValueError: nothing to load under this name, here or on the Hub.
    """
    from transformers import AutoConfig

    with _saying_what_is_missing(name):
        return AutoConfig.from_pretrained(local_path(name) or name)


def load_generation_settings(name: str) -> Settings:
    """The model's generation_config.json as it is written, or what its config.json says where there is none.

    Not by way of transformers, which refuses some combinations that have no effect here anyway.

    Raises:
        ValueError: nothing to load under this name, or a file that cannot be read.
    """
    from transformers import GenerationConfig
    from transformers.utils import cached_file

    place = local_path(name) or name
    with _saying_what_is_missing(name):
        file = cached_file(
            place,
            _GENERATION_FILE,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,  # offline, a model that has none is in the cache without it
        )
        if file is None:
            return GenerationConfig.from_pretrained(
                place, config_file_name="config.json", _from_model_config=True
            ).to_dict()
        try:
            settings = json.loads(Path(file).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"its {_GENERATION_FILE} is no JSON: {error}") from error
        if not isinstance(settings, dict):
            raise ValueError(f"its {_GENERATION_FILE} must be a JSON object, got {settings!r}")
        return settings


def load_processing(name: str) -> Any:
    """What makes a model's inputs: the tokenizer of a model for text, the processor of a vision-language model.

    Padding is on the left; where there is no padding token, the end of the sequence takes its place: padding is masked
    wherever it matters, so that it makes no difference which token pads. A tokenizer without a token that ends the
    sequence gets the model's.

    Raises:
        ValueError: nothing to load under this name, a tokenizer without an end of sequence beside a model that names
            none either, or a processor that needs a package which is not installed.
    """
    from transformers import AutoTokenizer

    config = load_config(name)
    loader = processor_class(config) if reads_images(config) else AutoTokenizer
    with _saying_what_is_missing(name):
        processing = loader.from_pretrained(local_path(name) or name)
    tokenizer = tokenizer_of(processing)
    tokenizer.padding_side = "left"
    if tokenizer.eos_token is None:
        _take_end_of(name, tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processing


def _take_end_of(name: str, tokenizer: Any) -> None:
    """Have the tokenizer end a sequence with the model's token."""
    with _saying_what_is_missing(name):
        ends = end_token_ids(load_generation_settings(name), tokenizer)
    known = [token for token in tokenizer.convert_ids_to_tokens(ends) if token is not None]
    if not known:
        lacks = "neither a padding token nor an" if tokenizer.pad_token is None else "no"
        raise ModelError(
            f"the tokenizer of model.path {name!r} has {lacks} end-of-sequence token; set tokenizer.eos_token and save "
            "the tokenizer beside the model, or name a token of the model as eos_token_id in its generation_config.json"
        )
    tokenizer.eos_token = known[0]


def load_model(name: str, *, dtype: str) -> tuple[PreTrainedModel, Any]:
    """The policy, a causal language model or a vision-language model, and its `load_processing`.

    The policy has no generation habits of its own (`generation.py`).

    Raises:
        ValueError: nothing to load under this name, here or on the Hub, or a tokenizer that nothing ends.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # displays are the launcher's business; a bar in a log file is noise
    loader, processing = model_class(load_config(name)), load_processing(name)
    with _saying_what_is_missing(name):
        plain = without_habits(load_generation_settings(name), tokenizer_of(processing))
        model = loader.from_pretrained(local_path(name) or name, dtype=dtype, generation_config=plain)
    return model, processing


@contextmanager
def _saying_what_is_missing(name: str) -> Iterator[None]:
    try:
        yield
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(
            f"model.path {name!r} needs a package that is not installed: {' '.join(str(error).split())}"
        ) from error
    except Exception as error:  # of transformers, safetensors, tokenizers, huggingface_hub and the file system
        if is_out_of_memory(error):
            raise
        raise ModelError(f"model.path {name!r} cannot be loaded ({_reason(error)}); {_instead(name)}") from error


def _reason(error: Exception) -> str:
    """The first line of what a library says, where it says anything."""
    line = (str(error).splitlines() or [""])[0].rstrip(".")
    return line if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {line}"


def _instead(name: str) -> str:
    if local_path(name) is None:
        return "where the Hub cannot be reached, give the model's directory: model.path=<directory>"
    return "it must be the directory of a causal or a vision-language model, whole and as save_pretrained writes it"


def fingerprint_model(name: str) -> str:
    """12 hex digits of a model directory's configuration, tokenizer or processor, and weights; a Hub model's commit.

    Raises:
        ValueError: as `load_model`.
    """
    path = local_path(name)
    if path is None:
        return str(getattr(load_config(name), "_commit_hash", None) or "unknown")[:12]
    digest = hashlib.sha256()
    for file in sorted(path.glob("*")):
        if file.suffix in (".json", ".jinja", ".safetensors", ".bin", ".model"):
            digest.update(file.name.encode())
            with file.open("rb") as handle:
                while block := handle.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()[:12]
