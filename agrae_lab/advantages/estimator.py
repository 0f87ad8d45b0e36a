"""An estimator is four slots in a row: base → sample → group → match.

    base    rewards → advantages                                   (GRPO, Dr.GRPO, RLOO, PSR, NSR, W-REINFORCE)
    sample  how much a prompt counts, by its success rate p        (hard_focused, easy_focused, dynamic)
    group   how correct and incorrect completions weigh            (scale_positive, attenuate)
    match   rescale the batch to plain GRPO's Σ|A|                 (l1)

What fills a slot is a link: a small frozen dataclass with `__call__`, one file in the folder of its slot, entered in
the registry by `@link`. A named combination of links is a preset (`presets.py`).

Shapes: `rewards_PG` and `advantages_PG` are [P, G]: P prompts, G completions of each. NaN marks an undecided reward.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor

T = TypeVar("T")

SLOTS = ("base", "sample", "group", "match")
FLAVORS = ("paper", "official")


@dataclass(frozen=True)
class Context:
    """What an estimator may need beyond its rewards.

    omega: mean reward of the whole batch of trajectories (Eq. 11). None: taken from the rewards at hand; give it
        when those are only a part of the batch.
    """

    omega: float | None = None


class Base(Protocol):
    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor: ...


class Link(Protocol):
    """A link of the sample, group or match slot."""

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor: ...


_LINKS: dict[str, dict[str, type]] = {slot: {} for slot in SLOTS}


def link(slot: str, name: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: enter a link in the registry under `name`.

    The class is a frozen dataclass. Where the paper's formula and the authors' code differ in a field, the class says
    so in `OFFICIAL = {field: value}`; the field's default is the paper's. A base link declares the `LAWS` it keeps, a
    later link those it `BREAKS` (see `laws.py`).
    """
    assert slot in SLOTS, slot

    def register(cls: type[T]) -> type[T]:
        assert dataclasses.is_dataclass(cls), cls
        assert name not in _LINKS[slot], f"{slot} link {name!r} is registered twice"
        cls.name = name  # type: ignore[attr-defined]
        _LINKS[slot][name] = cls
        return cls

    return register


def links(slot: str) -> dict[str, type]:
    """All links of a slot, name → class. Every module in the slot's folder is imported on the first call."""
    package = importlib.import_module(f"agrae_lab.advantages.{slot}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_LINKS[slot].items()))


def field_names(cls_or_link: Any) -> list[str]:
    """The settings of a link, in the order of its definition."""
    return [f.name for f in dataclasses.fields(cls_or_link)]


def make_link(slot: str, settings: Mapping[str, Any], *, flavor: str = "paper") -> Any:
    """A link from `{"name": ..., field: value, ...}`; a field that is absent or None takes the flavor's value.

    Raises:
        ValueError: unknown name or field (the choices are listed), or a value out of range.
    """
    name = settings.get("name")
    choices = links(slot)
    if name not in choices:
        raise ValueError(f"unknown advantage.{slot} {name!r}; choose from {', '.join(choices)}")
    cls = choices[name]
    fields = field_names(cls)
    given = {k: v for k, v in settings.items() if k != "name" and v is not None}
    if unknown := sorted(given.keys() - set(fields)):
        known = f"its fields are {', '.join(fields)}" if fields else "it has no fields"
        raise ValueError(f"advantage.{slot} {name!r} has no field {', '.join(unknown)}; {known}")
    official = getattr(cls, "OFFICIAL", {}) if flavor == "official" else {}
    try:
        return cls(**{**official, **given})
    except TypeError as error:  # a comparison of, say, text with a number
        raise ValueError(f"advantage.{slot} {name!r}: a field is not a number in {given}") from error


def link_settings(instance: Any) -> dict[str, Any]:
    """The inverse of `make_link`: `{"name": ..., field: value, ...}` with every field."""
    return {"name": instance.name, **dataclasses.asdict(instance)}


@dataclass(frozen=True)
class Estimator:
    """Advantages from rewards: the four slots applied in order.

    Every group whose rewards are all equal gets what the formula says (0 for the group-relative ones), never NaN.
    An undecided completion (NaN reward) is left out of its group's mean and standard deviation and gets 0.
    """

    name: str
    flavor: str
    base: Any
    sample: Any
    group: Any
    match: Any

    def __call__(self, rewards_PG: Tensor, context: Context | None = None) -> Tensor:
        """Advantages [P, G] in the dtype of `rewards_PG` ([P, G], float32 or float64).

        Raises:
            ValueError: not two-dimensional, not floating point, infinite rewards, or G below the base's minimum.
        """
        self._check(rewards_PG)
        context = context or Context()
        advantages_PG = self.base(rewards_PG, context).masked_fill(rewards_PG.isnan(), 0.0)
        for part in (self.sample, self.group, self.match):
            advantages_PG = part(advantages_PG, rewards_PG, context)
        return advantages_PG

    @property
    def min_group_size(self) -> int:
        """Smallest G for which the estimator means something."""
        return getattr(self.base, "MIN_GROUP_SIZE", 1)

    @property
    def laws(self) -> frozenset[str]:
        """The laws that this combination keeps: the base's, less what a later link breaks."""
        broken = [part.BREAKS for part in (self.sample, self.group, self.match)]
        return frozenset(self.base.LAWS).difference(*broken)

    def settings(self) -> dict[str, Any]:
        """Name, flavor and every field of every slot, as plain values."""
        slots = {slot: link_settings(getattr(self, slot)) for slot in SLOTS}
        return {"name": self.name, "flavor": self.flavor, **slots}

    def same_formula(self, other: Estimator) -> bool:
        """Whether both give the same advantages by construction, whatever they are called."""
        return all(getattr(self, slot) == getattr(other, slot) for slot in SLOTS)

    def _check(self, rewards_PG: Tensor) -> None:
        if rewards_PG.ndim != 2:
            raise ValueError(f"rewards must be [P, G] (prompts, completions), got shape {list(rewards_PG.shape)}")
        if not rewards_PG.is_floating_point():
            raise ValueError(f"rewards must be float32 or float64, got {rewards_PG.dtype}")
        if rewards_PG.isinf().any():
            raise ValueError("rewards must be finite, or NaN where the verifier could not decide; got an infinity")
        if rewards_PG.shape[1] < self.min_group_size:
            raise ValueError(
                f"{self.base.name} compares completions within a group and needs at least "
                f"{self.min_group_size} completions a prompt, got G = {rewards_PG.shape[1]}"
            )
