"""From a composed Hydra config to a frozen one: resolved, checked, complete. Nothing expensive starts before this."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agrae_lab import advantages, schema
from agrae_lab.evaluation.vllm_engine import check_vllm
from agrae_lab.models.load import local_path
from agrae_lab.models.lora import check_lora
from agrae_lab.runs import SCHEMA_VERSION
from agrae_lab.tasks import fingerprint_problems, load_problems, load_task, task_settings

CONF_DIR = Path(__file__).resolve().parents[1] / "conf"


class ConfigError(ValueError):
    """A config that cannot run; the message is one sentence with the key, its value and what would be right."""


def register_advantages() -> None:
    """Enter every preset and every link as a choice of the groups `advantage` and `advantage/<slot>`."""
    store = ConfigStore.instance()
    for slot in advantages.SLOTS:
        for name, cls in advantages.links(slot).items():
            # None: by flavor; freezing puts the value in its place
            node: dict[str, Any] = {"name": name, "_target_": None, **dict.fromkeys(advantages.field_names(cls))}
            store.store(group=f"advantage/{slot}", name=name, node=node)
    for name in advantages.preset_names():
        slots = advantages.preset_slots(name)
        node = {
            "defaults": [*({slot: settings["name"]} for slot, settings in slots.items()), "_self_"],
            "name": name,
            "flavor": "paper",
            **{slot: settings for slot, settings in slots.items() if len(settings) > 1},
        }
        store.store(group="advantage", name=name, node=node)


def freeze(cfg: DictConfig) -> dict[str, Any]:
    """Resolve and check a composed config; the result is plain data and says everything that the run will do.

    Raises:
        ConfigError: anything that could not run.
    """
    try:
        ours = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        resolved: Any = OmegaConf.to_container(ours, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(str(error).splitlines()[0]) from error
    config: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **resolved}
    try:
        _leave_out_null_benchmarks(config)
        for benchmark in _benchmarks_of(config):
            benchmark.setdefault("file", None)
            benchmark.setdefault("limit", None)
        _leave_out_unset(config)
        schema.check(config)
        settings = task_settings(config["task"], [b["task"] for b in _benchmarks_of(config)])
        config["task"] = {k: v for k, v in config["task"].items() if k != "reward"} | settings
        estimator = estimator_of(config)
        _check_parts(estimator, config["task"])
        config["advantage"] = estimator.settings()
        if config["arm"] is None:
            config["arm"] = _arm_name(estimator, config["loss"]["name"])
        _check_batch(config, min_group_size=estimator.min_group_size)
        local_path(config["model"]["path"])
        check_lora(config)
        if config["engine"] == "vllm":
            check_vllm()
        sets = problem_sets(config)
        config["data_fingerprints"] = {name: fingerprint_problems(problems) for name, problems in sets.items()}
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return config


_MAY_BE_UNSET = (
    *("model.lora", "task.prompt_template", "task.verifier", "task.reward", "task.max_pixels", "task.on_bad_row"),
    "train.max_prompt_length",
)


def _leave_out_unset(config: Mapping[str, Any]) -> None:
    """What a run does without is no part of it: a choice that is added later leaves earlier runs what they are."""
    for section, key in (name.split(".") for name in _MAY_BE_UNSET):
        inner = config.get(section)
        if isinstance(inner, dict) and inner.get(key) is None:
            inner.pop(key, None)


def _leave_out_null_benchmarks(config: Mapping[str, Any]) -> None:
    """A file of configuration can add to its world's benchmarks, and take one away only by setting it to null."""
    evaluation = config.get("evaluation")
    if isinstance(evaluation, dict) and isinstance(evaluation.get("benchmarks"), dict):
        evaluation["benchmarks"] = {str(name): b for name, b in evaluation["benchmarks"].items() if b is not None}


def _benchmarks_of(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    evaluation = config.get("evaluation")
    benchmarks = evaluation.get("benchmarks") if isinstance(evaluation, dict) else None
    return [b for b in benchmarks.values() if isinstance(b, dict)] if isinstance(benchmarks, dict) else []


def _arm_name(estimator: advantages.Estimator, loss: str) -> str:
    """What tells arms apart: the preset, what differs from it, and the loss if it is not GRPO's."""
    parts = [estimator.name, *advantages.differences_from_preset(estimator), *([loss] if loss != "grpo" else [])]
    return "+".join(parts)[:60]


def estimator_of(config: Mapping[str, Any]) -> advantages.Estimator:
    """The advantage estimator that a config asks for."""
    chosen = config["advantage"]
    for key in ("advantage", *(f"advantage.{slot}" for slot in advantages.SLOTS)):
        section = chosen if key == "advantage" else chosen.get(key.removeprefix("advantage."))
        if not isinstance(section, Mapping):
            raise ConfigError(f"{key} must be a section, got {section!r}; choose one by {key.replace('.', '/')}=<name>")
    if unknown := set(chosen) - {"name", "flavor", *advantages.SLOTS}:
        known = ", ".join(("name", "flavor", *advantages.SLOTS))
        raise ConfigError(f"advantage has no key {', '.join(sorted(unknown))}; it has {known}")
    if chosen["flavor"] not in advantages.FLAVORS:
        raise ConfigError(f"advantage.flavor must be {' or '.join(advantages.FLAVORS)}, got {chosen['flavor']!r}")
    return advantages.from_slots(chosen["name"], chosen, flavor=chosen["flavor"])


def _check_parts(estimator: advantages.Estimator, section: Mapping[str, Any]) -> None:
    if "parts" in estimator.requires and len(load_task(section["name"], section).parts) < 2:
        raise ConfigError(
            f"advantage {estimator.name!r} weighs the parts of a reward apart, but the rewards of task.name = "
            f"{section['name']!r} have but one; choose another estimator, or a task whose `parts` name several"
        )


def problem_sets(
    config: Mapping[str, Any], *, on_bad_rows: Callable[[str, list[str]], None] = lambda name, sentences: None
) -> dict[str, list[dict[str, Any]]]:
    """The problems that a run trains on (`train`) and is evaluated on (each benchmark), read and checked.

    Args:
        on_bad_rows: called with a set's name and a sentence for each of its rows that task.on_bad_row = skip left out.
    """
    section, folder = config["task"], config["hardware"].get("data_dir")
    task = load_task(section["name"], section)
    report = partial(on_bad_rows, "train")
    sets = {"train": load_problems(task, "train", file=section["train_file"], data_dir=folder, on_bad_rows=report)}
    for name, benchmark in config["evaluation"]["benchmarks"].items():
        task = load_task(benchmark["task"], section)
        report, limit = partial(on_bad_rows, name), benchmark["limit"]
        sets[name] = load_problems(
            task, "test", file=benchmark["file"], data_dir=folder, limit=limit, on_bad_rows=report
        )
    if len(sets["train"]) < (needed := config["train"]["num_prompts"]):
        raise ConfigError(
            f"task.train_file holds {len(sets['train'])} problems, fewer than train.num_prompts = {needed}; "
            "lower train.num_prompts or give more problems"
        )
    return sets


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


def _divisors_near(total: int, wish: int) -> str:
    """The divisors of `total` next below and above `wish`, as words."""
    divisors = [d for d in range(1, total + 1) if total % d == 0]
    below, above = [d for d in divisors if d < wish], [d for d in divisors if d > wish]
    return " or ".join(str(d) for d in (*below[-1:], *above[:1]))
