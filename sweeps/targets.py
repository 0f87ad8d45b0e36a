"""What the words of the command line name: a study and its directory, or a root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException

from sweeps.errors import PlanError, one_sentence
from sweeps.planning.study_directory import Ledger
from sweeps.spec.read import is_study, read_study
from sweeps.spec.rules import base_faults
from sweeps.spec.study import Study


def is_override(word: str) -> bool:
    return "=" in word or word.startswith("~")  # ~key deletes


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names and overrides, each in their order."""
    return [word for word in words if not is_override(word)], [word for word in words if is_override(word)]


def names_study(words: Sequence[str]) -> bool:
    """Whether the words name a study, which is named alone.

    Raises:
        PlanError: a study beside something else.
    """
    names, _ = split(words)
    studies = [name for name in names if is_study(name)]
    if studies and len(names) > 1:
        raise PlanError([f"{studies[0]} is a study, which is carried through by itself; leave out the other names"])
    return bool(studies)


def study_of(words: Sequence[str], config_dir: Path) -> tuple[Study, Ledger]:
    """The one study that the words name, with their overrides, and its directory.

    `root=` says where, `seed=` takes the place of the study's seeds, everything else joins its base.

    Raises:
        PlanError: no study, more than one, mistakes in it, or an override that a study cannot take.
    """
    names, overrides = split(words)
    if len(names) != 1:
        raise PlanError([f"name one study, got {', '.join(names) or 'none'}"])
    study = read_study(names[0])
    faults: list[str] = []
    for override in _parsed([word for word in overrides if not word.startswith("root=")]):
        key, word = override.key_or_group, str(override.input_line)
        if key == "seed":
            study = replace(study, seeds=_seeds(override))
        elif override.is_sweep_override():
            faults.append(f"{word!r} has several values; make it an axis in the study's file")
        elif key in study.axes.varied() or (study.search is not None and key in study.search.space):
            faults.append(f"{word!r} would have no effect: {key} is varied by the study")
        else:
            faults += base_faults([word])
            study = replace(study, base=(*study.base, word))
    if faults:
        raise PlanError(faults)
    return study, Ledger(root_of(overrides, config_dir), study.name)


def root_of(words: Sequence[str], config_dir: Path) -> Path:
    """The last `root=` among the words, else the configuration's own.

    Raises:
        PlanError: neither says.
    """
    named = [word.removeprefix("root=") for word in words if word.startswith("root=")]
    root = named[-1] if named else yaml.safe_load((config_dir / "config.yaml").read_text()).get("root")
    if not isinstance(root, str) or root in ("", "???"):
        raise PlanError(["say where the runs are: root=<directory>"])
    return Path(root)


def _parsed(words: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(words))
    except OverrideParseException as error:
        raise PlanError([one_sentence(error)]) from error


def _seeds(override: Override) -> tuple[int, ...]:
    values: list[Any] = list(override.sweep_iterator()) if override.is_discrete_sweep() else [override.value()]
    if not all(type(value) is int and value >= 0 for value in values) or len(set(values)) < len(values):
        raise PlanError([f"{override.input_line!r}: seeds are different whole numbers from 0, such as seed=0,1,2"])
    return tuple(values)
