"""Faults of a sweep that cannot start, told in sentences."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

# What a bad config can raise; anything else is our own mistake and keeps its traceback.
CONFIG_ERRORS = (ValueError, HydraException, OmegaConfBaseException, yaml.YAMLError)


class PlanError(ValueError):
    """The sweep cannot start. `sentences` says why, one fault each."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


def one_sentence(error: Exception) -> str:
    """Hydra's and OmegaConf's messages run over many lines; keep what names the fault and the choices."""
    text = re.split(r"Config search path|See https", str(error))[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    heads = [i for i, line in enumerate(lines) if line.startswith("Available options")]
    if heads:
        choices = ", ".join(lines[heads[0] + 1 :])
        lines = [*lines[: heads[0]], f"(choices: {choices})"]
    return " ".join(lines)


def close_match(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or "" where nothing known is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""


def unknown_override(error: Exception) -> str | None:
    """The key that Hydra could not override because the config lacks it; None if that is not the error."""
    found = re.search(r"Could not override '([^']+)'", str(error))
    return None if found is None else found.group(1)


def raise_if_asked(error: Exception) -> None:
    """Hydra's own switch: HYDRA_FULL_ERROR=1 shows the whole traceback in place of a sentence."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
