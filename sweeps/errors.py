"""Errors of commands that cannot be carried out, as sentences for the user."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import yaml
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from agrae_lab.runs.hydra_errors import one_sentence

__all__ = [
    "CONFIG_ERRORS",
    "PlanError",
    "disk_sentence",
    "one_sentence",
    "refusing_disk_errors",
    "reraise_if_full_error",
    "unknown_override",
]

# Raised by a bad config. Any other exception is a bug and keeps its traceback.
CONFIG_ERRORS = (ValueError, HydraException, OmegaConfBaseException, yaml.YAMLError)


class PlanError(ValueError):
    """Command that cannot be carried out; `sentences` has one sentence for each fault."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = tuple(sentences)
        super().__init__("\n".join(self.sentences))


def disk_sentence(error: OSError) -> str:
    """Return a sentence about a file that could not be read or written, with its path."""
    reason = error.strerror or str(error) or type(error).__name__
    path = error.filename2 or error.filename
    return f"{path}: {reason}. Choose a root that can be written, with room" if path else reason


@contextmanager
def refusing_disk_errors() -> Iterator[None]:
    """Turn an OSError of the block, before anything has started, into a PlanError of one sentence."""
    try:
        yield
    except OSError as error:
        raise PlanError([disk_sentence(error)]) from error


def unknown_override(error: Exception) -> str | None:
    """Return the key that Hydra could not override because the config lacks it; None for any other error."""
    found = re.search(r"Could not override '([^']+)'", str(error))
    return None if found is None else found.group(1)


def reraise_if_full_error(error: Exception) -> None:
    """Raise the error again if HYDRA_FULL_ERROR=1, Hydra's own switch for whole tracebacks."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
