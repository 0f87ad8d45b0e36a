"""Errors of commands that cannot be carried out, as sentences for the user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

# Raised by a bad config. Any other exception is a bug and keeps its traceback.
CONFIG_ERRORS = (ValueError, HydraException, OmegaConfBaseException, yaml.YAMLError)


class PlanError(ValueError):
    """Command that cannot be carried out; `sentences` has one sentence for each fault."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


def one_sentence(error: Exception) -> str:
    """Return the error's message in one line, without the search path that Hydra repeats in it."""
    text = re.split(r"Config search path|See https", str(error))[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    heads = [i for i, line in enumerate(lines) if line.startswith("Available options")]
    if heads:
        choices = ", ".join(lines[heads[0] + 1 :])
        lines = [*lines[: heads[0]], f"(choices: {choices})"]
    return " ".join(lines)


def unknown_override(error: Exception) -> str | None:
    """Return the key that Hydra could not override because the config lacks it; None for any other error."""
    found = re.search(r"Could not override '([^']+)'", str(error))
    return None if found is None else found.group(1)


def reraise_if_full_error(error: Exception) -> None:
    """Raise the error again if HYDRA_FULL_ERROR=1, Hydra's own switch for whole tracebacks."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
