"""Schema of a study: one YAML file with the runs that answer a question, their search, and their stop rules.

    question: Does the best learning rate depend on the estimator?
    base: [world=nano_tune, train.num_steps=64]
    axes:                                    # cells: grid ∪ zip ∪ one_factor ∪ cells
      grid: {advantage: [grpo, a_grae], train.learning_rate: [1e-4, 2e-4]}
      zip: {train.num_prompts: [32, 64], train.num_generations: [16, 8]}
      one_factor: {loss: [dapo, dr_grpo]}
      cells: [{advantage: rloo, train.num_minibatches: 1}]
    exclude: [{advantage: a_grae, train.learning_rate: 2e-4}]
    seeds: [1000, 1001, 1002]
    objective: [{metric: pass@1/countdown_tune, direction: maximize}]
    stop: {retries: 1, timeout_minutes: 60, max_failures: 5}
    resources: {engine: local, slots: 2}

Each field is a key of the file. pydantic checks its type; `python -m sweeps plan --help` prints the sentence in its
annotation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Len

from agrae_lab.runs import Comparison

Values = Mapping[str, tuple[Any, ...]]  # config key → values
Seed = Annotated[int, Ge(0)]
_CLOSED = {"extra": "forbid", "strict": True}  # for pydantic: no unknown keys, no "3" for 3


@dataclass(frozen=True)
class Axes:
    """Cells of a study: those of grid, zip, one_factor and cells together; without axes, the base alone."""

    grid: Annotated[Values, "Every combination of the values of these config keys."] = field(default_factory=dict)
    zip: Annotated[Values, "The first values of all these keys, then the second ones, and so on."] = field(
        default_factory=dict
    )
    one_factor: Annotated[Values, "The base itself, and the base with one of these values at a time."] = field(
        default_factory=dict
    )
    cells: Annotated[tuple[Mapping[str, Any], ...], "These cells, each with config keys of its own."] = ()
    __pydantic_config__: ClassVar = _CLOSED

    def varied(self) -> list[str]:
        """Return the config keys of all axes, each once."""
        listed = [key for cell in self.cells for key in cell]
        return list(dict.fromkeys([*self.grid, *self.zip, *self.one_factor, *listed]))


@dataclass(frozen=True)
class Objective:
    """Metrics that cells are compared by, and that a search optimises."""

    metric: Annotated[str, "pass@<k>/<benchmark>, or metrics.<column>:last (or mean, max, min)."]
    direction: Annotated[Literal["maximize", "minimize"], "The better side of the metric."]
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Constraint:
    """Bounds of a feasible trial; each has exactly one of at_most and at_least."""

    metric: Annotated[str, "A metric, written as in objective."]
    at_most: Annotated[float | None, "The upper bound of the metric's mean over the seeds."] = None
    at_least: Annotated[float | None, "The lower bound of the metric's mean over the seeds."] = None
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Dimension:
    """Values of a searched config key: from low to high, both included, or one of choices."""

    kind: Annotated[Literal["float", "int", "categorical"], "The type of the values."]
    low: Annotated[float | None, "The lowest value; required unless the kind is categorical."] = None
    high: Annotated[float | None, "The highest value; required unless the kind is categorical."] = None
    log: Annotated[bool, "Sample the logarithm of the value."] = False
    step: Annotated[float | None, "The distance between neighbouring values."] = None
    choices: Annotated[tuple[Any, ...], "The values of a categorical key; for a config group, its files."] = ()
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Search:
    """Search by Optuna, in place of axes; a trial is a cell with all seeds."""

    sampler: Annotated[Literal["random", "tpe", "nsga2"], "Optuna's method of proposing trials."]
    num_trials: Annotated[int, Ge(1), "The number of trials in total, over all launches of the search."]
    space: Mapping[str, Dimension]
    pruner: Annotated[
        Literal["successive_halving", "wilcoxon"] | None, "The rule that ends unpromising trials early; null for none."
    ] = None
    seed: Annotated[Seed, "The seed of the sampler."] = 0
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Tune:
    """Choice of each arm's settings: the same search for every arm, on seeds and problems of its own."""

    metric: Annotated[str, "pass@<k>/<benchmark> that the choice maximises; a benchmark of the tuning runs."]
    search: Search
    base: Annotated[tuple[str, ...], "Hydra overrides of the tuning runs, after the study's own base."] = ()
    seeds: Annotated[tuple[Seed, ...], Len(1), "Seeds of the tuning runs, from 1000; every trial has each of them."] = (
        1000,
    )
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Protocol:
    """Confirmatory study, in place of axes and seeds: tune, freeze, confirm (`python -m sweeps protocol`)."""

    arms: Annotated[Mapping[str, Mapping[str, Any]], Len(2), "Name of each arm → its config keys and their values."]
    reference: Annotated[str, "The arm that all others, the candidates, are compared with."]
    metrics: Annotated[tuple[str, ...], Len(1), "pass@<k>/<benchmark>, each compared for every candidate."]
    smallest_effect: Annotated[str, "The smallest difference of interest in points of Pass@k, such as 1pp."]
    looks: Annotated[tuple[int, ...], Len(1), "Numbers of seeds after which the study looks; the last is its budget."]
    alpha: Annotated[float, "The chance of any false difference, over all looks, candidates and metrics."] = 0.05
    first_seed: Annotated[Seed, "The first of the confirmation's seeds, which follow one another."] = 0
    tune: Tune | None = None
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Stop:
    """Rules for ending a run or the whole launch."""

    retries: Annotated[
        int, Ge(0), "The number of retries of a run after a timeout, signal or infrastructure error."
    ] = 1
    timeout_minutes: Annotated[float | None, Gt(0), "The longest time of one attempt at a run; null for no limit."] = (
        None
    )
    fail_fast: Annotated[bool, "Stop the active runs as soon as one run has failed."] = False
    max_failures: Annotated[int | None, Ge(1), "Start no more runs once this many have failed; null for no limit."] = (
        None
    )
    wall_hours: Annotated[
        float | None, Gt(0), "Stop the active runs after this time; the next launch resumes them."
    ] = None
    __pydantic_config__: ClassVar = _CLOSED


@dataclass(frozen=True)
class Resources:
    """Machines that execute the runs."""

    engine: Annotated[Literal["local", "slurm", "ray"], "This machine, a Slurm cluster, or a Ray cluster."] = "local"
    slots: Annotated[int | None, Ge(1), "Runs at a time; null: one per GPU, or one per core if there is no GPU."] = None
    gpus_per_run: Annotated[
        int | None, Ge(1), "GPUs of a run, on all its machines together, with a process each; null: hardware.processes."
    ] = None
    nodes_per_run: Annotated[
        int | None, Ge(1), "Machines of a run, with slurm and ray; null: as hardware.nodes says."
    ] = None
    launcher: Annotated[
        Literal["torchrun", "accelerate"] | None, "Program that starts a run's processes; null: hardware.launcher."
    ] = None
    strategy: Annotated[
        Literal["ddp", "fsdp", "deepspeed"] | None, "How they share the model; null: as hardware.strategy says."
    ] = None
    options: Annotated[Mapping[str, Any], "Options of the engine, listed in docs/clusters.md."] = field(
        default_factory=dict
    )
    __pydantic_config__: ClassVar = _CLOSED

    @property
    def overrides(self) -> tuple[str, ...]:
        """The processes of a run as Hydra overrides; GPUs are asked for, so that no run ends up on a CPU."""
        keys = {
            "hardware.processes": self.gpus_per_run,
            "hardware.device": None if self.gpus_per_run is None else "cuda",
            "hardware.nodes": self.nodes_per_run,
            "hardware.launcher": self.launcher,
            "hardware.strategy": self.strategy,
        }
        return tuple(f"{key}={value}" for key, value in keys.items() if value is not None)


@dataclass(frozen=True)
class Study:
    """Content of a study file, checked as far as possible without composing a configuration."""

    name: Annotated[str, "The name of the study's directory; by default the name of the file."]
    question: Annotated[str, "The question that the runs answer, for the reader of figures and reports."] = ""
    reference: Annotated[str, "The arm that the others are compared with; by default grpo."] = ""
    candidates: Annotated[tuple[str, ...], "The arms to compare with the reference; by default all others."] = ()
    metrics: Annotated[
        tuple[str, ...],
        "What is compared, such as pass@1; by default k = 1, 16 and 256, as far as they are at most n/2.",
    ] = ()
    smallest_effect: Annotated[str, "The smallest difference that matters; by default 1pp."] = ""
    base: Annotated[tuple[str, ...], "Hydra overrides that all cells share."] = ()
    axes: Axes = field(default_factory=Axes)
    exclude: Annotated[
        tuple[Mapping[str, Any], ...],
        "Cells to leave out: those that set every key of an entry to the entry's value, or to one of a list of values. "
        "A key left at its base value never matches.",
    ] = ()
    seeds: Annotated[tuple[Seed, ...], Len(1), "Seeds of replication; every cell is run with each of them."] = (0,)
    objective: tuple[Objective, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    search: Search | None = None
    protocol: Protocol | None = None
    stop: Stop = field(default_factory=Stop)
    resources: Resources = field(default_factory=Resources)
    __pydantic_config__: ClassVar = _CLOSED

    @property
    def shared_overrides(self) -> tuple[str, ...]:
        """Hydra overrides of all cells: the processes of `resources`, then the base, which may say otherwise."""
        return (*self.resources.overrides, *self.base)

    @property
    def comparison(self) -> Comparison | None:
        """The parts of the question that the study names; None if it names none."""
        return Comparison.of(asdict(self))


def describe_keys(section: Any = Study, prefix: str = "") -> Iterator[str]:
    """Yield `key: type = default` and a sentence for every key of a study, each section before its keys."""
    types, annotations = get_type_hints(section), get_type_hints(section, include_extras=True)
    for key in fields(section):
        name, key_type = f"{prefix}{key.name}", types[key.name]
        inner = next((part for part in (key_type, *get_args(key_type)) if is_dataclass(part)), None)
        if inner is not None:
            name += {tuple: "[i]", Mapping: ".<key>"}.get(get_origin(key_type), "")
            yield f"{name}: section\n    {inner.__doc__}"
            yield from describe_keys(inner, f"{name}.")
            continue
        type_name = re.sub(r"<class '(\w+)'>|typing\.|collections\.abc\.|, \.\.\.(?=\])", r"\1", str(key_type))
        type_name = re.sub(r"^Optional\[(.*)\]$", r"\1 | None", type_name)
        type_name = type_name.replace("tuple", "list").replace("Mapping", "mapping")
        sentence = next(part for part in annotations[key.name].__metadata__ if isinstance(part, str))
        yield f"{name}: {type_name}{_default(key)}\n    {sentence}"


def _default(key: Field[Any]) -> str:
    if key.default_factory is not MISSING:
        return " = {}"
    return "" if key.default is MISSING else f" = {json.dumps(key.default)}"
