"""Space of a search. A trial has no value for a key that its config lacks: with `advantage/group` searched over
attenuate and scale_positive, `advantage.group.alpha` is a dimension only where the group link has an alpha.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from agrae_lab import runs
from agrae_lab.runs.suggestions import close_match
from sweeps.errors import CONFIG_ERRORS, PlanError, one_sentence, reraise_if_full_error
from sweeps.planning.freeze import Freeze
from sweeps.spec.axes import Settings, label
from sweeps.spec.compose import Composer
from sweeps.spec.objectives import check_metric, study_metrics
from sweeps.spec.study import Dimension, Study

if TYPE_CHECKING:
    import optuna

Choices = tuple[tuple[str, Any], ...]  # (config group, choice) of every searched group

FINGERPRINTS = ("data_fingerprints", "model_fingerprint")  # keys of a frozen config: the same in all trials

_MISSING = object()


@dataclass(frozen=True)
class Space:
    """Dimensions, and the base as composed for each combination of the searched groups.

    Trials are made from these templates, so that a YAML edited later changes none of them.
    """

    dimensions: Mapping[str, Dimension]
    templates: Mapping[Choices, DictConfig]
    compose: Callable[[Settings], DictConfig]
    freeze: Freeze
    corner_configs: tuple[dict[str, Any], ...] = ()  # frozen: every bound and every choice at least once

    @property
    def groups(self) -> list[str]:
        return [key for key, _ in next(iter(self.templates))]

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Ask the sampler for every dimension of the trial's config."""
        params = {key: _suggest(trial, key, self.dimensions[key]) for key in self.groups}
        template = self.templates[tuple(params.items())]
        for key, dimension in self.dimensions.items():
            if key not in params and _has(template, key):
                params[key] = rounded_value(dimension, _suggest(trial, key, dimension))
        return params

    def config(self, params: Settings, *, seed: int) -> dict[str, Any]:
        """Return the frozen config of a trial's run.

        Raises:
            ValueError: these values do not fit together.
        """
        return self.freeze(self.compose({**params, "seed": seed}))

    def corners(self) -> Iterator[dict[str, Any]]:
        """Yield parameters that cover every bound and every choice at least once."""
        for choices, template in self.templates.items():
            asked = {key: _corner_values(d) for key, d in self.dimensions.items() if _has(template, key)}
            asked = {key: values for key, values in asked.items() if key not in self.groups}
            for i in range(max(map(len, asked.values()), default=1)):
                yield dict(choices) | {key: values[min(i, len(values) - 1)] for key, values in asked.items()}


def make_space(study: Study, freeze: Freeze, *, root: Path) -> Space:
    """Compose the templates and freeze every corner of the space; inside `config_dir`.

    Args:
        freeze: composed config → frozen one.
        root: root of the runs.

    Raises:
        PlanError: a key that no config has, a bound or choice that cannot run, or a metric that no run will have.
    """
    assert study.search is not None
    dimensions = study.search.space
    loader = GlobalHydra.instance().config_loader()
    known = {key: loader.get_group_options(key) for key in dimensions}
    for key, dimension in dimensions.items():
        _check_choices(key, dimension, known[key])
    groups = [key for key in dimensions if known[key]]
    combinations = itertools.product(*([(key, choice) for choice in dimensions[key].choices] for key in groups))
    composer = Composer(study.shared_overrides)

    def compose(settings: Settings) -> DictConfig:
        config = composer.compose(settings)
        experiment = {"name": study.name, "question": study.question or None}
        OmegaConf.update(config, "experiment", experiment, merge=True)
        OmegaConf.update(config, "root", str(root))
        return config

    try:
        templates = {choices: compose(dict(choices)) for choices in combinations}
    except CONFIG_ERRORS as error:
        reraise_if_full_error(error)
        raise PlanError([one_sentence(error)]) from error
    space = Space(dimensions, templates, compose, freeze)
    _check_keys(space)
    return replace(space, corner_configs=tuple(_checked_corners(space, study)))


def rounded_value(dimension: Dimension, proposed: Any) -> Any:
    """Return a proposed value as the trial's config has it: to four digits, which keeps names short.

    With a step it is the number of the grid, without the noise of its floating-point sum.
    """
    if dimension.kind != "float":
        return proposed
    if dimension.step is not None:
        return float(f"{proposed:.12g}")
    assert dimension.low is not None
    assert dimension.high is not None
    return min(max(float(f"{proposed:.4g}"), float(dimension.low)), float(dimension.high))


def fixed_settings(study: Study, space: Space) -> dict[str, Any]:
    """Return the settings of a search that must not change on resume, as plain data: name → value."""
    fixed: dict[str, Any] = {"seeds": list(study.seeds)}
    fixed["objective"] = [f"{objective.direction} {objective.metric}" for objective in study.objective]
    for key, dimension in space.dimensions.items():
        fixed[f"space.{key}"] = _plain(dimension)
    bounds: dict[str, list[str]] = {}  # a metric may have one of each kind
    for constraint in study.constraints:
        at_most, at_least = constraint.at_most, constraint.at_least
        bounds.setdefault(f"constraint {constraint.metric}", []).append(
            f"at most {at_most}" if at_most is not None else f"at least {at_least}"
        )
    fixed |= {name: ", ".join(sorted(both)) for name, both in bounds.items()}
    made_of = {key: value for key, value in space.corner_configs[0].items() if key in FINGERPRINTS}
    return fixed | _fixed_base(space) | dict(runs.leaves(made_of))


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each difference between two searches' fixed settings."""
    phrases = []
    for name in dict.fromkeys([*before, *now]):
        if name not in before:
            phrases.append(f"{name} is new ({now[name]})")
        elif name not in now:
            phrases.append(f"{name} is gone (was {before[name]})")
        elif before[name] != now[name]:
            phrases.append(f"{name} was {before[name]} and is {now[name]}")
    return phrases


def _fixed_base(space: Space) -> dict[str, Any]:
    """Return every value that no trial sets, once if all templates agree, else for each."""
    by_key: dict[str, dict[str, Any]] = {}
    for choices, template in space.templates.items():
        named = " ".join(f"{key}={choice}" for key, choice in choices)
        for key, value in _values(template):
            derived = key.split(".")[0] in (*runs.NOT_RESULT_SECTIONS, *runs.DERIVED)
            if not derived and key != "seed" and key not in space.dimensions:
                by_key.setdefault(key, {})[named] = value
    fixed = {}
    for key, values in by_key.items():
        first = next(iter(values.values()))
        if len(values) == len(space.templates) and all(value == first for value in values.values()):
            fixed[key] = first
        else:
            fixed |= {f"{key} with {named}": value for named, value in values.items()}
    return fixed


def _suggest(trial: optuna.Trial, key: str, dimension: Dimension) -> Any:
    if dimension.kind == "categorical":
        return trial.suggest_categorical(key, dimension.choices)
    assert dimension.low is not None
    assert dimension.high is not None
    low, high, step, log = dimension.low, dimension.high, dimension.step, dimension.log
    if dimension.kind == "int":
        return trial.suggest_int(key, int(low), int(high), step=int(step or 1), log=log)
    return trial.suggest_float(key, float(low), float(high), step=step, log=log)


def _corner_values(dimension: Dimension) -> Sequence[Any]:
    if dimension.kind == "categorical":
        return dimension.choices
    as_kind = int if dimension.kind == "int" else float
    assert dimension.low is not None
    assert dimension.high is not None
    return as_kind(dimension.low), as_kind(dimension.high)


def _check_choices(key: str, dimension: Dimension, known: Sequence[str]) -> None:
    where = f"search.space.{key}"
    if known and dimension.kind != "categorical":
        raise PlanError([f"{where} is a config group; give it choices, from {', '.join(known)}"])
    for choice in dimension.choices:
        if known and choice not in known:
            hint = close_match(str(choice), known) or f"choose from {', '.join(known)}"
            raise PlanError([f"{where}: there is no '{choice}'; {hint}"])
        if not isinstance(choice, str | int | float | None):
            raise PlanError([f"{where}: {choice} is not a single value. Optuna stores single values only"])


def _check_keys(space: Space) -> None:
    known = {key for template in space.templates.values() for key, _ in _values(template)}
    lacking = [key for key in space.dimensions if key not in known and key not in space.groups]
    if lacking:
        hints = (close_match(key, known) or "search only keys of the configuration" for key in lacking)
        raise PlanError(
            f"search.space: the configuration has no value '{key}'; {hint}"
            for key, hint in zip(lacking, hints, strict=True)
        )


def _checked_corners(space: Space, study: Study) -> Iterator[dict[str, Any]]:
    """Yield the frozen config of every corner; raise PlanError for one that cannot run or lacks a metric."""
    for params in space.corners():
        try:
            config = space.config(params, seed=study.seeds[0])
        except CONFIG_ERRORS as error:
            reraise_if_full_error(error)
            raise PlanError([f"search.space: {label(params)}: {one_sentence(error)}"]) from error
        for metric in study_metrics(study):
            check_metric(metric, config)
        yield config


def _has(config: DictConfig, key: str) -> bool:
    return OmegaConf.select(config, key, default=_MISSING) is not _MISSING


def _values(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of everything that is not a section; interpolations unresolved."""
    return runs.leaves(OmegaConf.to_container(config, resolve=False))


def _plain(dimension: Dimension) -> Any:
    """Return a dimension as JSON data."""
    if dimension.kind == "categorical":
        return list(dimension.choices)
    words = [f"{dimension.kind} {dimension.low} to {dimension.high}"]
    words += ["log"] if dimension.log else []
    words += [f"step {dimension.step}"] if dimension.step else []
    return ", ".join(words)
