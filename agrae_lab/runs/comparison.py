"""Comparison: the parts of an experiment's question that its figures, tables, claims and headline need."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REFERENCE = "grpo"
SMALLEST_EFFECT = "1pp"

_METRIC = re.compile(r"pass@([1-9]\d{0,8})", re.ASCII)
_EFFECT = re.compile(r"(\d+(?:\.\d+)?)\s*(pp|%)", re.ASCII)


@dataclass(frozen=True)
class Comparison:
    """Arms and metrics to compare.

    reference: arm that the others are compared with. candidates: the compared arms; () for all others. metrics: such as
    pass@1; () for the analysis' own choice. smallest_effect: smallest difference in Pass@k that matters, such as 1pp.
    """

    reference: str = REFERENCE
    candidates: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    smallest_effect: str = SMALLEST_EFFECT

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Comparison | None:
        """Return the comparison in a section of a config or file; None if it has none of the keys.

        Raises:
            ValueError: a value is of another form; the sentence begins with its key.
        """
        given = {key: section[key] for key in cls.__dataclass_fields__ if section.get(key) not in (None, (), [], "")}
        if not given:
            return None
        found = cls(
            reference=_name("reference", given.get("reference", REFERENCE)),
            candidates=_distinct_names("candidates", given.get("candidates", ())),
            metrics=_distinct_names("metrics", given.get("metrics", ())),
            smallest_effect=str(given.get("smallest_effect", SMALLEST_EFFECT)),
        )
        if found.reference in found.candidates:
            raise ValueError(
                f"reference: {found.reference} is a candidate as well. Name another reference, or leave it out"
            )
        for metric in found.metrics:
            parse_metric(metric)
        parse_effect(found.smallest_effect)
        return found

    @property
    def ks(self) -> tuple[int, ...]:
        """The k of the metrics, in ascending order."""
        return tuple(sorted({parse_metric(metric) for metric in self.metrics}))

    @property
    def smallest_share(self) -> float:
        """The smallest effect as a share."""
        return parse_effect(self.smallest_effect)

    def check_arms(self, arms: Sequence[str]) -> None:
        """Check that the reference and the candidates are among the arms; the base model is always one.

        Raises:
            ValueError: one is not.
        """
        known = list(dict.fromkeys(arms))
        for key, names in (("reference", [self.reference]), ("candidates", self.candidates)):
            for name in names:
                if name not in (*known, "base"):
                    raise ValueError(f"{key}: there is no arm {name!r}. The arms are {', '.join(known)}")

    def check_samples(self, num_samples: int) -> None:
        """Check that every k is at most half of n, the number of samples of a problem.

        Raises:
            ValueError: one is larger.
        """
        for k in self.ks:
            if 2 * k > num_samples:
                fault = "k is above n" if k > num_samples else "k > n/2 leaves no variance within a problem"
                raise ValueError(
                    f"metrics: pass@{k} is too large for n = evaluation.num_samples = {num_samples}: {fault}. Raise "
                    f"evaluation.num_samples to {2 * k}, or lower k"
                )


def is_name(value: Any) -> bool:
    """Return True for text and for a whole number, which may be an arm's name."""
    return type(value) is int or (isinstance(value, str) and value != "")


def _name(key: str, value: Any) -> str:
    if not is_name(value):
        raise ValueError(f"{key}: {value!r} is not a name. Write text or a whole number")
    return str(value)


def _distinct_names(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(map(is_name, value)):
        raise ValueError(f"{key}: {value!r} is not a list of names. Write them in brackets, separated by commas")
    names = tuple(map(str, value))
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{key}: {', '.join(repeated)} is listed more than once. Leave one out")
    return names


def parse_metric(metric: str) -> int:
    """Return the k of `pass@<k>`.

    Raises:
        ValueError: another form.
    """
    if (found := _METRIC.fullmatch(metric)) is None:
        raise ValueError(f"metrics: {metric!r} is not a metric. Write pass@<k>, such as pass@1 or pass@64")
    return int(found[1])


def parse_effect(text: str) -> float:
    """Return an effect such as 1pp (percentage points of Pass@k) as a share.

    Raises:
        ValueError: another form, or not between 0 and 100 points.
    """
    found = _EFFECT.fullmatch(text.strip())
    if found is None or not 0 < float(found[1]) <= 100:
        raise ValueError(
            f"smallest_effect: {text!r} is not an effect. Write percentage points above 0 and at most 100, such as 1pp "
            "or 0.5pp"
        )
    return float(found[1]) / 100
