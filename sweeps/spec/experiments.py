"""Cells of experiments, from their axes and the overrides of the command line."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from agrae_lab.runs.suggestions import close_match
from sweeps.errors import CONFIG_ERRORS, PlanError, one_sentence, reraise_if_full_error
from sweeps.spec.compose import CONFIG_NAME, compose
from sweeps.spec.read import shipped_studies


@dataclass(frozen=True)
class Cell:
    """One cell and seed to run; `label` names it in messages by the user's own words."""

    label: str
    compose: Callable[[], DictConfig]


def experiment_cells(experiments: Sequence[str], overrides: Sequence[str]) -> list[Cell]:
    """Return one cell for each point of each experiment's grid, in the order of the names.

    The axes of an experiment are its `hydra.sweeper.params`. An override of the same key replaces an axis; an override
    with several values (`seed=0,1`, `seed=range(0,3)`, `advantage=glob(*)`) adds one.

    Raises:
        PlanError: an experiment that does not exist, or an override that cannot be read.
    """
    choices = experiment_names()
    _check_experiments(experiments, choices)
    cells = []
    for name in experiments:
        try:
            points = expand([*_file_axes(name), *overrides])
        except PlanError:
            raise
        except CONFIG_ERRORS as error:
            reraise_if_full_error(error)
            raise PlanError([f"{name}: {one_sentence(error)}"]) from error
        shared = set(points[0]).intersection(*points)
        for point in points:
            label = " ".join([name, *(override for override in point if override not in shared)])
            cells.append(Cell(label, partial(compose, [f"+experiment={name}", *point])))
    return cells


def experiment_names(folder: str = "") -> list[str]:
    """Return all experiments, those in folders such as `paper/table3` included."""
    loader = GlobalHydra.instance().config_loader()
    group = f"experiment/{folder}".rstrip("/")
    names = [f"{folder}/{name}".lstrip("/") for name in loader.get_group_options(group)]
    folders = loader.get_group_options(group, results_filter=ObjectType.GROUP)
    return [*names, *(name for inner in folders for name in experiment_names(f"{folder}/{inner}".lstrip("/")))]


def multirun_points(axes: Sequence[str], overrides: Sequence[str]) -> list[list[str]]:
    """Return the points of `-m`; `+experiment=a,b` stands for the arms of a and those of b.

    Args:
        axes: of the one experiment that the overrides name, or [].

    Raises:
        PlanError: as `expand`, or an experiment that does not exist.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed = parser.parse_overrides(list(overrides))
    several = [o for o in parsed if o.key_or_group == "experiment" and o.is_sweep_override()]
    if not several:
        return expand([*axes, *overrides])
    names = [word.partition("=")[2] for word in _values(several[-1])]
    _check_experiments(names, experiment_names())
    others = [str(o.input_line) for o in parsed if o not in several]
    return [point for name in names for point in expand([*_file_axes(name), f"+experiment={name}", *others])]


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """Return the product of all sweeps among `overrides`, as Hydra's sweeper forms it.

    A key's last override counts; dictionaries for one key are merged, as in a single run.

    Raises:
        PlanError: a sweep without a finite list of values, such as `interval(0,1)`.
        hydra.errors.OverrideParseException: a word that is no override.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    by_key: dict[object, list[Override]] = {}
    for override in parser.parse_overrides(list(overrides)):
        before = by_key.setdefault((override.key_or_group, override.package), [])
        before[:] = [*filter(_is_dictionary, before if _is_dictionary(override) else ()), override]
    return [
        list(point)
        for point in itertools.product(*(_values(override) for ones in by_key.values() for override in ones))
    ]


def _is_dictionary(override: Override) -> bool:
    return not override.is_sweep_override() and isinstance(override.value(), dict)


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    if not override.is_discrete_sweep():
        raise PlanError(
            [f"'{override.input_line}' has no finite list of values; write range(start, stop, step) or a,b,c"]
        )
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _file_axes(experiment: str) -> list[str]:
    config = hydra.compose(CONFIG_NAME, [f"+experiment={experiment}"], return_hydra_config=True)
    return [f"{key}={values}" for key, values in (config.hydra.sweeper.params or {}).items()]


def _check_experiments(names: Sequence[str], choices: Sequence[str]) -> None:
    listed = ", ".join(choices) or "none: conf/experiment is empty"
    if not names:
        raise PlanError([f"name at least one experiment (choices: {listed})"])
    unknown = [name for name in names if name not in choices]
    if unknown:
        raise PlanError([f"there is no experiment '{name}' (choices: {listed}){_study_hint(name)}" for name in unknown])


def _study_hint(name: str) -> str:
    close = close_match(name, shipped_studies())
    return f"; or a study: {close}" if close else ""
