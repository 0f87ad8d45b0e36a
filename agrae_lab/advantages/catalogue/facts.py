"""Facts of each estimator: purpose, formula and source, settings, laws, and A for every p."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.construction import flavor_values
from agrae_lab.advantages.estimator import FLAVORS, SLOTS, Context, Empty, Estimator, links
from agrae_lab.advantages.presets import make, preset_names
from agrae_lab.advantages.settings import settings_of

NUM_GENERATIONS = 8
BATCH = (
    f"one batch with a group for each k = 0 … {NUM_GENERATIONS} correct out of {NUM_GENERATIONS} completions, the "
    "correct ones first, so that ω = 0.5, and the first batch of a training; of the inputs beside rewards, all "
    "completions have the same length, token entropy and log-probability, and the reward is its only component"
)


@dataclass(frozen=True)
class Description:
    """A link's class docstring: purpose, formula and source, the rest of that paragraph, other paragraphs, example."""

    purpose: str
    formula: str
    source: str
    remark: str
    paragraphs: tuple[str, ...]
    example: str


@dataclass(frozen=True)
class Value:
    """A setting of a link: its value, flavor → another value, its bounds and its description."""

    name: str
    value: Any
    flavors: Mapping[str, Any]
    bounds: str
    description: str

    def __str__(self) -> str:
        others = ", ".join(f"{flavor} flavor: {value}" for flavor, value in self.flavors.items())
        return f"{self.name} = {self.value}" + (f" ({others})" if others else "")


@dataclass(frozen=True)
class Entry:
    """An estimator of the catalogue: a preset, or a link of another slot than base.

    beneath: the base that its description leaves out if other slots are filled.
    """

    name: str
    estimator: Estimator
    beneath: str = "grpo"

    @property
    def filled(self) -> dict[str, Any]:
        """Slot → link, empty slots left out."""
        slots = {slot: getattr(self.estimator, slot) for slot in SLOTS}
        return {slot: link for slot, link in slots.items() if not isinstance(link, Empty)}

    @property
    def links(self) -> dict[str, Any]:
        """Slot → link, without the base beneath if other slots are filled."""
        others = {slot: link for slot, link in self.filled.items() if slot != "base"}
        is_plain = self.estimator.base == make(self.beneath).base
        return others if others and is_plain else self.filled

    @property
    def descriptions(self) -> dict[str, Description]:
        """Slot → description of its link, in the order of the slots."""
        return {slot: describe(type(link)) for slot, link in self.links.items()}

    @cached_property
    def advantages(self) -> tuple[list[float | None], list[float | None]]:
        """A+ and A− for k = 0 … 8 correct out of 8, each a mean over its completions; None without any."""
        rewards_PG = rewards_of_every_p()
        advantages = self.estimator(rewards_PG, _neutral_context(rewards_PG))
        advantages_PG = advantages if advantages.ndim == 2 else advantages.mean(dim=2)
        correct_PG = rewards_PG == 1
        return _means(advantages_PG, correct_PG), _means(advantages_PG, ~correct_PG)


def presets() -> list[Entry]:
    """Return every preset: the bases first, then the combinations, each by name."""
    bases = links("base")
    names = sorted(preset_names(), key=lambda name: (name not in bases, name))
    return [Entry(name, make(name)) for name in names]


def other_links(slot: str) -> list[Entry]:
    """Return the links of a slot other than base, each alone on GRPO.

    Match links are on Dr.GRPO, since they do not change GRPO.
    """
    base = "dr_grpo" if slot == "match" else "grpo"
    return [Entry(name, make(base, **{slot: name}), base) for name in links(slot) if name != Empty.name]


def describe(cls: type) -> Description:
    """Read a class docstring: purpose, `<formula>   (<source>). <remark>`, other paragraphs, and an example.

    The purpose and the example may be missing; the formula is the first paragraph with an equals sign.
    """
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(cls.__doc__ or ""))
    place = next((i for i, text in enumerate(paragraphs) if "=" in text and not text.startswith(">>>")), 0)
    formula, _, rest = re.sub(r"\s{3,}\(|\n\s*\((?=arXiv)", "\0", paragraphs[place]).partition("\0")
    depth, end = 1, 0
    while depth and end < len(rest):
        depth += {"(": 1, ")": -1}.get(rest[end], 0)
        end += 1
    source, remark = rest[: max(end - 1, 0)], rest[end:]
    others = paragraphs[place + 1 :]
    return Description(
        purpose=one_line(" ".join(paragraphs[:place])),
        formula=formula.strip().removesuffix("."),
        source=one_line(source),
        remark=one_line(remark.lstrip(" .,;")),
        paragraphs=tuple(text for text in others if not text.startswith(">>>")),
        example="\n".join(text for text in others if text.startswith(">>>")),
    )


def values(link: Any) -> list[Value]:
    """Return the settings of a link with their values."""
    cls: Any = type(link)
    found = []
    for s in settings_of(cls):
        value = getattr(link, s.name)
        others = {flavor: flavor_values(cls, flavor).get(s.name, value) for flavor in FLAVORS}
        others = {flavor: other for flavor, other in others.items() if other != value}
        found.append(Value(s.name, value, others, s.words, s.description))
    return found


def rewards_of_every_p() -> Tensor:
    """Return a group for each number of correct completions, [9, 8], the correct ones first."""
    num = NUM_GENERATIONS
    return torch.tril(torch.ones(num + 1, num, dtype=torch.float64), diagonal=-1)


def _neutral_context(rewards_PG: Tensor) -> Context:
    """Return every input beside rewards, alike for all completions."""
    tokens_PGT = torch.ones(*rewards_PG.shape, 2, dtype=rewards_PG.dtype)
    return Context(
        lengths_PG=torch.full(rewards_PG.shape, 2),
        parts={"reward": rewards_PG},
        entropies_PGT=0.5 * tokens_PGT,
        logprobs_PGT=-0.5 * tokens_PGT,
        mask_PGT=tokens_PGT.long(),
        prompts=[f"prompt {i}" for i in range(len(rewards_PG))],
    )


def _means(advantages_PG: Tensor, chosen_PG: Tensor) -> list[float | None]:
    sums, counts = (advantages_PG * chosen_PG).sum(dim=1).tolist(), chosen_PG.sum(dim=1).tolist()
    return [s / n if n else None for s, n in zip(sums, counts, strict=True)]


def one_line(text: str) -> str:
    """Return the text with every run of whitespace as one space."""
    return " ".join(text.split())
