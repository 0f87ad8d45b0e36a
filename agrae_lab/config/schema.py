"""Schema of a config: rules made of the declarations in keys.py, and the check of a config against them.

Checks, messages and `python -m agrae_lab.train --help` come from the declarations; a key without one is a mistake.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from agrae_lab.advantages.settings import Bound
from agrae_lab.config.keys import ADDRESS, BENCHMARK_NAME, OPTIONAL, Benchmark, Config
from agrae_lab.runs import leaves
from agrae_lab.runs.suggestions import close_match


@dataclass(frozen=True)
class Rule:
    """Rule of one key: its allowed values in words and as a test, the type that it is kept as, default and help text.

    kept_as: None for a value kept as it was written. default: MISSING for a key without one.
    """

    wanted: str
    holds: Callable[[Any], bool]
    kept_as: type | None
    default: Any
    is_optional: bool
    allows_none: bool
    help_text: str


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return False


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and _is_finite(value)


# type of a key → its noun, the test of a value, the type it is kept as
_KINDS: dict[Any, tuple[str, Callable[[Any], bool], type | None]] = {
    int: ("a whole number", lambda x: _is_number(x) and float(x).is_integer(), int),
    float: ("a number", _is_number, float),
    bool: ("true or false", lambda x: isinstance(x, bool), None),
    str: ("text", lambda x: isinstance(x, str) and x != "", None),
    Any: ("", lambda x: True, None),
}


def _rule(annotation: Any, default: Any) -> Rule:
    """Return the rule of a key from its annotation."""
    kind, extras = _unwrapped(annotation)
    allows_none = NoneType in get_args(kind)
    if allows_none:
        kind, more = _unwrapped(next(choice for choice in get_args(kind) if choice is not NoneType))
        extras = more + extras
    bounds = [extra for extra in extras if isinstance(extra, Bound)]
    kept_as: type | None
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        wanted, is_kind, kept_as = f"one of {', '.join(choices)}", lambda x: x in choices, None
    elif kind is str and bounds:  # the bound's words replace "text"
        wanted, is_kind = str(bounds[0]), lambda x: True
        kept_as = None if bounds[0] is ADDRESS else str  # an address is never a number, so it needs no conversion
    else:
        noun, is_kind, kept_as = _KINDS[kind]
        preposition = " of " if bounds and str(bounds[0]).startswith("at least") else " "
        wanted = f"{noun}{preposition}{' and '.join(map(str, bounds))}".strip()

    def holds(value: Any) -> bool:
        return (allows_none and value is None) or (is_kind(value) and all(bound.holds(value) for bound in bounds))

    return Rule(
        wanted=f"{wanted}, or null" if allows_none else wanted,
        holds=holds,
        kept_as=kept_as,
        default=default,
        is_optional=OPTIONAL in extras,
        allows_none=allows_none or kind is Any,
        help_text=next((e for e in reversed(extras) if isinstance(e, str)), ""),
    )


def _unwrapped(annotation: Any) -> tuple[Any, list[Any]]:
    """Return the type of an annotation and its metadata."""
    if get_origin(annotation) is Annotated:
        kind, *extras = get_args(annotation)
        return kind, extras
    return annotation, []


def _rules(section: Any, prefix: str = "") -> Iterator[tuple[str, Rule]]:
    """Yield the dotted key and the rule of every key of a section."""
    hints = get_type_hints(section, include_extras=True)
    for field in dataclasses.fields(section):
        kind, _ = _unwrapped(hints[field.name])
        inner = next((part for part in (kind, *get_args(kind)) if dataclasses.is_dataclass(part)), None)
        if inner is not None:
            yield from _rules(inner, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", _rule(hints[field.name], field.default)


RULES: dict[str, Rule] = dict(_rules(Config))
BENCHMARK_RULES: dict[str, Rule] = dict(_rules(Benchmark))
# keys that freezing leaves out of the config when they are null
DROPPED_WHEN_NULL = ("model.lora", *(key for key, rule in RULES.items() if rule.is_optional and rule.allows_none))


def check(config: Mapping[str, Any]) -> None:
    """Check a resolved config against the declarations, and give its numbers the declared type, in place.

    2 becomes 2.0 for a number, 2.0 becomes 2 for a whole number, and a name of digits becomes text.

    Raises:
        ValueError: a key that is unknown (the nearest one is named) or missing, or a value that is not allowed.
    """
    found = {key: value for key, value in leaves(config) if not key.startswith("advantage.")}
    benchmarks = config.get("evaluation", {}).get("benchmarks") if isinstance(config.get("evaluation"), dict) else None
    found = {key: value for key, value in found.items() if not key.startswith("evaluation.benchmarks")}
    has_lora = any(key.startswith("model.lora") for key in found)  # all of the section, or nothing
    rules = {key: rule for key, rule in RULES.items() if has_lora or not key.startswith("model.lora.")}
    _check_leaves(found, rules)
    if not isinstance(benchmarks, dict) or not benchmarks:
        raise ValueError("evaluation.benchmarks must name at least one benchmark with its task")
    for name, benchmark in benchmarks.items():
        if not BENCHMARK_NAME.holds(name):
            raise ValueError(f"evaluation.benchmarks: a name must be {BENCHMARK_NAME}, got {name!r}")
        prefix = f"evaluation.benchmarks.{name}"
        rules = {f"{prefix}.{key}": rule for key, rule in BENCHMARK_RULES.items()}
        _check_leaves(dict(leaves(benchmark, f"{prefix}.")), rules)
        _convert(benchmark, rules, f"{prefix}.")
    _convert(config, RULES)


def _convert(section: Any, rules: Mapping[str, Rule], prefix: str = "") -> None:
    """Give every value of a checked section the type that its rule declares."""
    for name, value in section.items():
        if isinstance(value, Mapping):
            _convert(value, rules, f"{prefix}{name}.")
        elif value is not None and (rule := rules.get(f"{prefix}{name}")) is not None and rule.kept_as is not None:
            section[name] = rule.kept_as(value)


def _check_leaves(found: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    for key, value in found.items():
        if key not in rules:
            inner = [known for known in rules if known.startswith(f"{key}.")]
            if inner:
                # optional keys are left out, unless the section has that key alone
                names = [
                    name.removeprefix(f"{key}.") for name in inner if not rules[name].is_optional or len(inner) == 1
                ]
                raise ValueError(f"{key} must be a section with {', '.join(names)}, got {value!r}")
            raise ValueError("; ".join(filter(None, (f"the config has no key {key}", close_match(key, rules)))))
        if not rules[key].holds(value):
            raise ValueError(f"{key} must be {rules[key].wanted}, got {value!r}")
    for key, rule in rules.items():
        if key not in found and not rule.is_optional:
            raise ValueError(f"{key} is missing from the config; it must be {rule.wanted}")
