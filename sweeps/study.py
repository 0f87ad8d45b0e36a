"""A study: one YAML file that says which runs answer a question, how they are searched for, and when to stop.

    question: Does the best learning rate depend on the estimator?
    base: [world=nano, train.num_steps=72]   # Hydra overrides that every cell shares
    axes:                                    # cells: grid ∪ zip ∪ one_factor
      grid: {advantage: [grpo, a_grae], train.learning_rate: [1e-4, 2e-4]}    # every combination
      zip: {train.num_prompts: [32, 64], train.num_generations: [16, 8]}      # side by side
      one_factor: {loss: [dapo, dr_grpo]}    # the base itself, and one change of it at a time
    exclude: [{advantage: a_grae, train.learning_rate: 2e-4}]
    seeds: [0, 1, 2]                         # replication: every cell is run with each, and none is ever searched
    objective: [{metric: pass@1/countdown_test, direction: maximize}]
    stop: {retries: 1, timeout_minutes: 60, max_failures: 5}
    resources: {engine: local, slots: 2}

The dataclasses here are the schema: their fields are all the keys there are. `search` takes the place of `axes`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from annotated_types import Ge, Gt, Len
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweeps import study_rules
from sweeps.errors import PlanError, close_match, one_sentence

STUDIES_DIR = Path(__file__).parent / "studies"

Values = Mapping[str, tuple[Any, ...]]  # config key → values
Seed = Annotated[int, Ge(0)]
_CLOSED = {"extra": "forbid", "strict": True}  # for pydantic: no unknown keys, no "3" for 3


@dataclass(frozen=True)
class Axes:
    """What differs between cells, as sets of cells to be united; without any axis the base is the one cell."""

    grid: Values = field(default_factory=dict)
    zip: Values = field(default_factory=dict)
    one_factor: Values = field(default_factory=dict)
    __pydantic_config__: ClassVar = _CLOSED

    def varied(self) -> list[str]:
        return list(dict.fromkeys([*self.grid, *self.zip, *self.one_factor]))


@dataclass(frozen=True)
class Objective:
    """`metric`: `pass@<k>/<benchmark>` or `metrics.<column>:last|mean|max|min` (see sweeps.values)."""

    metric: str
    direction: Literal["maximize", "minimize"]
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Constraint:
    """A bound that a good cell keeps; one of the two is given."""

    metric: str
    at_most: float | None = None
    at_least: float | None = None
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Dimension:
    """Values of a searched key: from low to high, both included, or one of `choices`."""

    kind: Literal["float", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Search:
    """`num_trials` is the total, however often the search is resumed; a trial is a cell."""

    sampler: Literal["random", "tpe", "nsga2"]
    num_trials: Annotated[int, Ge(1)]
    space: Mapping[str, Dimension]
    pruner: Literal["successive_halving", "wilcoxon"] | None = None
    seed: Seed = 0
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Stop:
    """When to give up on a run, or on the study."""

    retries: Annotated[int, Ge(0)] = 1  # further attempts at a run that failed through no fault of its own
    timeout_minutes: Annotated[float, Gt(0)] | None = None  # of one run
    fail_fast: bool = False
    max_failures: Annotated[int, Ge(1)] | None = None
    wall_hours: Annotated[float, Gt(0)] | None = None  # of one launch
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Resources:
    """Who carries the runs through, and how many at a time; `options` are the engine's own."""

    engine: Literal["local", "slurm", "ray"] = "local"
    slots: Annotated[int, Ge(1)] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Study:
    """What the file says, checked as far as it can be without composing a configuration."""

    name: str
    question: str = ""
    base: tuple[str, ...] = ()
    axes: Axes = field(default_factory=Axes)
    exclude: tuple[Mapping[str, Any], ...] = ()
    seeds: Annotated[tuple[Seed, ...], Len(1)] = (0,)
    objective: tuple[Objective, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    search: Search | None = None
    stop: Stop = field(default_factory=Stop)
    resources: Resources = field(default_factory=Resources)
    __pydantic_config__: ClassVar = _CLOSED


def is_study(word: str) -> bool:
    """Whether a word of the command line names a study: a shipped one, or any YAML file."""
    return word.endswith((".yaml", ".yml")) or word in shipped_studies()


def shipped_studies() -> list[str]:
    return sorted(path.stem for path in STUDIES_DIR.glob("*.yaml"))


def read_study(name_or_path: str | Path) -> Study:
    """Read and check a study: a shipped one by its name, any other by the path of its YAML file.

    Raises:
        PlanError: no such study, or mistakes in it; one sentence each, with file and key.
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
        return parse_study({"name": path.stem, **plain})
    except PlanError as error:
        raise PlanError(f"{path}: {sentence}" for sentence in error.sentences) from error
    except (ValueError, OmegaConfBaseException, yaml.YAMLError) as error:
        raise PlanError([f"{path}: {one_sentence(error)}"]) from error


def parse_study(plain: Mapping[str, Any]) -> Study:
    """A study from plain data; the inverse of as_data.

    Raises:
        PlanError: one sentence for each mistake, beginning with its key.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        study = TypeAdapter(Study).validate_json(json.dumps(plain, default=str))
    except ValidationError as error:
        raise PlanError(_sentence(dict(fault)) for fault in error.errors()) from error
    if faults := list(study_rules.faults(study)):
        raise PlanError(faults)
    return study


def as_data(study: Study) -> dict[str, Any]:
    """The study as plain data, in a fixed order."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(study)))
    return data


def _sentence(fault: Mapping[str, Any]) -> str:
    """One of pydantic's faults in our words."""
    *above, last = fault["loc"]
    where = _dotted(fault["loc"])
    if fault["type"] == "unexpected_keyword_argument":
        section = "space" if above[:2] == ["search", "space"] else above[0] if above else ""
        known = [one.name for one in fields(_CLASSES[section])]
        hint = close_match(str(last), known) or f"it has {', '.join(known)}"
        return f"{_dotted(above) or 'a study'} has no key {last!r}; {hint}"
    if fault["type"] == "missing":
        return f"{where} is missing"
    if fault["type"] == "too_short":
        return f"{where} is empty, so there is no run; give at least one"
    wanted = (
        str(fault["msg"]).replace("Input should be", "must be").replace("array", "list").replace("object", "section")
    )
    return f"{where} {wanted}, got {fault['input']!r}"


_CLASSES: Mapping[str, Any] = {
    "": Study,
    "axes": Axes,
    "objective": Objective,
    "constraints": Constraint,
    "search": Search,
    "space": Dimension,
    "stop": Stop,
    "resources": Resources,
}


def _dotted(parts: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
