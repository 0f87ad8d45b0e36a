"""Fields of a link: values from a config or a caller, as the types that the class declares."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


def construct(slot: str, cls: Any, values: Mapping[str, Any]) -> Any:
    """Return a link of class `cls` with these values in its fields, numbers made what a field says.

    Raises:
        ValueError: a value out of range, or no number where one is needed.
    """
    kinds = {f.name: _kind(f) for f in dataclasses.fields(cls)}
    try:
        return cls(**{f: _as_number(f"advantage.{slot}.{f}", v, kinds[f]) for f, v in values.items()})
    except (TypeError, OverflowError) as error:  # a comparison of, say, text with a number; 10**400
        raise ValueError(f"advantage.{slot} {cls.name!r}: a field is not a number in {dict(values)}") from error


def _kind(field: dataclasses.Field) -> str:
    """The annotation of a field as text, which it already is where annotations are not evaluated."""
    kind = field.type.__name__ if isinstance(field.type, type) else str(field.type)
    return kind.removeprefix("collections.abc.").removesuffix(" | None")


def _as_number(key: str, value: Any, kind: str) -> Any:
    if kind == "Mapping[str, float]" and isinstance(value, Mapping):
        return {name: _as_number(f"{key}.{name}", one, "float") for name, one in value.items()}
    if kind not in ("int", "float") or not isinstance(value, int | float):
        return value
    if isinstance(value, bool):
        raise ValueError(f"{key} must be a number, got {value!r}")
    if kind == "float":
        return float(value)
    return int(value) if float(value).is_integer() else value  # the class says what it takes instead of 2.5
