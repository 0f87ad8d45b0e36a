"""Targets of a command: the study, directory or root that the words of the command line name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException

from agrae_lab.runs.suggestions import close_match
from sweeps.errors import PlanError, one_sentence
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec.read import is_study, read_study, shipped_studies
from sweeps.spec.rules import base_faults
from sweeps.spec.study import Study


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names and the overrides (key=value, or ~key to delete a key) among the words, each in their order."""
    overrides = [word for word in words if "=" in word or word.startswith("~")]
    return [word for word in words if word not in overrides], overrides


def names_study(words: Sequence[str]) -> bool:
    """Return True if the words name a study.

    Raises:
        PlanError: a study together with another name.
    """
    names, _ = split_words(words)
    studies = [name for name in names if is_study(name)]
    if studies and len(names) > 1:
        raise PlanError([f"{studies[0]} is a study, and a study runs alone. Leave out the other names"])
    return bool(studies)


def find_study(words: Sequence[str], config_dir: Path) -> tuple[Study, StudyDirectory]:
    """Return the one study that the words name, with their overrides, and its directory.

    `root=` names the root, `seed=` replaces the study's seeds, and all other overrides join its base.

    Raises:
        PlanError: no study, several studies, faults in the study, or an override that a study cannot take.
    """
    names, overrides = split_words(words)
    if len(names) != 1:
        raise PlanError([f"name one study, got {', '.join(names) or 'none'}"])
    study = read_study(names[0])
    others = []
    for override in _parse_overrides([word for word in overrides if named_root(word) is None]):
        if override.key_or_group == "seed" and study.protocol is not None:
            word = str(override.input_line)
            raise PlanError([f"{word!r} would have no effect: the protocol counts its seeds from protocol.first_seed"])
        if override.key_or_group == "seed":
            study = replace(study, seeds=_parse_seeds(override))
        else:
            others.append(str(override.input_line))
    check_overrides(others, varied=_varied_keys(study))
    study = replace(study, base=(*study.base, *others))
    return study, StudyDirectory(find_root(overrides, config_dir), study.name)


def check_overrides(words: Sequence[str], *, varied: Collection[str]) -> None:
    """Check that the words can be overrides of all cells of a study that varies some keys.

    Raises:
        PlanError: one has several values, or would have no effect.
    """
    faults: list[str] = []
    for override in _parse_overrides(words):
        key, word = override.key_or_group, str(override.input_line)
        if override.is_sweep_override():
            faults.append(f"{word!r} has several values; make it an axis in the study's file")
        elif key in varied:
            faults.append(f"{word!r} would have no effect: the study varies {key}")
        else:
            faults += base_faults([word])
    if faults:
        raise PlanError(faults)


def _varied_keys(study: Study) -> set[str]:
    """Return the config keys in which the study's cells, trials or arms differ."""
    keys = set(study.axes.varied()) | set(study.search.space if study.search is not None else ())
    if study.protocol is not None:
        keys |= {key for settings in study.protocol.arms.values() for key in settings}
        keys |= set(study.protocol.tune.search.space if study.protocol.tune is not None else ())
    return keys


def named_root(word: str) -> str | None:
    """Return the directory of `root=`, also written +root= or ++root=; None for any other word."""
    key, equals, directory = word.partition("=")
    return directory if equals and key.lstrip("+") == "root" else None


def find_root(words: Sequence[str], config_dir: Path) -> Path:
    """Return the last `root=` among the words, else the `root` of the configuration.

    Raises:
        PlanError: neither gives a root.
    """
    named = [root for word in words if (root := named_root(word)) is not None]
    root = named[-1] if named else yaml.safe_load((config_dir / "config.yaml").read_text()).get("root")
    if not isinstance(root, str) or root in ("", "???"):
        raise PlanError(["root is missing; name the directory of the runs by root=<directory>"])
    return Path(root)


def check_root_to_read(root: Path) -> None:
    """Check that a root exists, before its runs are read.

    Raises:
        PlanError: it does not; with the nearest directory or study.
    """
    if root.is_dir():
        return
    if root.exists():
        raise PlanError([f"{root} is a file, not the directory of the runs"])
    beside = root.parent.iterdir() if root.parent.is_dir() else ()
    known = [path.name for path in beside if path.is_dir() or is_study(path.name)]
    hint = close_match(root.name, [*known, *shipped_studies()]) or "name a study, or the directory of the runs"
    raise PlanError([f"{root}: there is no such study or root; {hint}"])


def _parse_overrides(words: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(words))
    except OverrideParseException as error:
        raise PlanError([one_sentence(error)]) from error


def _parse_seeds(override: Override) -> tuple[int, ...]:
    seeds: dict[int, None] = {}
    try:
        values: Iterable[Any] = override.sweep_iterator() if override.is_discrete_sweep() else [override.value()]
        for value in values:  # of a range without an end, too
            if override.is_delete() or type(value) is not int or value < 0 or value in seeds:
                raise ValueError(value)
            seeds[value] = None
        if not seeds:
            raise ValueError(override.input_line)
    except (ValueError, HydraException) as error:  # of Hydra: a step of 0, or glob(), which no number can match
        sentence = f"{override.input_line!r}: seeds are different whole numbers from 0, such as seed=0,1,2"
        raise PlanError([sentence]) from error
    return tuple(seeds)
