"""Study of `agrae-lab compare`: one arm for each candidate and one for the reference, from a command line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from agrae_lab import runs
from agrae_lab.runs.suggestions import close_match
from analysis.statistics.passk import KS
from sweeps.errors import CONFIG_ERRORS, PlanError, one_sentence, reraise_if_full_error
from sweeps.spec.axes import override
from sweeps.spec.compose import compose
from sweeps.spec.read import parse_study
from sweeps.spec.study import Study

AXIS = "advantage"
BASE = "base"  # the model that training starts from, as a reference

LOOKS = (3, 5, 8, 12, 16, 24)  # seeds after which --until-clear looks

_LONGEST_NAME = 50
_LONGEST_ARM = 30


@dataclass(frozen=True)
class Request:
    """Question of a command line: presets or own classes (`my_file:MyEstimator`), and the settings of all arms."""

    candidates: tuple[str, ...]
    reference: str
    num_seeds: int
    metrics: tuple[str, ...] = ()
    smallest_effect: str = ""
    overrides: tuple[str, ...] = ()


def comparison_study(request: Request, freeze: Callable[[DictConfig], dict[str, Any]]) -> Study:
    """Return the study that answers a request; inside sweeps.spec.compose.config_dir.

    Its name ends in a hash of everything that the arms' results depend on, the source of own estimators included: the
    same command resumes, and an edited estimator is another study.

    Raises:
        PlanError: an unknown or unusable estimator, arms that cannot be told apart, a bad override or metric.
    """
    names = tuple(dict.fromkeys((request.reference, *request.candidates)))
    trained = tuple(name for name in names if name != BASE)
    _check_names(request, trained)
    configs = {name: _frozen(name, request.overrides, freeze) for name in trained}
    _check_different(configs)
    arms = {BASE: BASE} | {name: str(config["arm"]) for name, config in configs.items()}
    candidates = [arms[name] for name in request.candidates]
    plain = {
        "name": _study_name(candidates, arms[request.reference], request.overrides, configs),
        "question": f"Is {' or '.join(candidates)} better than {arms[request.reference]}, at which k, and is it sure?",
        "reference": arms[request.reference],
        "candidates": candidates,
        "metrics": request.metrics,
        "smallest_effect": request.smallest_effect,
        "base": request.overrides,
        "axes": {"grid": {AXIS: trained}},
        "seeds": range(request.num_seeds),
    }
    study = parse_study(
        {key: list(value) if isinstance(value, tuple | range) else value for key, value in plain.items()}
    )
    comparison = study.comparison
    assert comparison is not None
    try:
        comparison.check_samples(next(iter(configs.values()))["evaluation"]["num_samples"])
    except ValueError as error:
        raise PlanError([str(error)]) from error
    return study


def until_clear(study: Study, *, budget: int, first_seed: int) -> Study:
    """Return the confirmatory study that adds seeds to a comparison until it is clear; inside config_dir.

    It compares the metrics of the comparison on every benchmark: by default k = 1 and the largest k ≤ n/2.

    Args:
        study: of `comparison_study`.
        budget: number of seeds at which it ends undecided.

    Raises:
        PlanError: the reference or a candidate is the base model, the budget is too small, or so is n for Pass@k.
    """
    comparison, trained = study.comparison, study.axes.grid[AXIS]
    assert comparison is not None
    for role, arms in (("reference", (comparison.reference,)), ("candidate", comparison.candidates)):
        if BASE in arms:
            raise PlanError([f"--until-clear compares trained arms seed by seed; name another {role} than {BASE}"])
    if budget < LOOKS[0]:
        raise PlanError([f"--until-clear needs a budget of at least {LOOKS[0]} seeds, got --seeds {budget}"])
    names = [re.sub(r"[^\w.-]", "-", arm)[:_LONGEST_ARM] for arm in (comparison.reference, *comparison.candidates)]
    if len(set(names)) < len(names):
        fault = f"--until-clear shortens the arms' names to {', '.join(names)}"
        raise PlanError([f"{fault}; give each class a short `name` of its own"])
    evaluation = compose([*study.base, override(AXIS, str(trained[0]))])["evaluation"]
    ks = comparison.ks or _default_ks(evaluation["num_samples"])
    return parse_study(
        {
            "name": f"{study.name}-until-clear-{budget}",
            "question": study.question,
            "base": list(study.base),
            "protocol": {
                "arms": {name: {AXIS: estimator} for name, estimator in zip(names, trained, strict=True)},
                "reference": names[0],
                "metrics": [f"pass@{k}/{benchmark}" for benchmark in evaluation["benchmarks"] for k in ks],
                "smallest_effect": comparison.smallest_effect,
                "looks": [*(look for look in LOOKS if look < budget), budget],
                "first_seed": first_seed,
            },
        }
    )


def _default_ks(num_samples: int) -> tuple[int, ...]:
    """Return k = 1 and the largest k ≤ n/2, which are one for n = 2 and 3.

    Raises:
        PlanError: n = 1, which leaves no variance within a problem.
    """
    if not (ks := [k for k in KS if 2 * k <= num_samples]):
        fault = f"--until-clear needs evaluation.num_samples of at least 2, got {num_samples}"
        raise PlanError([f"{fault}; set evaluation.num_samples=2"])
    return tuple(dict.fromkeys((ks[0], ks[-1])))


def _check_names(request: Request, trained: Sequence[str]) -> None:
    """Check that the names are presets or name a class, and that nothing is compared with itself."""
    known = GlobalHydra.instance().config_loader().get_group_options(AXIS)
    faults = []
    for name in trained:
        if name.endswith(".py"):
            faults.append(f"{name} names no class; write {name}:MyEstimator")
        elif ":" not in name and name not in known:
            hint = close_match(name, known) or "`agrae-lab estimators` lists the presets"
            faults.append(f"there is no estimator {name!r}; {hint}; an own one is named as my_file:MyEstimator")
    if request.reference in request.candidates:
        faults.append(f"{request.reference} is the reference and a candidate; name another one by --against")
    if repeated := sorted({name for name in request.candidates if request.candidates.count(name) > 1}):
        faults.append(f"{', '.join(repeated)} is named more than once; leave one out")
    if faults:
        raise PlanError(faults)


def _frozen(name: str, overrides: Sequence[str], freeze: Callable[[DictConfig], dict[str, Any]]) -> dict[str, Any]:
    """Return the frozen config of an arm."""
    try:
        return freeze(compose([*overrides, override(AXIS, name)]))
    except CONFIG_ERRORS as error:
        reraise_if_full_error(error)
        sentence = one_sentence(error)
        raise PlanError([sentence if name in sentence else f"{name}: {sentence}"]) from error


def _check_different(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the arms train different policies, under different names."""
    by_hash: dict[str, str] = {}
    by_arm: dict[str, str] = {}
    for name, config in configs.items():
        first = by_hash.setdefault(runs.training_hash(config), name)
        if first != name:
            raise PlanError([f"{first} and {name} train the same policy under these settings; leave one out"])
        first = by_arm.setdefault(str(config["arm"]), name)
        if first != name:
            fault = f"{first} and {name} are both called {config['arm']}"
            raise PlanError([f"{fault}; give one class another `name`, or leave out arm="])


def _study_name(
    candidates: Sequence[str], reference: str, overrides: Sequence[str], configs: Mapping[str, Mapping[str, Any]]
) -> str:
    identity = [sorted(overrides), [runs.training_hash(config) for config in configs.values()]]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]
    words = re.sub(r"[^\w.-]", "_", f"{'_'.join(candidates)}_vs_{reference}", flags=re.ASCII)
    return f"{words[:_LONGEST_NAME].lstrip('_.-')}-{digest}"
