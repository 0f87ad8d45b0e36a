"""Provenance of a run: code revision, package versions, machine."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "agrae-lab",
    "torch",
    "trl",
    "transformers",
    "accelerate",
    "datasets",
    "tokenizers",
    "numpy",
    "pyarrow",
    "hydra-core",
    "omegaconf",
    "vllm",
)


def provenance() -> dict[str, Any]:
    """Git revision (with "+" where the tree has changes; None outside a repository), packages, Python, machine."""
    return {
        "git_revision": git_revision(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name)) is not None},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def git_revision() -> str | None:
    here = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def package_version(name: str) -> str | None:
    """Return the version of an installed package; None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
