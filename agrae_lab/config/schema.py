"""Every key of a config with what it may hold. A key that stands here nowhere is a mistake, wherever it was written.

Not here: `advantage`, whose fields are those of the links, and the names of `evaluation.benchmarks`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What a value must be, in words and as a test, and as which type it is kept."""

    wanted: str
    holds: Callable[[Any], bool]
    kept_as: type | None = None  # None: as it was written


def _whole(low: int, high: float = math.inf) -> Rule:
    upper = "" if high == math.inf else f" and at most {high}"

    def holds(x: Any) -> bool:
        return (type(x) is int or (type(x) is float and x.is_integer())) and low <= x <= high

    return Rule(f"a whole number of at least {low}{upper}", holds, int)


def _number(wanted: str, holds: Callable[[float], bool]) -> Rule:
    return Rule(wanted, lambda x: type(x) in (int, float) and _is_finite(x) and holds(x), float)


def _is_finite(x: int | float) -> bool:
    try:
        return math.isfinite(x)
    except OverflowError:  # an int that no float can hold
        return False


def _choice(*choices: str) -> Rule:
    return Rule(f"one of {', '.join(choices)}", lambda x: x in choices)


def _or_null(rule: Rule) -> Rule:
    return Rule(f"{rule.wanted}, or null", lambda x: x is None or rule.holds(x), rule.kept_as)


_TEXT = Rule("text", lambda x: isinstance(x, str) and x != "")
_ABOVE_0 = _number("a number above 0", lambda x: x > 0)
_FROM_0 = _number("a number of at least 0", lambda x: x >= 0)
_SWITCH = Rule("true or false", lambda x: isinstance(x, bool))
_SHARE = _number("a number above 0 and at most 1", lambda x: 0 < x <= 1)
_ADDRESS = Rule(
    "an address such as http://host:8000",
    lambda x: isinstance(x, str) and re.fullmatch(r"https?://[\w.-]+(:\d+)?", x, flags=re.ASCII) is not None,
)


def _name(*reserved: str) -> Rule:
    """Rule of a name that becomes part of a path; reserved words mean something else wherever names stand."""
    words = f", other than {' and '.join(map(repr, reserved))}" if reserved else ""
    return Rule(
        f"1 to 60 letters, digits or any of . _ + = -, beginning with a letter or digit{words}, since it names a "
        "file or directory",
        lambda x: (
            type(x) in (str, int)
            and re.fullmatch(r"[A-Za-z0-9][\w.+=-]{0,59}", str(x), flags=re.ASCII) is not None
            and str(x).lower() not in reserved
        ),
        str,
    )


_ARM_NAME = _name("base")  # the model that training starts from
_BENCHMARK_NAME = _name("train")  # the training problems
_EXPERIMENT_NAME = _name()


def _are_steps(value: Any) -> bool:
    if isinstance(value, list):
        return all(step == "last" or (type(step) is int and step >= 0) for step in value)
    return value is None or (type(value) is int and value > 0)


RULES: dict[str, Rule] = {
    "schema_version": _whole(1),
    "root": _TEXT,
    "arm": _or_null(_ARM_NAME),
    "seed": _whole(0, 2**32 - 1),
    "world": _TEXT,
    "engine": _choice("transformers", "vllm"),
    "experiment.name": _or_null(_EXPERIMENT_NAME),
    "experiment.question": _or_null(_TEXT),
    "hardware.device": _choice("auto", "cpu", "cuda"),
    "hardware.data_dir": _or_null(_TEXT),
    "hardware.per_device_batch_size": _or_null(_whole(1)),
    "hardware.gradient_checkpointing": _or_null(_SWITCH),
    "hardware.vllm.server": _or_null(_ADDRESS),
    "hardware.vllm.gpu_memory": _SHARE,
    "hardware.vllm.tensor_parallel": _whole(1),
    "tracking.name": _choice("none", "wandb", "tensorboard"),
    "tracking.project": _TEXT,
    "tracking.mode": _choice("offline", "online"),
    "model.path": _TEXT,
    "model.dtype": _choice("float32", "bfloat16"),
    "model.lora.rank": _whole(1),
    "model.lora.alpha": _ABOVE_0,
    "task.name": _TEXT,
    "task.train_file": _or_null(_TEXT),
    "task.prompt_template": _TEXT,  # the task knows its choices
    "task.verifier": _TEXT,
    "task.reward": _TEXT,
    "task.max_pixels": _whole(1),
    "task.on_bad_row": _TEXT,
    "train.num_steps": _whole(1),
    "train.num_prompts": _whole(1),
    "train.num_generations": _whole(1),
    "train.num_minibatches": _whole(1),
    "train.learning_rate": _ABOVE_0,
    "train.learning_rate_schedule": _choice("constant", "linear"),
    "train.weight_decay": _FROM_0,
    "train.max_grad_norm": _ABOVE_0,
    "train.temperature": _ABOVE_0,
    "train.top_p": _SHARE,
    "train.max_prompt_length": _whole(1),
    "train.max_completion_length": _whole(1),
    "train.checkpoint_every": _whole(1),
    "train.validate_every": _whole(0),
    "train.validate_on": _or_null(_TEXT),
    "train.validate_samples": _whole(0),
    "loss.name": _choice("grpo", "dapo", "dr_grpo"),
    "loss.clip_low": _FROM_0,
    "loss.clip_high": _FROM_0,
    "loss.kl_coefficient": _FROM_0,
    "evaluation.num_samples": _whole(1),
    "evaluation.temperature": _ABOVE_0,
    "evaluation.top_p": _SHARE,
    "evaluation.max_new_tokens": _whole(1),
    "evaluation.batch_size": _whole(1),
    "evaluation.seed": _whole(0),
    "evaluation.at_steps": Rule("a number of steps (every so many), a list of steps and 'last', or null", _are_steps),
    "evaluation.keep_policies": _SWITCH,
}
BENCHMARK_RULES: dict[str, Rule] = {
    "task": _TEXT,
    "file": _or_null(_TEXT),
    "limit": _or_null(_whole(1)),
    "domain": _choice("in", "out"),  # of the training problems' kind or not; tables set them apart
}
_OPTIONAL = (
    *("tracking.project", "tracking.mode"),  # of tracking=wandb alone
    *("task.prompt_template", "task.verifier"),  # of mathematics alone
    *("task.max_pixels", "task.on_bad_row"),  # of tasks with pictures alone
    "task.reward",  # accuracy as a matter of course
    "train.max_prompt_length",
    *("train.validate_on", "train.validate_samples", "evaluation.at_steps", "evaluation.keep_policies"),
)


def check(config: Mapping[str, Any]) -> None:
    """Hold a resolved config to the rules, and make its numbers what they say, in place.

    2 is 2.0 where a number is asked for, 2.0 is 2 where a whole number is, and a name of digits is text.

    Raises:
        ValueError: a key that is unknown (the nearest one is named) or missing, or a value that is not allowed.
    """
    found = {key: value for key, value in _leaves(config) if not key.startswith("advantage.")}
    benchmarks = config.get("evaluation", {}).get("benchmarks") if isinstance(config.get("evaluation"), dict) else None
    found = {key: value for key, value in found.items() if not key.startswith("evaluation.benchmarks")}
    lora = tuple(key for key in RULES if key.startswith("model.lora."))  # all of the section, or nothing
    _check_leaves(found, RULES, optional=(*_OPTIONAL, *(() if found.keys() & lora else lora)))
    if not isinstance(benchmarks, dict) or not benchmarks:
        raise ValueError("evaluation.benchmarks must name at least one benchmark with its task")
    for name, benchmark in benchmarks.items():
        if not _BENCHMARK_NAME.holds(name):
            raise ValueError(f"evaluation.benchmarks: a name must be {_BENCHMARK_NAME.wanted}, got {name!r}")
        prefix = f"evaluation.benchmarks.{name}"
        rules = {f"{prefix}.{key}": rule for key, rule in BENCHMARK_RULES.items()}
        _check_leaves(dict(_leaves(benchmark, f"{prefix}.")), rules, optional=(f"{prefix}.domain",))
        _keep_as_said(benchmark, rules, f"{prefix}.")
    _keep_as_said(config, RULES)


def _keep_as_said(section: Any, rules: Mapping[str, Rule], prefix: str = "") -> None:
    """Give every value of a section that has been checked the type that its rule says."""
    for name, value in section.items():
        if isinstance(value, Mapping):
            _keep_as_said(value, rules, f"{prefix}{name}.")
        elif value is not None and (rule := rules.get(f"{prefix}{name}")) is not None and rule.kept_as is not None:
            section[name] = rule.kept_as(value)


def _check_leaves(found: Mapping[str, Any], rules: Mapping[str, Rule], *, optional: tuple[str, ...]) -> None:
    for key, value in found.items():
        if key not in rules:
            inner = [known.removeprefix(f"{key}.") for known in rules if known.startswith(f"{key}.")]
            if inner:
                inner = [name for name in inner if f"{key}.{name}" not in optional] or inner
                raise ValueError(f"{key} must be a section with {', '.join(inner)}, got {value!r}")
            near = difflib.get_close_matches(key, rules, n=1)
            raise ValueError(f"the config has no key {key}" + (f"; did you mean {near[0]}?" if near else ""))
        if not rules[key].holds(value):
            raise ValueError(f"{key} must be {rules[key].wanted}, got {value!r}")
    for key in rules:
        if key not in found and key not in optional:
            raise ValueError(f"{key} is missing from the config; it must be {rules[key].wanted}")


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; an empty section is a leaf of its own."""
    if not isinstance(node, Mapping) or not node:
        yield prefix.removesuffix("."), node
        return
    for key, value in node.items():
        yield from _leaves(value, f"{prefix}{key}.")
