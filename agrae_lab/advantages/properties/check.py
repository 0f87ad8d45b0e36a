"""Hold a link in a file of one's own to the laws that it declares."""

from __future__ import annotations

import dataclasses
import itertools
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.catalogue.facts import describe
from agrae_lab.advantages.estimator import INPUTS, SLOTS, Estimator, links, unknown
from agrae_lab.advantages.external import load_class
from agrae_lab.advantages.presets import make
from agrae_lab.advantages.properties import suite
from agrae_lab.advantages.properties.laws import ALWAYS, MEANING, OPTIONAL


@dataclass(frozen=True)
class Finding:
    """What was found about one law, or about one thing that every link must have.

    details: lines to print beneath, such as the smallest counter-example.
    """

    name: str
    is_fault: bool
    words: str
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{'FAULT' if self.is_fault else 'ok':5}  {self.name:24} {self.words}"
        return "\n".join([head, *(f"           {line}" for line in self.details)])


def check(target: str) -> tuple[Estimator, list[Finding]]:
    """The link that `my_file:MyEstimator` names, in an estimator, and what was found about it.

    It is a base link unless the class says `SLOT = "sample"` (group, token, match); such a one is tried on plain GRPO.

    Raises:
        ValueError: it cannot be tried: not found, no frozen dataclass, unknown slot, a field without default.
    """
    cls: Any = load_class(target)
    slot = _slot_of(cls)
    try:
        instance = cls()
    except Exception as error:  # whatever it is that somebody's class raises
        raise ValueError(f"{target} cannot be made from the defaults of its fields: {error}") from error
    for attribute, choices in (("LAWS", OPTIONAL), ("BREAKS", OPTIONAL), ("REQUIRES", INPUTS)):
        _check_names(target, attribute, getattr(cls, attribute, frozenset()), list(choices))
    if slot == "base" and not hasattr(cls, "LAWS"):
        raise ValueError(f"{target} declares no laws; write LAWS: ClassVar = frozenset({{...}}), which may be empty")
    estimator = dataclasses.replace(make("grpo"), name=cls.name, **{slot: instance})
    findings = [_docstring(cls), *(_law(law, estimator, slot) for law in MEANING)]
    return estimator, findings + ([_state(estimator, slot)] if estimator.is_stateful else [])


def _slot_of(cls: Any) -> str:
    registered = {link: slot for slot in SLOTS for link in links(slot).values()}
    slot = getattr(cls, "SLOT", registered.get(cls, "base"))
    if slot not in SLOTS:
        raise ValueError(unknown("SLOT", slot, SLOTS))
    return slot


def _check_names(target: str, attribute: str, names: Any, choices: list[str]) -> None:
    if not isinstance(names, (set, frozenset)):
        raise ValueError(f"{target}: {attribute} must be a frozenset of names, got {names!r}")
    for name in sorted(names, key=str):
        if name not in choices:
            raise ValueError(unknown(f"name in {attribute} of {target}", name, choices))


def _docstring(cls: type) -> Finding:
    description = describe(cls)
    if "=" not in description.formula or description.formula.startswith(f"{cls.__name__}("):
        words = "its first paragraph must be `<formula>   (<source>).`, three spaces before the source"
        return Finding("docstring", True, words)
    source = description.source or "no source named: `   (arXiv …, Eq. …)` after the formula is its place"
    return Finding("docstring", False, f"{' '.join(description.formula.split())}   ({source})")


def _law(law: str, estimator: Estimator, slot: str) -> Finding:
    expected = law in ALWAYS | estimator.laws
    num_tried, details = _search(law, estimator)
    if details and expected:
        words = "must hold for every estimator, but does not:" if law in ALWAYS else "declared, but broken:"
        return Finding(law, True, words, details)
    if details:
        return Finding(law, False, "not declared, and rightly:", details)
    tried = f"on all {num_tried} batches tried"
    if expected:
        return Finding(law, False, f"kept {tried}" + ("" if law in ALWAYS else ", as declared"))
    remedy = "declare it in LAWS" if slot == "base" else "take it out of BREAKS, unless it breaks on another base"
    return Finding(law, False, f"not declared, yet kept {tried}: {remedy}")


def _search(law: str, estimator: Estimator) -> tuple[int, tuple[str, ...]]:
    """How many batches were tried, and the smallest counter-example in words, if there is one."""
    num_tried = 0
    for rewards_PG in suite.all_batches(law, estimator.min_group_size):
        num_tried += 1
        try:
            found = suite.violation(law, estimator, rewards_PG)
        except Exception as error:  # whatever it is that somebody's class raises
            return num_tried, (f"rewards     {_digits(rewards_PG)}", f"raises      {type(error).__name__}: {error}")
        if found:
            width = max(len(words) for words in found)
            return num_tried, tuple(f"{words:{width}}  {_digits(values)}" for words, values in found.items())
    return num_tried, ()


def _state(estimator: Estimator, slot: str) -> Finding:
    """A stateful link puts a new value in the place of its own, one that JSON can hold."""
    name, link = "state", getattr(estimator, slot)
    batches = [suite.batch_of(r, requires=estimator.requires) for r in itertools.islice(suite.binary_batches(), 6, 9)]
    state: dict[str, Any] = {}
    for batch in batches:
        before, old = state.get(link.name), json.dumps(state)
        estimator(batch.rewards_PG, dataclasses.replace(batch.context, state=state))
        try:
            json.dumps(state)
        except TypeError as error:
            return Finding(name, True, f"must be plain values that JSON can hold: {error}")
        if set(state) != {link.name}:
            return Finding(name, True, f"must be kept in context.state[{link.name!r}] and nowhere else")
        if before is not None and json.dumps({link.name: before}) != old:
            return Finding(name, True, "must be replaced by a new value, not changed in place")
    return Finding(name, False, f"context.state[{link.name!r}] is replaced from batch to batch and fits into JSON")


def _digits(values: Tensor) -> str:
    """Nested lists with four digits."""
    if values.ndim == 0:
        return f"{values.item() + 0.0:.4g}"
    kind = "" if values.ndim < 2 or values.dtype == torch.float64 else f" {str(values.dtype).removeprefix('torch.')}"
    return "[" + ", ".join(_digits(v) for v in values.double()) + "]" + kind
