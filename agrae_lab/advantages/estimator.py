"""An estimator is five slots in a row: base → sample → group → token → match.

    base    rewards → advantages                                   (GRPO, Dr.GRPO, RLOO, MaxRL, OPO, CurveRL, …)
    sample  how much a prompt counts, by its success rate p        (hard_focused, easy_focused, dynamic, focal, …)
    group   how correct and incorrect completions weigh            (scale_positive, attenuate, lead, ha_dw)
    token   advantages that differ from token to token             (entropy)
    match   rescale the batch to plain GRPO's mass                 (l1, l2)

What fills a slot is a link: a small frozen dataclass with `__call__`, one file in the folder of its slot, entered in
the registry by `@link`. A named combination of links is a preset (`presets.py`).

Shapes: `rewards_PG` and `advantages_PG` are [P, G]: P prompts, G completions of each; a token link makes them
[P, G, T], T tokens. NaN marks an undecided reward.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor

from agrae_lab.advantages import external
from agrae_lab.advantages.fields import construct
from agrae_lab.advantages.properties import laws
from agrae_lab.advantages.statistics import widened

T = TypeVar("T")

SLOTS = ("base", "sample", "group", "token", "match")
FLAVORS = ("paper", "official")

# What a link may declare in REQUIRES, beside the rewards → the fields of Context that hold it, and its name in words.
INPUTS: dict[str, tuple[tuple[str, ...], str]] = {
    "lengths": (("lengths_PG",), "completion lengths"),
    "parts": (("parts",), "the parts of a reward"),
    "entropies": (("entropies_PGT", "mask_PGT"), "token entropies"),
    "logprobs": (("logprobs_PGT", "mask_PGT"), "token log-probabilities"),
}


@dataclass(frozen=True)
class Context:
    """What an estimator may need beyond the rewards. All of it belongs to the same batch as they do.

    omega: mean accuracy of the whole batch of trajectories, which is its mean reward where rewards are 0 or 1 (Eq. 11).
        None: taken from the completions at hand; give it when those are only a part of the batch.
    correct_PG: which completions are correct, true or false (1 or 0). Success rates p, ω and what a formula calls
        correct are taken from it, everything else from the rewards. None: the rewards are 0 or 1 and say it themselves.
    lengths_PG: tokens of each completion.
    parts: the parts that a reward is made of, name → [P, G].
    entropies_PGT, logprobs_PGT: of the sampling policy at each completion token, nats.
    mask_PGT: 1 where there is a completion token, 0 where there is padding.
    state: what stateful links remember from batch to batch, link name → plain values that JSON can hold. They read
        it and put a new value in its place; whoever trains keeps it and saves it with the checkpoints. One call is
        one batch of training.
    """

    omega: float | None = None
    correct_PG: Tensor | None = None
    lengths_PG: Tensor | None = None
    parts: Mapping[str, Tensor] | None = None
    entropies_PGT: Tensor | None = None
    logprobs_PGT: Tensor | None = None
    mask_PGT: Tensor | None = None
    state: dict[str, Any] = field(default_factory=dict)

    def accuracy(self, rewards_PG: Tensor) -> Tensor:
        """1 where a completion is correct and 0 where not, NaN where its reward is, [P, G]; without `correct_PG` the
        rewards themselves."""
        if self.correct_PG is None:
            return rewards_PG
        return self.correct_PG.to(rewards_PG).masked_fill(rewards_PG.isnan(), math.nan)

    def in_float32(self) -> Context:
        """The same with no tensor in bfloat16 or float16; the state is the same object."""
        tensors = {f.name: widened(getattr(self, f.name)) for f in dataclasses.fields(self)}
        if self.parts is not None:
            tensors["parts"] = {name: widened(part) for name, part in self.parts.items()}
        return dataclasses.replace(self, **tensors)


class Base(Protocol):
    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor: ...


class Link(Protocol):
    """A link of any other slot. From the token slot on, advantages may be [P, G, T]."""

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor: ...


_LINKS: dict[str, dict[str, type]] = {slot: {} for slot in SLOTS}


def link(slot: str, name: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: enter a link in the registry under `name`.

    The class is a frozen dataclass. Where the paper's formula and the authors' code differ in a field, the class says
    so in `OFFICIAL = {field: value}`; the field's default is the paper's. A base link declares the `LAWS` it keeps, a
    later link those it `BREAKS` (see `laws.py`). What it needs beside rewards it names in `REQUIRES` (see `INPUTS`);
    one that remembers earlier batches says `STATEFUL = True`.
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
    _import_links(slot)
    return dict(sorted(_LINKS[slot].items()))


@functools.cache
def _import_links(slot: str) -> None:
    package = importlib.import_module(f"agrae_lab.advantages.{slot}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def field_names(cls_or_link: Any) -> list[str]:
    """The settings of a link, in the order of its definition."""
    return [f.name for f in dataclasses.fields(cls_or_link)]


def make_link(slot: str, settings: Any, *, flavor: str = "paper") -> Any:
    """A link from `{"name": ..., field: value, ...}`; a field that is absent or None takes the flavor's value.

    With `_target_: my_file.MyEstimator` it is that class, from a file of one's own, and `name` is not looked at. Its
    settings then also hold `_source_`, the fingerprint of that file. An instance of a link class is the link itself.
    Numbers are made what the field says: 2 is 2.0 for a float, and 2.0 is 2 for an int.

    Raises:
        ValueError: unknown name or field (the choices are listed), a value out of range, a file of one's own that is
            not there or has changed since its fingerprint was taken, or an object that is no link of this slot.
    """
    if not isinstance(settings, Mapping):
        return _check_instance(slot, settings)
    given = {k: v for k, v in settings.items() if k not in ("name", "_target_", "_source_") and v is not None}
    if settings.get("_target_") is not None:
        cls = _load_own(settings["_target_"], expected_source=settings.get("_source_"))
        name = cls.name
    else:
        choices, name = links(slot), settings.get("name")
        if name not in choices:
            raise ValueError(unknown(f"advantage.{slot}", name, choices))
        cls = choices[name]
    fields = field_names(cls)
    if strange := sorted(given.keys() - set(fields)):
        known = f"its fields are {', '.join(fields)}" if fields else "it has no fields"
        raise ValueError(f"advantage.{slot} {name!r} has no field {', '.join(strange)}; {known}")
    official = getattr(cls, "OFFICIAL", {}) if flavor == "official" else {}
    return construct(slot, cls, {**official, **given})


def with_fields(slot: str, link: Any, values: Mapping[str, Any]) -> Any:
    """A copy of a link with other values in some of its fields.

    Raises:
        ValueError: a value out of range, or no number where one is needed.
    """
    return construct(slot, type(link), {f: getattr(link, f) for f in field_names(link)} | dict(values))


def _check_instance(slot: str, instance: Any) -> Any:
    """An object that a caller has put into a slot, if it can be there."""
    cls = type(instance)
    if isinstance(instance, type):
        raise ValueError(f"advantage.{slot} must be a name, settings or an instance; write {instance.__name__}()")
    if not external.is_link_class(cls):
        raise ValueError(
            f"advantage.{slot} must be a name, settings or an instance of a frozen dataclass, got {instance!r}; write "
            "@dataclass(frozen=True) above the class"
        )
    home = {link: place for place in SLOTS for link in links(place).values()}.get(cls, getattr(cls, "SLOT", slot))
    if home != slot:
        raise ValueError(f"advantage.{slot} cannot hold {external.named(cls).name!r}, which is of slot {home}")  # type: ignore[attr-defined]
    external.named(cls)
    return instance


def link_settings(instance: Any) -> dict[str, Any]:
    """The inverse of `make_link`: `{"name": ..., field: value, ...}` with every field."""
    return plain_settings(instance) | {field: getattr(instance, field) for field in field_names(instance)}


def plain_settings(instance: Any) -> dict[str, Any]:
    """What `make_link` needs for a link of the same class with the flavor's values."""
    cls = type(instance)
    own = {"_target_": cls.TARGET, "_source_": _source_of(cls)} if hasattr(cls, "TARGET") else {}
    return {"name": instance.name, **own}


def _load_own(target: str, *, expected_source: str | None) -> Any:
    """The class of a file of one's own; `TARGET` on it says where it came from."""
    cls: Any = external.load_class(target)
    if missing := [f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING]:
        raise ValueError(f"{target}: field {', '.join(missing)} needs a default, so that a config can leave it out")
    if expected_source not in (None, found := _source_of(cls)):
        raise ValueError(
            f"{inspect.getsourcefile(cls)} is not what it was when this config was made (fingerprint {found}, then "
            f"{expected_source}); start a new run, or bring the file back"
        )
    cls.TARGET = target
    return cls


def _source_of(cls: type) -> str:
    """12 hex digits of the file that a class stands in."""
    return hashlib.sha256(Path(inspect.getsourcefile(cls)).read_bytes()).hexdigest()[:12]  # type: ignore[arg-type]


def unknown(what: str, name: object, choices: Iterable[str]) -> str:
    """The sentence for a name that is not among the choices, the nearest of them first."""
    choices = list(choices)
    near = difflib.get_close_matches(str(name), choices, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"unknown {what} {name!r}; {hint}choose from {', '.join(choices)}"


@dataclass(frozen=True)
class Estimator:
    """Advantages from rewards: the slots applied in order.

    Every group whose rewards are all equal gets what the formula says (0 for the group-relative ones), never NaN.
    An undecided completion (NaN reward) is left out of its group's mean and standard deviation and gets 0.
    """

    name: str
    flavor: str
    base: Any
    sample: Any
    group: Any
    token: Any
    match: Any

    def __call__(self, rewards_PG: Tensor, context: Context | None = None) -> Tensor:
        """Advantages [P, G] in the dtype of `rewards_PG` ([P, G], float32 or float64); [P, G, T] if `is_token_level`.

        Rewards in bfloat16 or float16 are computed with in float32, and so are their advantages.

        Raises:
            ValueError: not two-dimensional, not floating point, infinite rewards, G below the base's minimum, an input
                in the context that a link requires and that is not there, or `correct_PG` of another shape.
        """
        rewards_PG, context = widened(rewards_PG), (context or Context()).in_float32()
        self._check(rewards_PG, context)
        advantages = self.base(rewards_PG, context).masked_fill(rewards_PG.isnan(), 0.0)
        for part in (self.sample, self.group, self.token, self.match):
            advantages = part(advantages, rewards_PG, context)
        return advantages

    @property
    def min_group_size(self) -> int:
        """Smallest G for which the estimator means something."""
        return getattr(self.base, "MIN_GROUP_SIZE", 1)

    @property
    def laws(self) -> frozenset[str]:
        """The laws that this combination keeps: the base's, less what a link breaks."""
        broken = [getattr(getattr(self, slot), "BREAKS", ()) for slot in SLOTS]
        return (laws.DEFAULT | getattr(self.base, "LAWS", frozenset())).difference(*broken)

    @property
    def requires(self) -> frozenset[str]:
        """What it needs beside rewards, out of `INPUTS`."""
        return frozenset().union(*(getattr(getattr(self, slot), "REQUIRES", ()) for slot in SLOTS))

    @property
    def is_stateful(self) -> bool:
        """Whether its advantages depend on earlier batches, through `Context.state`."""
        return any(getattr(getattr(self, slot), "STATEFUL", False) for slot in SLOTS)

    @property
    def is_token_level(self) -> bool:
        """Whether its advantages are [P, G, T]."""
        return self.token.name != "none"

    def settings(self) -> dict[str, Any]:
        """Name, flavor and every field of every slot, as plain values."""
        slots = {slot: link_settings(getattr(self, slot)) for slot in SLOTS}
        return {"name": self.name, "flavor": self.flavor, **slots}

    def same_formula(self, other: Estimator) -> bool:
        """Whether both give the same advantages by construction, whatever they are called."""
        return all(getattr(self, slot) == getattr(other, slot) for slot in SLOTS)

    def _check(self, rewards_PG: Tensor, context: Context) -> None:
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
        if (given := context.correct_PG) is not None and given.shape != rewards_PG.shape:
            raise ValueError(
                f"Context.correct_PG must have the shape of the rewards, {list(rewards_PG.shape)}, "
                f"got {list(given.shape)}"
            )
        for name in sorted(self.requires):
            fields, words = INPUTS[name]
            if any(getattr(context, f) is None for f in fields):
                raise ValueError(f"advantage {self.name!r} needs {words} (Context.{', '.join(fields)})")
