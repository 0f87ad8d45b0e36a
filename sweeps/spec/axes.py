"""Cells of a study, from its axes. A cell is its settings: config key → value, wherever it differs from the base."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agrae_lab.runs.suggestions import close_match
from sweeps.errors import PlanError
from sweeps.spec.study import Axes, Study

Settings = Mapping[str, Any]

_PLAIN_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_RESERVED_WORDS = ("true", "false", "null", "nan", "inf")  # words with a meaning of their own in Hydra's grammar


def study_cells(study: Study) -> list[Settings]:
    """Return the cells of a study without a search, each once, in the order of its axes.

    Raises:
        PlanError: an exclusion names a key that is no axis, excludes no cell, or excludes all.
    """
    cells = list({json.dumps(cell, sort_keys=True): cell for cell in _cells_of_axes(study.axes)}.values())
    keys = study.axes.varied()
    faults = []
    for i, exclusion in enumerate(study.exclude):
        for key in exclusion.keys() - set(keys):
            hint = close_match(key, keys) or f"the axes are {', '.join(keys) or 'none'}"
            faults.append(f"exclude[{i}]: {key} is not an axis; {hint}")
        if not faults and not any(_excludes(exclusion, settings) for settings in cells):
            faults.append(f"exclude[{i}] excludes no cell; correct it, or leave it out")
    if faults:
        raise PlanError(faults)
    kept = [settings for settings in cells if not any(_excludes(excluded, settings) for excluded in study.exclude)]
    if not kept:
        raise PlanError([f"exclude leaves none of the {len(cells)} cells; make it exclude fewer"])
    return kept


def label(settings: Settings) -> str:
    """Return the cell as overrides of the command line, or `base` for the base itself."""
    return " ".join(override(key, value) for key, value in settings.items()) or "base"


def override(key: str, value: Any) -> str:
    """Return `key=value` in Hydra's grammar, which parses to the same value."""
    return f"{key}={_literal(value)}"


def _cells_of_axes(axes: Axes) -> Iterator[Settings]:
    if axes.grid:
        for values in itertools.product(*axes.grid.values()):
            yield dict(zip(axes.grid, values, strict=True))
    for values in zip(*axes.zip.values(), strict=True):
        yield dict(zip(axes.zip, values, strict=True))
    yield from map(dict, axes.cells)
    if axes.one_factor or not axes.varied():
        yield {}
    for key, values in axes.one_factor.items():
        for value in values:
            yield {key: value}


def _excludes(exclusion: Settings, settings: Settings) -> bool:
    """Return True if the cell has every value of the exclusion; a list in it stands for any of its values."""
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
    if _PLAIN_WORD.fullmatch(value) and value.lower() not in _RESERVED_WORDS:
        return value
    # Backslashes are doubled only before a quote, the closing one included: elsewhere Hydra keeps them.
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + (r"\'" if found[2] else ""), value) + "'"
