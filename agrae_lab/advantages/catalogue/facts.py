"""What there is to say of each estimator: its formula and source, its settings, its laws, and A for every p."""

from __future__ import annotations

import dataclasses
import inspect
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import SLOTS, Context, Estimator, links
from agrae_lab.advantages.presets import make, preset_names

NUM_GENERATIONS = 8
BATCH = (
    f"one batch with a group for each k = 0 … {NUM_GENERATIONS} correct out of {NUM_GENERATIONS} completions, the "
    "correct ones first, so that ω = 0.5, and the first batch of a training; where more than rewards is needed, all "
    "completions have the same length, token entropy and log-probability, and the reward is its only part"
)


@dataclass(frozen=True)
class Description:
    """A link's class docstring: formula and source, what follows on the same line, and the other paragraphs."""

    formula: str
    source: str
    remark: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """A field of a link: its default, and its value in the official flavor (the same, unless the two differ)."""

    name: str
    default: Any
    official: Any


@dataclass(frozen=True)
class Entry:
    """An estimator to be shown: a preset, or a link of another slot than base.

    beneath: the base that says nothing of it when other slots are filled.
    """

    name: str
    estimator: Estimator
    beneath: str = "grpo"

    @property
    def filled(self) -> dict[str, Any]:
        """Slot → link, as far as it is not "none"."""
        slots = {slot: getattr(self.estimator, slot) for slot in SLOTS}
        return {slot: part for slot, part in slots.items() if part.name != "none"}

    @property
    def links(self) -> dict[str, Any]:
        """The links that make it what it is."""
        others = {slot: part for slot, part in self.filled.items() if slot != "base"}
        is_plain = self.estimator.base == make(self.beneath).base
        return others if others and is_plain else self.filled

    @property
    def descriptions(self) -> dict[str, Description]:
        """Slot → what its link's docstring says, in the order of the slots."""
        return {slot: describe(type(part)) for slot, part in self.links.items()}

    @cached_property
    def advantages(self) -> tuple[list[float | None], list[float | None]]:
        """A+ and A− for k = 0 … 8 correct out of 8, each a mean over its completions; None where there are none."""
        rewards_PG = rewards_of_every_p()
        advantages = self.estimator(rewards_PG, _neutral_context(rewards_PG))
        advantages_PG = advantages if advantages.ndim == 2 else advantages.mean(dim=2)
        correct_PG = rewards_PG == 1
        return _means(advantages_PG, correct_PG), _means(advantages_PG, ~correct_PG)


def presets() -> list[Entry]:
    """Every preset: the bases first, then the combinations, each by name."""
    bases = links("base")
    names = sorted(preset_names(), key=lambda name: (name not in bases, name))
    return [Entry(name, make(name)) for name in names]


def other_links(slot: str) -> list[Entry]:
    """The links of a slot other than base, each alone on GRPO; a match link on Dr.GRPO, since it leaves GRPO alone."""
    base = "dr_grpo" if slot == "match" else "grpo"
    return [Entry(name, make(base, **{slot: name}), base) for name in links(slot) if name != "none"]


def describe(cls: type) -> Description:
    """Read a class docstring: `<formula>   (<source>). <remark>`, then paragraphs."""
    first, *paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(cls.__doc__ or ""))
    formula, _, rest = re.sub(r"\s{3,}\(|\n\s*\((?=arXiv)", "\0", first).partition("\0")
    depth, end = 1, 0
    while depth and end < len(rest):
        depth += {"(": 1, ")": -1}.get(rest[end], 0)
        end += 1
    source, remark = rest[: max(end - 1, 0)], rest[end:]
    return Description(
        formula.strip().removesuffix("."), _one_line(source), _one_line(remark.lstrip(" .,;")), tuple(paragraphs)
    )


def settings(part: Any) -> list[Setting]:
    """The fields of a link, with the values that it has and those of the official flavor."""
    official = getattr(part, "OFFICIAL", {})
    values = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    return [Setting(name, value, official.get(name, value)) for name, value in values.items()]


def rewards_of_every_p() -> Tensor:
    """A group for each number of correct completions, [9, 8], the correct ones first."""
    num = NUM_GENERATIONS
    return torch.tril(torch.ones(num + 1, num, dtype=torch.float64), diagonal=-1)


def _neutral_context(rewards_PG: Tensor) -> Context:
    """What may be needed beside rewards, alike for all completions."""
    tokens_PGT = torch.ones(*rewards_PG.shape, 2, dtype=rewards_PG.dtype)
    return Context(
        lengths_PG=torch.full(rewards_PG.shape, 2),
        parts={"reward": rewards_PG},
        entropies_PGT=0.5 * tokens_PGT,
        logprobs_PGT=-0.5 * tokens_PGT,
        mask_PGT=tokens_PGT.long(),
    )


def _means(advantages_PG: Tensor, chosen_PG: Tensor) -> list[float | None]:
    sums, counts = (advantages_PG * chosen_PG).sum(dim=1).tolist(), chosen_PG.sum(dim=1).tolist()
    return [s / n if n else None for s, n in zip(sums, counts, strict=True)]


def _one_line(text: str) -> str:
    return " ".join(text.split())
