"""Errors of libraries as one sentence for the user."""

from __future__ import annotations

import os
import re

import yaml

from agrae_lab.runs.suggestions import close_match

_FULL_ERROR = "HYDRA_FULL_ERROR"  # Hydra's switch: 1 makes it raise errors, which it otherwise prints in several lines
_LET_RAISE = "AGRAE_HYDRA_RAISES"


def let_hydra_raise() -> None:
    """Make Hydra raise its errors, unless the user has."""
    if os.environ.get(_FULL_ERROR) != "1":
        os.environ |= {_FULL_ERROR: "1", _LET_RAISE: "1"}


def was_let_raise() -> bool:
    """Return True between `let_hydra_raise` and `leave_errors_to_hydra`."""
    return _LET_RAISE in os.environ


def leave_errors_to_hydra() -> None:
    """Undo `let_hydra_raise`, once the configuration is composed."""
    if os.environ.pop(_LET_RAISE, None):
        del os.environ[_FULL_ERROR]


def one_sentence(error: BaseException) -> str:
    """Return the error's message in one line, without the search path that Hydra repeats in it.

    An error of YAML begins with file:line; an unknown choice of a config group ends with the nearest known one.
    """
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        while_ = f" {error.context}" if error.context else ""
        return f"{mark.name}:{mark.line + 1}: not readable as YAML{while_}: {error.problem}. Correct that line"
    text = re.split(r"Config search path|See https", str(error))[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    heads = [i for i, line in enumerate(lines) if line.startswith("Available options")]
    if heads:
        choices = lines[heads[0] + 1 :]
        wanted = re.search(r"'(?:[^']*/)?([^'/]+)'\s*$", lines[heads[0] - 1]) if heads[0] else None
        hint = close_match(wanted[1], choices) if wanted else ""
        ending = f"; {hint}" if hint else f" (choices: {', '.join(choices)})"
        return " ".join(lines[: heads[0]]).rstrip(".") + ending
    return " ".join(lines)
