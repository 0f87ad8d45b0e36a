"""A study's axes → its cells, as settings: config key → value, for what differs from the base."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sweeps.errors import PlanError, close_match
from sweeps.spec.study import Axes, Study

Settings = Mapping[str, Any]

_PLAIN_WORD = re.compile(r"[A-Za-z_][\w./-]*")
_NOT_WORDS = ("true", "false", "null", "nan", "inf")  # what Hydra's grammar reads as something else


def settings_of(study: Study) -> list[Settings]:
    """The cells of a study without a search, each once, in the order of their axes.

    Raises:
        PlanError: an exclusion by what is no axis, or that excludes no cell, or all cells.
    """
    every = list({json.dumps(cell, sort_keys=True): cell for cell in _cells(study.axes)}.values())
    keys = study.axes.varied()
    faults = []
    for i, exclusion in enumerate(study.exclude):
        for key in exclusion.keys() - set(keys):
            hint = close_match(key, keys) or f"the axes are {', '.join(keys) or 'none'}"
            faults.append(f"exclude[{i}]: {key} is not an axis; {hint}")
        if not faults and not any(_excludes(exclusion, settings) for settings in every):
            faults.append(f"exclude[{i}] excludes no cell; correct it, or leave it out")
    if faults:
        raise PlanError(faults)
    kept = [settings for settings in every if not any(_excludes(one, settings) for one in study.exclude)]
    if not kept:
        raise PlanError([f"exclude leaves none of the {len(every)} cells; make it exclude fewer"])
    return kept


def label(settings: Settings) -> str:
    """The cell as a person would write it on the command line; `base` for the base itself."""
    return " ".join(override(key, value) for key, value in settings.items()) or "base"


def override(key: str, value: Any) -> str:
    """`key=value` in Hydra's grammar, which reads the value back as it is."""
    return f"{key}={_literal(value)}"


def _cells(axes: Axes) -> Iterator[Settings]:
    if axes.grid:
        for values in itertools.product(*axes.grid.values()):
            yield dict(zip(axes.grid, values, strict=True))
    for values in zip(*axes.zip.values(), strict=True):
        yield dict(zip(axes.zip, values, strict=True))
    if axes.one_factor or not axes.varied():
        yield {}
    for key, values in axes.one_factor.items():
        for value in values:
            yield {key: value}


def _excludes(exclusion: Settings, settings: Settings) -> bool:
    """Whether a cell has every value of the exclusion, where a list stands for any of its values."""
    return bool(exclusion) and all(
        key in settings and (settings[key] == wanted or (isinstance(wanted, list) and settings[key] in wanted))
        for key, wanted in exclusion.items()
    )


def _literal(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_literal(inner) for inner in value) + "]"
    if not isinstance(value, str):
        return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    if _PLAIN_WORD.fullmatch(value) and value.lower() not in _NOT_WORDS:
        return value
    # Backslashes are doubled only before a quote, the closing one included: elsewhere Hydra keeps them.
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + (r"\'" if found[2] else ""), value) + "'"
