"""Estimators: five slots in a row, base → sample → group → token → match.

    base    rewards → advantages                                   (GRPO, Dr.GRPO, RLOO, MaxRL, OPO, CurveRL, …)
    sample  weight of a prompt, by its success rate p              (hard_focused, easy_focused, dynamic, focal, …)
    group   weight of correct against incorrect completions        (scale_positive, attenuate, lead, ha_dw)
    token   advantages that differ from token to token             (entropy, rl_zvp)
    match   rescale the batch to plain GRPO's mass                 (l1, l2)

"sample" and "group" are the paper's words: its sample level weighs prompts, its group level weighs completions within a
group. These two slots also take a chain of several links (`chain.py`).
A link fills a slot: a small frozen dataclass with `__call__`, one file in the folder of its slot, entered in the
registry by `@link`. A named combination of links is a preset (`presets.py`).

Shapes: `rewards_PG` and `advantages_PG` are [P, G]: P prompts, G completions of each; a token link makes them
[P, G, T], T tokens. NaN marks the reward of an invalid completion, one without a verdict.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from agrae_lab.advantages import external
from agrae_lab.advantages.chain import Chain, links_in
from agrae_lab.advantages.context_checks import check_context
from agrae_lab.advantages.properties import laws
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import widened

T = TypeVar("T")
State = Mapping[str, Any]  # link name → values that JSON can hold

SLOTS = ("base", "sample", "group", "token", "match")
# formulas of the text; of the authors' code where that differs (OFFICIAL); with TRL's constants where it has them (TRL)
FLAVORS = ("paper", "official", "trl")

# name in REQUIRES (an input beside the rewards) → the fields of Context that hold it, and words for messages
INPUTS: dict[str, tuple[tuple[str, ...], str]] = {
    "lengths": (("lengths_PG",), "completion lengths"),
    "parts": (("parts",), "the reward components"),
    "entropies": (("entropies_PGT", "mask_PGT"), "token entropies"),
    "logprobs": (("logprobs_PGT", "mask_PGT"), "token log-probabilities"),
    "prompts": (("prompts",), "names of the prompts"),
}


@dataclass(frozen=True)
class Context:
    """Inputs of an estimator beside the rewards, all of the same batch.

    omega: mean accuracy of the whole batch, which is its mean reward for 0/1 rewards (Eq. 11). None: computed from the
        completions at hand; give it if those are only a part of the batch.
    correct_PG: 1 or True for a correct completion, 0 or False for any other. If given, p, ω and "correct" in a formula
        use it; the rest of the formula uses the rewards. None: the rewards are 0/1 and serve for both.
    lengths_PG: tokens of each completion.
    parts: reward components, name → [P, G].
    entropies_PGT, logprobs_PGT: of the sampling policy at each completion token, nats.
    mask_PGT: 1 at a completion token, 0 at padding.
    prompts: names of the P prompts, the same whenever a prompt comes again.
    """

    omega: float | None = None
    correct_PG: Tensor | None = None
    lengths_PG: Tensor | None = None
    parts: Mapping[str, Tensor] | None = None
    entropies_PGT: Tensor | None = None
    logprobs_PGT: Tensor | None = None
    mask_PGT: Tensor | None = None
    prompts: Sequence[str] | None = None

    def correctness(self, rewards_PG: Tensor) -> Tensor:
        """Return 1 for a correct completion, 0 for any other and NaN for an invalid one, [P, G].

        Without `correct_PG` these are the rewards themselves.
        """
        if self.correct_PG is None:
            return rewards_PG
        return self.correct_PG.to(rewards_PG).masked_fill(rewards_PG.isnan(), math.nan)

    def in_float32(self) -> Context:
        """Return the same context with bfloat16 and float16 tensors as float32."""
        tensors = {f.name: widened(getattr(self, f.name)) for f in dataclasses.fields(self)}
        if self.parts is not None:
            tensors["parts"] = {name: widened(part) for name, part in self.parts.items()}
        return dataclasses.replace(self, **tensors)


@dataclass(frozen=True)
class Empty:
    """A* = A, bit for bit: an empty slot."""

    name: ClassVar = "none"
    BREAKS: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, advantages: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        return advantages


_LINKS: dict[str, dict[str, Any]] = {slot: {} if slot == "base" else {Empty.name: Empty} for slot in SLOTS}


def link(slot: str, name: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: enter a link in the registry under `name`.

    The class is a frozen dataclass that inherits `Link` and declares the bounds of its settings (`settings.py`). A base
    link is called with (rewards_PG, context), one of another slot with (advantages, rewards_PG, context); both return
    advantages. Class attributes:

    OFFICIAL: {field: value in the authors' code}, taken by flavor="official", where it differs from the paper's value,
        which is the field's default. TRL: the same for flavor="trl".
    LAWS: laws that a base link keeps beyond `laws.DEFAULT`.
    BREAKS: laws that the link breaks; of a base link, only those in `laws.DEFAULT`.
    REQUIRES: inputs beside the rewards, see `INPUTS`.
    STATEFUL: True for a link that remembers earlier batches. It is called with its state as a last argument, None at
        first, and returns (advantages, new state). The state is made of plain values that JSON can hold; never change
        the old state in place.
    """
    assert slot in SLOTS, slot

    def register(cls: type[T]) -> type[T]:
        assert dataclasses.is_dataclass(cls), cls
        assert issubclass(cls, Link), cls
        assert name not in _LINKS[slot], f"{slot} link {name!r} is registered twice"
        cls.name, cls.SLOT = name, slot
        _LINKS[slot][name] = cls
        return cls

    return register


def links(slot: str) -> dict[str, Any]:
    """Return all links of a slot, name → class. The first call imports every module in the slot's folder."""
    _import_links(slot)
    return dict(sorted(_LINKS[slot].items()))


@functools.cache
def _import_links(slot: str) -> None:
    package = importlib.import_module(f"agrae_lab.advantages.{slot}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def field_names(cls_or_link: Any) -> list[str]:
    """Return the names of a link's settings, in the order of its definition."""
    return [f.name for f in dataclasses.fields(cls_or_link)]


def all_settings(instance: Any) -> dict[str, Any]:
    """Return `{"name": ..., field: value, ...}` with every field of a link or a chain: the inverse of `make_slot`."""
    if isinstance(instance, Chain):
        sections = {link.name: all_settings(link) for link in instance.links}
        for section in sections.values():
            section.pop("name")
        return {"name": instance.name, **sections}
    return name_settings(instance) | {field: getattr(instance, field) for field in field_names(instance)}


def name_settings(instance: Any) -> dict[str, Any]:
    """Return the settings that name a link's class; `make_link` gives the fields the flavor's values.

    `{"name": ...}`; with `_target_` and `_source_` for a class of the user's own file.
    """
    cls = type(instance)
    own = {"_target_": cls.TARGET, "_source_": external.source_fingerprint(cls)} if hasattr(cls, "TARGET") else {}
    return {"name": instance.name, **own}


def unknown_name_message(what: str, name: object, choices: Iterable[str]) -> str:
    """Return the message for a name that is not among the choices, the nearest of them first."""
    choices = list(choices)
    near = difflib.get_close_matches(str(name), choices, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"unknown {what} {name!r}; {hint}choose from {', '.join(choices)}"


@dataclass(frozen=True)
class Estimator:
    """Advantages from rewards: the slots applied in order.

    A group whose rewards are all equal gets the formula's value (0 for the group-relative ones), never NaN. An invalid
    completion (NaN reward) counts in no mean or standard deviation and gets 0.

    >>> from agrae_lab.advantages import make
    >>> make("a_grae", flavor="official")(Tensor([[1, 0, 0, 0], [1, 1, 1, 0]]))
    tensor([[ 0.7500, -0.5000, -0.5000, -0.5000],
            [ 0.5387,  0.5387,  0.5387, -3.2320]])
    """

    name: str
    flavor: str
    base: Any
    sample: Any
    group: Any
    token: Any
    match: Any

    def __call__(self, rewards_PG: Tensor, context: Context | None = None) -> Tensor:
        """Return the advantages of a first batch: `step` from an empty state."""
        return self.step(rewards_PG, context)[0]

    def step(
        self, rewards_PG: Tensor, context: Context | None = None, *, state: State | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Return the advantages of one batch of training and the state for the next one.

        Args:
            rewards_PG: [P, G], float32 or float64; bfloat16 and float16 are computed in float32.
            state: what the stateful links remember of earlier batches, as the last step returned it; it is not changed.
                None and {}: nothing yet.

        Returns:
            Advantages [P, G], or [P, G, T] if `is_token_level`, in the dtype of the rewards, float32 for narrower
            ones; and the new state, which JSON can hold and a checkpoint must.

        Raises:
            ValueError: not two-dimensional, not floating point, infinite rewards, G below the base's minimum, a missing
                input in the context that a link requires, or one of another shape or out of its range
                (`context_checks.py`).
        """
        rewards_PG, context = widened(rewards_PG), (context or Context()).in_float32()
        self._check(rewards_PG, context)
        new_state = dict(state or {})

        def apply(link_: Any, *inputs: Any) -> Tensor:
            if not getattr(link_, "STATEFUL", False):
                return link_(*inputs)
            advantages, new_state[link_.name] = link_(*inputs, new_state.get(link_.name))
            return advantages

        advantages = apply(self.base, rewards_PG, context).masked_fill(rewards_PG.isnan(), 0.0)
        for link_ in self.links[1:]:
            advantages = apply(link_, advantages, rewards_PG, context)
        return advantages, new_state

    @property
    def links(self) -> tuple[Any, ...]:
        """All links in the order in which they are applied, the base first."""
        return tuple(link_ for slot in SLOTS for link_ in links_in(getattr(self, slot)))

    @property
    def min_group_size(self) -> int:
        """Smallest G for which the estimator is defined."""
        return getattr(self.base, "MIN_GROUP_SIZE", 1)

    @property
    def laws(self) -> frozenset[str]:
        """Laws that this combination keeps: `laws.DEFAULT` and the base's LAWS, less the BREAKS of every slot."""
        broken = [getattr(link_, "BREAKS", ()) for link_ in self.links]
        return (laws.DEFAULT | getattr(self.base, "LAWS", frozenset())).difference(*broken)

    @property
    def requires(self) -> frozenset[str]:
        """Inputs beside the rewards that it needs, out of `INPUTS`."""
        return frozenset().union(*(getattr(link_, "REQUIRES", ()) for link_ in self.links))

    @property
    def is_stateful(self) -> bool:
        """True if its advantages depend on earlier batches."""
        return any(getattr(link_, "STATEFUL", False) for link_ in self.links)

    @property
    def is_token_level(self) -> bool:
        """True if its advantages are [P, G, T]."""
        return self.token.name != Empty.name

    def settings(self) -> dict[str, Any]:
        """Return name, flavor and every field of every slot as plain values."""
        slots = {slot: all_settings(getattr(self, slot)) for slot in SLOTS}
        return {"name": self.name, "flavor": self.flavor, **slots}

    def same_formula(self, other: Estimator) -> bool:
        """Return True if both give the same advantages by construction, whatever their names."""
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
        for name in sorted(self.requires):
            fields, words = INPUTS[name]
            if any(getattr(context, f) is None for f in fields):
                raise ValueError(f"advantage {self.name!r} needs {words} (Context.{', '.join(fields)})")
        check_context(context, rewards_PG, requires=self.requires)
