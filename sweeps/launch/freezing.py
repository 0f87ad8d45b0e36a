"""Checks of a protocol before it starts, and the writing of its frozen file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.execution.slots import check_installed
from sweeps.launch.cells import load_freeze
from sweeps.launch.study import LaunchOptions, check_drift
from sweeps.launch.tuning import Choice, tuning_directory, tuning_root
from sweeps.planning.drift import Code, read_code
from sweeps.planning.freeze import Freeze, freeze_all
from sweeps.planning.plan import cells_to_compose, code_drift, plan_study
from sweeps.planning.run_dirs import read_run_meta
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec import protocol_rules
from sweeps.spec.axes import Settings
from sweeps.spec.objectives import check_metric
from sweeps.spec.protocol_rules import confirmation_study, shared_benchmark_sentence
from sweeps.spec.read import as_data
from sweeps.spec.study import Study

Config = Mapping[str, Any]


def check_design(study: Study, directory: StudyDirectory, freeze: Freeze) -> None:
    """Compose every arm, with the corners of its search, and check that tuning and confirmation share no problems.

    Raises:
        PlanError: an arm that cannot run, two arms of one configuration, a metric that no run will have, or a benchmark
            of both parts.
    """
    protocol = study.protocol
    assert protocol is not None
    configs = arm_configs(study, protocol.arms, directory, freeze)
    for metric in protocol.metrics:
        check_metric(metric, next(iter(configs.values())))
    _check_same_evaluation(configs)
    _check_different(configs)
    if study.resources.engine == "local":
        check_installed(configs.values())
    if protocol.tune is None:
        return
    from sweeps.search.space import make_space

    for arm, config in configs.items():
        tuning = protocol_rules.tuning_study(study, arm)
        try:
            space = make_space(tuning, freeze, root=tuning_root(directory.root))
        except PlanError as error:
            raise PlanError(f"protocol.tune, arm {arm}: {sentence}" for sentence in error.sentences) from error
        for tuned in space.corner_configs:
            check_fresh_problems(tuned, config, protocol.metrics)


def check_fresh_problems(tuning: Config, confirmation: Config, metrics: Sequence[str]) -> None:
    """Check that no benchmark of the tuning runs has the name, the file or the problems of a metric's benchmark.

    Raises:
        PlanError: one has.
    """
    tuned, fresh = _problem_sets(tuning), _problem_sets(confirmation)
    for benchmark in dict.fromkeys(metric.partition("/")[2] for metric in metrics):
        fresh_file, fresh_fingerprint = fresh[benchmark]
        for name, (tuning_file, tuning_fingerprint) in tuned.items():
            has_same_problems = tuning_fingerprint is not None and tuning_fingerprint == fresh_fingerprint
            if name == benchmark or tuning_file == fresh_file or has_same_problems:
                raise PlanError([shared_benchmark_sentence(name if name == benchmark else f"{name} ({benchmark})")])


def arm_configs(
    study: Study, arms: Mapping[str, Settings], directory: StudyDirectory, freeze: Freeze
) -> dict[str, dict[str, Any]]:
    """Return each arm's frozen config of the confirmation's first seed.

    Raises:
        PlanError: a config that cannot run.
    """
    assert study.protocol is not None
    seed = study.protocol.first_seed
    confirmation = confirmation_study(study, arms, first_seed=seed, num_seeds=1)
    points = [(settings, seed) for settings in arms.values()]
    configs = freeze_all(cells_to_compose(confirmation, points, root=directory.root), freeze)
    return dict(zip(arms, configs, strict=True))


def check_declaration(study: Study, frozen: Mapping[str, Any]) -> None:
    """Check that the study declares what the frozen one did.

    Raises:
        PlanError: a difference.
    """
    declared, was, frozen_on = _declaration(study), frozen["declared"], frozen["frozen"]
    different = [key for key in was.keys() | declared.keys() if was.get(key) != declared.get(key)]
    if different:
        key = min(different)
        raise PlanError(
            [f"{key} was {was.get(key)!r} when this protocol was frozen ({frozen_on}) and is "
             f"{declared.get(key)!r}; restore it, or give the study another name"]
        )  # fmt: skip


def check_code_and_configs(
    study: Study, frozen: Mapping[str, Any], directory: StudyDirectory, options: LaunchOptions
) -> None:
    """Check that the code, the arms' configurations and evaluations, and the problems are the frozen ones.

    Raises:
        PlanError: a difference, unless the options allow drift.
    """
    code = read_code(options.train_module)
    drift = []
    if code.fingerprint != frozen["code"]["fingerprint"]:
        drift.append(f"the code has changed (revision {frozen['code']['git_revision']} to {code.git_revision})")
    arms = {arm: entry["settings"] for arm, entry in frozen["arms"].items()}
    configs = arm_configs(study, arms, directory, load_freeze(options.train_module))
    drift += list(_config_drift(configs, frozen, same_code=not drift))
    check_drift(drift, options)


def _config_drift(configs: Mapping[str, Config], frozen: Mapping[str, Any], *, same_code: bool) -> Iterable[str]:
    for arm, config in configs.items():
        was = frozen["arms"][arm]
        if same_code and runs.training_hash(config) != was["config_hash"]:  # the hash is of the code, too
            yield f"the configuration of {arm} has changed"
        if was.get("evaluation", now := _evaluation_hash(config)) != now:  # a file of before has no such key
            yield f"the evaluation of {arm} has changed"
    sets = _problem_sets(next(iter(configs.values())))
    for benchmark, fingerprint in frozen["problems"].items():
        if benchmark not in sets or sets[benchmark][1] != fingerprint:
            yield f"the problems of {benchmark} have changed"


def _evaluation_hash(config: Config) -> str:
    """Return 12 hex digits of an arm's settings of its evaluations, but for the size of batches."""
    return runs.digest({key: value for key, value in config["evaluation"].items() if key != "batch_size"})[:12]


def freeze_protocol(
    study: Study, directory: StudyDirectory, options: LaunchOptions, choices: Mapping[str, Choice]
) -> dict[str, Any]:
    """Write the frozen file and return its content.

    Raises:
        PlanError: two arms are one configuration, a run of the confirmation has run before, or the code has changed
            since the tuning.
    """
    protocol = study.protocol
    assert protocol is not None
    code = read_code(options.train_module)
    drift = list(_drift_since_tuning(study, directory, code))
    check_drift(drift, options)
    arms = {arm: {**settings, **(choices[arm].settings if choices else {})} for arm, settings in protocol.arms.items()}
    configs = arm_configs(study, arms, directory, load_freeze(options.train_module))
    _check_different(configs)
    confirmation = confirmation_study(study, arms, first_seed=protocol.first_seed, num_seeds=protocol.looks[-1])
    planned = plan_study(confirmation, directory, train_module=options.train_module, code=code)
    for run in (read_run_meta(run.path) for run in planned.all_runs):  # the plan's are pending if they lack samples
        if run.status in runs.FINAL_STATUSES or (run.path / "model").is_dir() or run.benchmarks():
            raise PlanError(
                [f"{run.key} has run before the freeze, so its seed is not fresh; choose another protocol.first_seed, "
                 "or a new root"]
            )  # fmt: skip
    content = {**_content(study, code, arms, configs, choices), "drift_since_tuning": drift}
    folder = runs.protocol_dir(directory.root, study.name)
    runs.write_frozen(folder, content, date=datetime.now(UTC).date().isoformat())
    written = runs.read_frozen(folder)
    assert written is not None
    return written


def _content(
    study: Study,
    code: Code,
    arms: Mapping[str, Settings],
    configs: Mapping[str, Config],
    choices: Mapping[str, Choice],
) -> dict[str, Any]:
    protocol = study.protocol
    assert protocol is not None
    rule = protocol_rules.stopping_rule(protocol)
    sets = _problem_sets(next(iter(configs.values())))
    return {
        "name": study.name,
        "question": study.question,
        "hypotheses": hypotheses(study),
        "code": {"git_revision": code.git_revision, "fingerprint": code.fingerprint, "packages": dict(code.packages)},
        "arms": {
            arm: {
                "settings": dict(settings),
                "config_hash": runs.training_hash(configs[arm]),
                "evaluation": _evaluation_hash(configs[arm]),
                "chosen": {**asdict(choices[arm]), "seeds": list(choices[arm].seeds)} if choices else None,
            }
            for arm, settings in arms.items()
        },
        "rule": {
            "looks": list(rule.looks),
            "smallest_effect": rule.smallest_effect,
            "alpha": rule.alpha,
            "correction": f"Bonferroni over {rule.num_comparisons} comparisons",
            "critical_values": [value if math.isfinite(value) else None for value in rule.critical_values],
        },
        "seeds": list(protocol_rules.confirmation_seeds(protocol)),
        "problems": {name: sets[name][1] for name in {metric.partition("/")[2] for metric in protocol.metrics}},
        "declared": _declaration(study),
    }


def hypotheses(study: Study) -> list[str]:
    """Return the question of each comparison that the study is to decide."""
    protocol = study.protocol
    assert protocol is not None
    return [
        f"Is {candidate} better or worse than {protocol.reference} in {metric}, or is the difference within "
        f"±{protocol.smallest_effect}?"
        for candidate in protocol_rules.candidates(protocol)
        for metric in protocol.metrics
    ]


def _declaration(study: Study) -> dict[str, Any]:
    """Return everything of a study that must not change after the freeze: key → value."""
    data = as_data(study)
    return {"base": data["base"]} | {f"protocol.{key}": value for key, value in data["protocol"].items()}


def _problem_sets(config: Config) -> dict[str, tuple[tuple[Any, Any], Any]]:
    """Return benchmark → (task and file, fingerprint of its problems)."""
    benchmarks = (config.get("evaluation") or {}).get("benchmarks") or {}
    fingerprints = config.get("data_fingerprints") or {}
    return {
        name: ((benchmark.get("task"), benchmark.get("file")), fingerprints.get(name))
        for name, benchmark in benchmarks.items()
        if benchmark is not None
    }


def _check_same_evaluation(configs: Mapping[str, Config]) -> None:
    """Refuse arms with other evaluations than the first, since the looks subtract their values."""
    (first, of_first), *others = configs.items()
    for arm, config in others:
        if _evaluation_hash(config) != _evaluation_hash(of_first):
            raise PlanError([f"protocol.arms: {first} and {arm} are evaluated differently; give them one evaluation"])


def _check_different(configs: Mapping[str, Config]) -> None:
    """Refuse two arms that are one configuration, since their difference is 0 whatever the method."""
    first: dict[str, str] = {}
    for arm, config in configs.items():
        other = first.setdefault(runs.training_hash(config), arm)
        if other != arm:
            raise PlanError([f"protocol.arms: {other} and {arm} are one configuration; make them differ"])


def _drift_since_tuning(study: Study, directory: StudyDirectory, code: Code) -> Iterable[str]:
    assert study.protocol is not None
    if study.protocol.tune is None:
        return ()
    places = [tuning_directory(study, directory, arm) for arm in study.protocol.arms]
    return dict.fromkeys(
        sentence for place in places for sentence in code_drift(place.frozen_cells().values(), place.codes(), code)
    )
