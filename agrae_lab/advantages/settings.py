"""Settings of links: bounds and a description, declared beside each field, and the check of values against them.

    beta: Annotated[float, above(0), "β, the factor on positive advantages; the paper has 10 and 0.1"] = 10.0

Registered links must inherit `Link`; a user's own frozen dataclass may. Then a value out of bounds is refused even
without `make_link`. All numbers are finite.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Bound:
    """Condition on a value, in words that complete "must be …"."""

    words: str
    holds: Callable[[Any], bool]

    def __str__(self) -> str:
        return self.words


def above(limit: float) -> Bound:
    return Bound(f"above {limit}", lambda value: value > limit)


def at_least(limit: float) -> Bound:
    return Bound(f"at least {limit}", lambda value: value >= limit)


def below(limit: float) -> Bound:
    return Bound(f"below {limit}", lambda value: value < limit)


def at_most(limit: float) -> Bound:
    return Bound(f"at most {limit}", lambda value: value <= limit)


def whole_from(limit: int) -> Bound:
    return Bound(f"a whole number from {limit}", lambda value: value >= limit)


def one_of(*choices: Any) -> Bound:
    return Bound(" or ".join(map(str, choices)), lambda value: value in choices)


@dataclass(frozen=True)
class Setting:
    """Declaration of a field of a link.

    kind: type of the value. Values of int, float and mappings from names to one of them are type-checked; values of
        other types are not. None is allowed where the annotation says so.
    """

    name: str
    kind: Any
    bounds: tuple[Bound, ...] = ()
    description: str = ""
    allows_none: bool = False

    @property
    def words(self) -> str:
        """The bounds, to complete "must be …"."""
        return " and ".join(map(str, self.bounds)) or ("a whole number" if self.kind is int else "finite")

    def checked(self, key: str, value: Any) -> Any:
        """Return the value as the type of the field: 2 as 2.0 for a float, 2.0 as 2 for an int.

        Raises:
            ValueError: another type than declared, a number that is not finite, or a value out of bounds.
        """
        if value is None and self.allows_none:
            return None
        if get_origin(self.kind) is Mapping:
            if not isinstance(value, Mapping):
                raise ValueError(self._refusal(key, "a mapping of names to numbers", value))
            inner = dataclasses.replace(self, kind=get_args(self.kind)[1])
            return {name: inner.checked(f"{key}.{name}", number) for name, number in value.items()}
        kept = self._number(key, value) if self.kind in (int, float) else value
        if not all(bound.holds(kept) for bound in self.bounds):
            raise ValueError(self._refusal(key, self.words, value))
        return kept

    def _number(self, key: str, value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(self._refusal(key, "a number", value))
        try:
            number = float(value)
        except OverflowError:  # an int beyond all floats
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(self._refusal(key, self.words, value))
        if self.kind is int and not number.is_integer():
            raise ValueError(self._refusal(key, self.words, value))
        return self.kind(value)

    def _refusal(self, key: str, wanted: str, value: Any) -> str:
        source = f" ({self.description})" if self.description else ""
        return f"{key} must be {wanted}{source}, got {value!r}"


@cache
def settings_of(cls: Any) -> tuple[Setting, ...]:
    """Return the declared settings of a link class, in the order of its definition."""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception:  # annotations of a user's file that cannot be evaluated are not checked
        hints = {}
    return tuple(_setting(field.name, hints.get(field.name, Any)) for field in dataclasses.fields(cls))


def _setting(name: str, annotation: Any) -> Setting:
    kind, *extras = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    others = [member for member in kinds if member is not types.NoneType]
    return Setting(
        name=name,
        kind=others[0] if len(others) == 1 else Any,
        bounds=tuple(extra for extra in extras if isinstance(extra, Bound)),
        description=" ".join(extra for extra in extras if isinstance(extra, str)),
        allows_none=len(others) < len(kinds),
    )


class Link:
    """Base class of links: a frozen dataclass that inherits it holds no setting out of bounds."""

    SLOT: ClassVar = "base"
    name: ClassVar[str]

    def __post_init__(self) -> None:
        cls: Any = type(self)
        for setting in settings_of(cls):
            value = setting.checked(f"advantage.{self.SLOT}.{setting.name}", getattr(self, setting.name))
            object.__setattr__(self, setting.name, value)
