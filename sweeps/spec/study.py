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

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Len

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
    """`metric`: `pass@<k>/<benchmark>` or `metrics.<column>:last|mean|max|min` (see sweeps.spec.objectives)."""

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
