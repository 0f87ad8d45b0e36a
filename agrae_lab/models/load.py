"""Loading of policies with their tokenizer or processor, and fingerprints of models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agrae_lab.models.generation import Settings, end_token_ids, without_sampling_defaults
from agrae_lab.models.memory import is_out_of_memory
from agrae_lab.models.vision import model_class, processor_class, reads_images
from agrae_lab.tasks.encoding import tokenizer_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

NANO = Path(__file__).parent / "nano"
_GENERATION_FILE = "generation_config.json"
SHIPPED = {"nano": NANO, "nano_vl": NANO.with_name("nano_vl")}
MADE_BY = {"models/micro": "python -m agrae_lab.models.micro"}  # the path of a world → the command that makes it


class ModelError(ValueError):
    """A model cannot be loaded. The message gives its name and the remedy."""


def local_path(name: str) -> Path | None:
    """Return the directory of a `model.path`; None for a name on the Hugging Face Hub.

    A name with one slash is a directory if there is one, else `owner/model` on the Hub.

    Raises:
        ValueError: the name is neither a directory nor a Hub name, or the directory holds no config.json.
    """
    path = SHIPPED.get(name) or Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ValueError(f"model.path {name!r} is a directory without config.json. Give the directory of a model")
        return path
    if name in MADE_BY:
        raise ValueError(f"model.path {name!r} does not exist. Make it first: {MADE_BY[name]}")
    if name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not name.endswith("/"):
        return None
    raise ValueError(
        f"model.path {name!r} does not exist. Give 'nano', 'nano_vl', a model directory, or a Hub name 'owner/model'"
    )


def load_config(name: str) -> PretrainedConfig:
    """Load the model's configuration, without its weights.

    Raises:
        ValueError: there is no such model, here or on the Hub.
    """
    from transformers import AutoConfig

    with _model_errors(name):
        return AutoConfig.from_pretrained(local_path(name) or name)


def load_generation_settings(name: str) -> Settings:
    """Load the model's generation_config.json as written, or the settings of its config.json if it has none.

    transformers itself would refuse combinations of settings that have no effect here.

    Raises:
        ValueError: there is no such model, or the file cannot be read.
    """
    from transformers import GenerationConfig
    from transformers.utils import cached_file

    place = local_path(name) or name
    with _model_errors(name):
        file = cached_file(
            place,
            _GENERATION_FILE,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,  # offline, the cache may lack the file
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
    """Load the tokenizer of a text model, or the processor of a vision-language model.

    Padding is on the left. Without a padding token the end-of-sequence token pads: padding is masked, so that the
    choice makes no difference. A tokenizer without an end-of-sequence token gets the model's.

    Raises:
        ValueError: there is no such model, neither tokenizer nor model names an end-of-sequence token, or the processor
            needs a package that is not installed.
    """
    from transformers import AutoTokenizer

    config = load_config(name)
    loader = processor_class(config) if reads_images(config) else AutoTokenizer
    with _model_errors(name):
        processing = loader.from_pretrained(local_path(name) or name)
    tokenizer = tokenizer_of(processing)
    tokenizer.padding_side = "left"
    if tokenizer.eos_token is None:
        _set_end_token(name, tokenizer)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processing


def _set_end_token(name: str, tokenizer: Any) -> None:
    """Give the tokenizer the model's end-of-sequence token."""
    with _model_errors(name):
        ends = end_token_ids(load_generation_settings(name), tokenizer)
    known = [token for token in tokenizer.convert_ids_to_tokens(ends) if token is not None]
    if not known:
        lacks = "neither a padding token nor an" if tokenizer.pad_token is None else "no"
        raise ModelError(
            f"the tokenizer of model.path {name!r} has {lacks} end-of-sequence token. Set tokenizer.eos_token and save "
            "the tokenizer beside the model, or name a token of the model as eos_token_id in its generation_config.json"
        )
    tokenizer.eos_token = known[0]


def load_model(name: str, *, dtype: str) -> tuple[PreTrainedModel, Any]:
    """Load a policy, a causal or a vision-language model, and its tokenizer or processor.

    The policy has no sampling defaults of its own (generation.py).

    Raises:
        ValueError: as `load_processing`.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # a progress bar fills log files, and the launcher has displays
    loader, processing = model_class(load_config(name)), load_processing(name)
    with _model_errors(name):
        plain = without_sampling_defaults(load_generation_settings(name), tokenizer_of(processing))
        model = loader.from_pretrained(local_path(name) or name, dtype=dtype, generation_config=plain)
    return model, processing


@contextmanager
def _model_errors(name: str) -> Iterator[None]:
    """Turn errors of loading into a ModelError with the model's name and the remedy; memory errors pass."""
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
        raise ModelError(f"model.path {name!r} cannot be loaded ({_reason(error)}). {_remedy(name)}") from error


def _reason(error: Exception) -> str:
    """Return the first line of a library's message, after the error's type if that is not plain."""
    line = (str(error).splitlines() or [""])[0].rstrip(".")
    return line if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {line}"


def _remedy(name: str) -> str:
    if local_path(name) is None:
        return "Where the Hub cannot be reached, give the model's directory: model.path=<directory>"
    return "Give the directory of a causal or vision-language model, complete and as save_pretrained writes it"


_MODEL_SUFFIXES = (".json", ".jinja", ".safetensors", ".bin", ".model", ".tiktoken")
_VOCABULARIES = ("merges.txt", "vocab.txt")


def fingerprint_model(name: str) -> str:
    """Return 12 hex digits of a model directory's configuration, tokenizer and weights; of a Hub model, its commit.

    Without training_args.bin, which names the run's paths and decides no sample.

    Raises:
        ValueError: as `load_model`.
    """
    path = local_path(name)
    if path is None:
        return str(getattr(load_config(name), "_commit_hash", None) or "unknown")[:12]
    digest = hashlib.sha256()
    for file in sorted(path.glob("*")):
        if (file.suffix in _MODEL_SUFFIXES or file.name in _VOCABULARIES) and file.name != "training_args.bin":
            digest.update(file.name.encode())
            with file.open("rb") as handle:
                while block := handle.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()[:12]
