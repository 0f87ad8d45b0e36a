"""Reading of a study: YAML file → checked Study, with one sentence for each mistake."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agrae_lab.runs.suggestions import close_match
from sweeps.errors import PlanError, one_sentence
from sweeps.spec import protocol_rules, rules
from sweeps.spec.study import Axes, Constraint, Dimension, Objective, Protocol, Resources, Search, Stop, Study, Tune

STUDIES_DIR = Path(__file__).parents[1] / "studies"


def is_study(word: str) -> bool:
    """Return True if a word of the command line names a study: a shipped one, or any YAML file."""
    return word.endswith((".yaml", ".yml")) or word in shipped_studies()


def shipped_studies() -> list[str]:
    return sorted(path.stem for path in STUDIES_DIR.glob("*.yaml"))


def read_study(name_or_path: str | Path) -> Study:
    """Return a checked study: a shipped one by its name, any other by the path of its YAML file.

    Raises:
        PlanError: no such study, or mistakes in it, one sentence each, with file and key.
    """
    word = str(name_or_path)
    path = Path(word) if word.endswith((".yaml", ".yml")) else STUDIES_DIR / f"{word}.yaml"
    if not path.is_file():
        known = shipped_studies()
        close = close_match(word, known) or f"shipped are {', '.join(known)}; any other is named by its .yaml file"
        raise PlanError([f"there is no study {word!r}; {close}"])
    try:
        loaded = OmegaConf.load(path)
        if not isinstance(loaded, DictConfig):
            raise ValueError("a study is a mapping of keys to values")
        plain: Any = OmegaConf.to_container(loaded)
        study = parse_study({"name": path.stem, **plain})
        if not plain.keys() - {"name", "question"}:
            raise PlanError(["the study is empty; give it at least a base, axes, a search or a protocol"])
        return study
    except PlanError as error:
        raise PlanError(f"{path}: {sentence}" for sentence in error.sentences) from error
    except yaml.MarkedYAMLError as error:
        raise PlanError([one_sentence(error)]) from error
    except (ValueError, OmegaConfBaseException, yaml.YAMLError) as error:
        raise PlanError([f"{path}: {one_sentence(error)}"]) from error


def parse_study(plain: Mapping[str, Any]) -> Study:
    """Return the study of plain data; the inverse of as_data.

    Raises:
        PlanError: one sentence for each mistake, beginning with its key.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        study = TypeAdapter(Study).validate_json(json.dumps(plain, default=str))
    except ValidationError as error:
        raise PlanError(_sentence(dict(fault)) for fault in error.errors()) from error
    if faults := [*rules.faults(study), *protocol_rules.faults(study)]:
        raise PlanError(faults)
    return study


def as_data(study: Study) -> dict[str, Any]:
    """Return the study as plain data, in a fixed order."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(study)))
    return data


def _sentence(fault: Mapping[str, Any]) -> str:
    """Return the sentence for one of pydantic's faults."""
    *above, last = fault["loc"]
    where = _dotted(fault["loc"])
    if fault["type"] == "unexpected_keyword_argument":
        section = next((part for part in reversed(above) if part in _CLASSES), "")
        known = [field.name for field in fields(_CLASSES[section])]
        hint = close_match(str(last), known) or f"it has {', '.join(known)}"
        return f"{_dotted(above) or 'a study'} has no key {last!r}; {hint}"
    if fault["type"] == "missing":
        return f"{where} is missing"
    if fault["type"] == "too_short" and fault["loc"] == ("protocol", "arms"):
        return "protocol.arms needs two arms or more: the reference, and a candidate"
    if fault["type"] == "too_short":
        return f"{where} is empty, so there is no run; give at least one"
    wanted = str(fault["msg"]).replace("Input should be", "must be").replace("array", "list")
    wanted = wanted.replace("an object", "a section")
    return f"{where} {wanted}, got {fault['input']!r}"


_CLASSES: Mapping[str, Any] = {
    "": Study,
    "axes": Axes,
    "objective": Objective,
    "constraints": Constraint,
    "search": Search,
    "space": Dimension,
    "protocol": Protocol,
    "tune": Tune,
    "stop": Stop,
    "resources": Resources,
}


def _dotted(parts: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
