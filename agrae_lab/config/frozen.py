"""Frozen configs: resolved from a composed Hydra config, checked and complete before anything expensive starts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agrae_lab import advantages
from agrae_lab.config import held_out, losses, schema
from agrae_lab.config.code_fingerprints import evaluation_code, training_code
from agrae_lab.config.keys import ARM_NAME
from agrae_lab.models.load import fingerprint_model, local_path
from agrae_lab.runs import SCHEMA_VERSION, Comparison
from agrae_lab.runs.processes import Layout
from agrae_lab.tasks import (
    fingerprint_problems,
    is_control,
    load_problems,
    load_task,
    own_task,
    settings_of_task,
    task_settings,
)

CONF_DIR = Path(__file__).resolve().parents[2] / "conf"


class ConfigError(ValueError):
    """A config that cannot run; the message is one sentence with the key, its value and what would be right."""


def freeze(cfg: DictConfig) -> dict[str, Any]:
    """Resolve and check a composed config; return plain data with everything that decides the run.

    Raises:
        ConfigError: anything that could not run. Packages are checked where a run is executed (runs/packages.py).
    """
    try:
        ours = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        resolved: Any = OmegaConf.to_container(ours, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    return complete({"schema_version": SCHEMA_VERSION, **resolved})


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """Check a resolved config, fill in its defaults, and add the fingerprints of model, problems and code.

    Raises:
        ConfigError: anything that could not run. Packages are checked where a run is executed (runs/packages.py).
    """
    try:
        _name_own_task(config)
        held_out.evaluate_held_out(config)
        _fill_in_benchmarks(config)
        _leave_out_unset(config)
        schema.check(config)
        _check_comparison(config)
        settings = task_settings(config["task"], [b["task"] for b in _benchmarks_of(config)])
        config["task"] = {k: v for k, v in config["task"].items() if k != "reward"} | settings
        estimator = advantages.without_idle_match(estimator_of(config))
        _check_parts(estimator, config["task"])
        config["advantage"] = estimator.settings()
        config["loss"] = losses.checked(config["loss"])
        known = canonical(estimator)
        _check_overlong(config["train"])
        changes = _method_words(config)
        config["method"] = _name_of(known, changes)
        if config["arm"] is None:
            is_preset = known.name in advantages.preset_names() and not advantages.differences_from_preset(known)
            config["arm"] = config["method"] if is_preset else _name_of(estimator, changes)
        _check_names(config)
        _check_steps(config)
        _check_batch(config, min_group_size=estimator.min_group_size)
        config["model_fingerprint"] = _fingerprint_local(config["model"]["path"])
        sets = problem_sets(config)
        config["data_fingerprints"] = {name: fingerprint_problems(problems) for name, problems in sets.items()}
        config["code"] = {"training": training_code(config, estimator), "evaluation": evaluation_code(config)}
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return config


def with_evaluation(
    config: Mapping[str, Any], evaluation: Mapping[str, Any], hardware: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a frozen config with other sections `evaluation` and `hardware`, for another evaluation of a trained run.

    Raises:
        ConfigError: anything that could not be evaluated.
    """
    changed = {**config, "evaluation": {**evaluation}, "hardware": {**hardware}}
    try:
        _fill_in_benchmarks(changed)
        schema.check({key: value for key, value in changed.items() if key not in _NOT_IN_SCHEMA})
        tasks = [b["task"] for b in _benchmarks_of(changed)]
        used = [settings_of_task(name, changed["task"]) for name in (changed["task"]["name"], *tasks)]
        kept = ("name", *(["_target_"] if "_target_" in changed["task"] else []), "train_file")
        kept += ("held_out",) if "held_out" in changed["task"] else ()
        section = {key: changed["task"][key] for key in (*kept, *dict.fromkeys(k for u in used for k in u))}
        changed["task"] = section | task_settings(section, tasks)
        sets = problem_sets(changed)
        fingerprints = {name: fingerprint_problems(sets[name]) for name in changed["evaluation"]["benchmarks"]}
        changed["data_fingerprints"] = {"train": config["data_fingerprints"]["train"], **fingerprints}
        changed["code"] = {**config["code"], "evaluation": evaluation_code(changed)}
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return changed


# keys that freezing adds and schema.py does not declare
_NOT_IN_SCHEMA = ("data_fingerprints", "model_fingerprint", "method", "code")


def _leave_out_unset(config: Mapping[str, Any]) -> None:
    """Remove optional keys that are null, so that a new optional key leaves the identity of earlier runs alone."""
    for section, key in (name.split(".") for name in schema.DROPPED_WHEN_NULL):
        inner = config.get(section)
        if isinstance(inner, dict) and inner.get(key) is None:
            inner.pop(key, None)


def _fill_in_benchmarks(config: Mapping[str, Any]) -> None:
    """Give every benchmark all its keys, sort them by name, and remove those that are null.

    A config file can add to its world's benchmarks, and remove one by setting it to null.
    """
    evaluation = config.get("evaluation")
    if isinstance(evaluation, dict) and isinstance(found := evaluation.get("benchmarks"), dict):
        given = {str(name): benchmark for name, benchmark in found.items() if benchmark is not None}
        filled = {n: {"file": None, "limit": None, **b} if isinstance(b, dict) else b for n, b in given.items()}
        evaluation["benchmarks"] = dict(sorted(filled.items()))


def _name_own_task(config: Mapping[str, Any]) -> None:
    """Set the name of a task in a file of the user, which task._target_ names."""
    section = config.get("task")
    if isinstance(section, dict) and section.get("_target_") is not None:
        section["name"] = own_task(str(section["_target_"])).name


def _benchmarks_of(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    evaluation = config.get("evaluation")
    benchmarks = evaluation.get("benchmarks") if isinstance(evaluation, dict) else None
    return [b for b in benchmarks.values() if isinstance(b, dict)] if isinstance(benchmarks, dict) else []


def _method_words(config: Mapping[str, Any]) -> list[str]:
    """Return the words that tell a method's loss, reward and sampling from GRPO's."""
    task, train = config["task"], config["train"]
    control = [f"reward={task['reward']}"] if is_control(load_task(task["name"], task)) else []
    for key in ("sampling_rounds", "skip_window"):
        if control and train.get(key) is not None:
            raise ConfigError(
                f"task.reward = {task['reward']!r} is a control, and train.{key} would choose its groups by the "
                f"verifier's verdicts. Set train.{key}=null"
            )
    keys = {"resampled": "sampling_rounds", "skipping": "skip_window", "listed": "prompt_order"}
    keys |= {"overlong": "overlong_share"}
    sampling = [word for word, key in keys.items() if train.get(key) is not None]
    return [*losses.loss_label(config["loss"]), *control, *sampling]


def _check_overlong(train: dict[str, Any]) -> None:
    """Check the soft overlong penalty's weight; remove a weight of 1, so that it has one spelling."""
    weight = train.get("overlong_weight")
    if weight is not None and train.get("overlong_share") is None:
        raise ConfigError(
            f"train.overlong_weight = {weight:g} would have no effect without train.overlong_share. Set "
            "train.overlong_share, or train.overlong_weight=null"
        )
    if weight == 1:
        del train["overlong_weight"]


def _name_of(estimator: advantages.Estimator, changes: Sequence[str]) -> str:
    """Return the name of a method: the preset, its differences from it, and the words of its loss, reward, sampling."""
    parts = [estimator.name, *advantages.differences_from_preset(estimator), *changes]
    return "+".join(parts)[:60]


def _check_names(config: Mapping[str, Any]) -> None:
    """Check that the names made from the advantage and the loss can name files, as a given arm must."""
    for key in ("method", "arm"):
        if not ARM_NAME.holds(config[key]):
            raise ConfigError(
                f"{key}: made from advantage and loss, it must be {ARM_NAME}, got {config[key]!r}. Give an own class "
                "another `name`, or choose another advantage.name"
            )


def canonical(estimator: advantages.Estimator) -> advantages.Estimator:
    """Return the estimator under the name of the preset that it equals, else of its base."""
    for flavor in advantages.FLAVORS:
        for name in advantages.preset_names():
            if (preset := advantages.make(name, flavor=flavor)).same_formula(estimator):
                return preset
    return replace(estimator, name=estimator.base.name, flavor=advantages.FLAVORS[0])


def _fingerprint_local(name: str) -> str | None:
    """Return the fingerprint of a model directory; None for a model on the Hub, whose name identifies it."""
    path = local_path(name)
    if path is None:
        return None
    files = tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in sorted(path.glob("*")) if f.is_file())
    return _fingerprint_files(name, files)


@functools.cache
def _fingerprint_files(name: str, files: tuple[tuple[str, int, int], ...]) -> str:
    return fingerprint_model(name)


def estimator_of(config: Mapping[str, Any]) -> advantages.Estimator:
    """Return the advantage estimator of a config."""
    chosen: Any = config.get("advantage")
    for key in ("advantage", *(f"advantage.{slot}" for slot in advantages.SLOTS)):
        section = chosen if key == "advantage" else chosen.get(key.removeprefix("advantage."))
        if not isinstance(section, Mapping):
            raise ConfigError(f"{key} must be a section, got {section!r}; choose one by {key.replace('.', '/')}=<name>")
    if unknown := set(chosen) - {"name", "flavor", *advantages.SLOTS}:
        known = ", ".join(("name", "flavor", *advantages.SLOTS))
        raise ConfigError(f"advantage has no key {', '.join(sorted(unknown))}; it has {known}")
    if (flavor := chosen.get("flavor")) not in advantages.FLAVORS:
        *others, last = advantages.FLAVORS
        raise ConfigError(f"advantage.flavor must be {', '.join(others)} or {last}, got {flavor!r}")
    if not isinstance(name := chosen.get("name"), str):
        raise ConfigError(f"advantage.name must be a preset's name or another text, got {name!r}")
    return advantages.from_slots(name, chosen, flavor=flavor)


def _check_parts(estimator: advantages.Estimator, section: Mapping[str, Any]) -> None:
    if "parts" not in estimator.requires:
        return
    task = load_task(section["name"], section)
    if is_control(task):
        raise ConfigError(
            f"task.reward = {section['reward']!r} is a control, and advantage {estimator.name!r} weighs the verifier's "
            "reward components in its place; choose another estimator or reward"
        )
    if len(task.components) < 2:
        raise ConfigError(
            f"advantage {estimator.name!r} weighs the reward components apart, but the rewards of task.name = "
            f"{section['name']!r} have but one; choose another estimator, or a task whose `components` name several"
        )


def problem_sets(
    config: Mapping[str, Any], *, on_bad_rows: Callable[[str, list[str]], None] = lambda name, sentences: None
) -> dict[str, list[dict[str, Any]]]:
    """Read and check the problems of training (`train`) and of each benchmark.

    Args:
        on_bad_rows: called once for a set with images, with its name and a sentence for each row that task.on_bad_row =
            skip leaves out, if there are any.
    """
    section, folder = config["task"], config["hardware"].get("data_dir")
    task = load_task(section["name"], section)
    report = partial(on_bad_rows, "train")
    sets = {"train": load_problems(task, "train", file=section["train_file"], data_dir=folder, on_bad_rows=report)}
    if (share := section.get("held_out")) is not None:
        sets["train"], held = held_out.divide(sets["train"], share)
    for name, benchmark in config["evaluation"]["benchmarks"].items():
        if share is not None and name == held_out.NAME:
            sets[name] = held[: benchmark["limit"]]
            continue
        task = load_task(benchmark["task"], section)
        report, limit = partial(on_bad_rows, name), benchmark["limit"]
        sets[name] = load_problems(
            task, "test", file=benchmark["file"], data_dir=folder, limit=limit, on_bad_rows=report
        )
    if (num_left := len(sets["train"])) < (needed := config["train"]["num_prompts"]):
        raise ConfigError(
            f"train.num_prompts = {needed}, and {num_left} problems are left to train on; lower train.num_prompts or "
            "give more problems"
        )
    _check_sampling(config["train"], num_problems=len(sets["train"]))
    return sets


def _check_sampling(train: Mapping[str, Any], *, num_problems: int) -> None:
    """Check the keys that draw other problems than TRL's sampler."""
    for key in ("sampling_rounds", "skip_window"):
        if train.get(key) is None:
            continue
        if train.get("prompt_order") is not None:
            raise ConfigError(
                f"train.{key} draws other problems at random, and train.prompt_order = 'listed' wants them in the "
                "order of the file; set one of them to null"
            )
        if num_problems < 2 * (needed := train["num_prompts"]):
            raise ConfigError(
                f"train.{key}: up to train.num_prompts = {needed} other problems are drawn beside those of a step, and "
                f"{num_problems} problems are left to train on; lower train.num_prompts or set train.{key}=null"
            )


def _check_comparison(config: Mapping[str, Any]) -> None:
    """Check the parts of the experiment's question."""
    try:
        if (comparison := Comparison.of(config["experiment"])) is not None:
            comparison.check_samples(config["evaluation"]["num_samples"])
    except ValueError as error:
        raise ConfigError(f"experiment.{error}") from error


def _check_steps(config: Mapping[str, Any]) -> None:
    """Check the steps of evaluations and the benchmark of validation."""
    train, evaluation = config["train"], config["evaluation"]
    asked = evaluation.get("at_steps")
    late = [step for step in asked if step != "last" and step > train["num_steps"]] if isinstance(asked, list) else []
    if late:
        raise ConfigError(f"evaluation.at_steps names step {late[0]}, and train.num_steps = {train['num_steps']}")
    names, chosen = sorted(evaluation["benchmarks"]), train.get("validate_on")
    if chosen is not None and chosen not in names and train["validate_every"]:
        raise ConfigError(f"train.validate_on must be one of evaluation.benchmarks, {', '.join(names)}, got {chosen!r}")
    if chosen is None and train["validate_every"] and len(names) > 1:
        raise ConfigError(
            f"train.validate_on must say which of {', '.join(names)} the policy is validated on every "
            f"train.validate_every = {train['validate_every']} steps; set train.validate_every=0 to skip validation"
        )


def _check_batch(config: Mapping[str, Any], *, min_group_size: int) -> None:
    train = config["train"]
    prompts, generations, minibatches = (train[k] for k in ("num_prompts", "num_generations", "num_minibatches"))
    if generations < (needed := max(min_group_size, 2)):
        raise ConfigError(
            f"train.num_generations must be at least {needed}, got {generations}: advantage "
            f"{config['advantage']['name']!r} and the trainer compare the completions of one prompt"
        )
    batch = prompts * generations
    if batch % minibatches:
        raise ConfigError(
            f"train.num_minibatches = {minibatches} does not divide the {batch} completions of a step "
            f"({prompts} prompts × {generations}); {_divisors_near(batch, minibatches)} would"
        )
    per_device = config["hardware"]["per_device_batch_size"]
    if per_device is not None and (batch // minibatches) % per_device:
        raise ConfigError(
            f"hardware.per_device_batch_size = {per_device} does not divide the {batch // minibatches} completions of "
            f"a mini-batch; {_divisors_near(batch // minibatches, per_device)} would"
        )
    if fault := Layout.of(config).fault(config):
        raise ConfigError(fault)


def _divisors_near(total: int, wish: int) -> str:
    """Return the divisors of `total` next below and above `wish`, as words."""
    divisors = [d for d in range(1, total + 1) if total % d == 0]
    below, above = [d for d in divisors if d < wish], [d for d in divisors if d > wish]
    return " or ".join(str(d) for d in (*below[-1:], *above[:1]))
