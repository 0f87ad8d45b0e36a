"""Check of a user's own link against the laws that it declares."""

from __future__ import annotations

import dataclasses
import itertools
import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.catalogue.facts import describe
from agrae_lab.advantages.estimator import INPUTS, SLOTS, Estimator, links, unknown_name_message
from agrae_lab.advantages.external import load_class
from agrae_lab.advantages.presets import make
from agrae_lab.advantages.properties import suite
from agrae_lab.advantages.properties.laws import ALWAYS, DECLARABLE, MEANING


@dataclass(frozen=True)
class Finding:
    """Finding about one law, or about one requirement of every link.

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
    """Return the link that `my_file:MyEstimator` names, in an estimator, and the findings about it.

    It is a base link unless the class has `SLOT = "sample"` (group, token, match); plain GRPO is then its base.

    Raises:
        ValueError: it cannot be tried: not found, no frozen dataclass, unknown slot, a field without default.
    """
    cls: Any = load_class(target)
    slot = _slot_of(cls)
    try:
        instance = cls()
    except Exception as error:  # a user's class may raise anything
        raise ValueError(f"{target} cannot be made from the defaults of its fields: {error}") from error
    for attribute, choices in (("LAWS", DECLARABLE), ("BREAKS", DECLARABLE), ("REQUIRES", INPUTS)):
        _check_names(target, attribute, getattr(cls, attribute, frozenset()), list(choices))
    if slot == "base" and not hasattr(cls, "LAWS"):
        raise ValueError(f"{target} declares no laws; write LAWS: ClassVar = frozenset({{...}}), which may be empty")
    estimator = dataclasses.replace(make("grpo"), name=cls.name, **{slot: instance})
    findings = [_docstring(cls), *(_law(law, estimator, slot) for law in MEANING)]
    return estimator, findings + ([_state(estimator, slot)] if estimator.is_stateful else [])


def _slot_of(cls: Any) -> str:
    registered = {link: slot for slot in SLOTS for link in links(slot).values()}
    slot = registered.get(cls) or getattr(cls, "SLOT", "base")
    if slot not in SLOTS:
        raise ValueError(unknown_name_message("SLOT", slot, SLOTS))
    return slot


def _check_names(target: str, attribute: str, names: Any, choices: list[str]) -> None:
    if not isinstance(names, (set, frozenset)):
        raise ValueError(f"{target}: {attribute} must be a frozenset of names, got {names!r}")
    for name in sorted(names, key=str):
        if name not in choices:
            raise ValueError(unknown_name_message(f"name in {attribute} of {target}", name, choices))


def _docstring(cls: type) -> Finding:
    description = describe(cls)
    if "=" not in description.formula or description.formula.startswith(f"{cls.__name__}("):
        words = "needs a paragraph `<formula>   (<source>).`, with an = and three spaces before the source"
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
    """Return the number of batches tried, and the smallest counter-example in words, if there is one."""
    num_tried = 0
    for rewards_PG in suite.all_batches(law, estimator.min_group_size):
        num_tried += 1
        try:
            found = suite.violation(law, estimator, rewards_PG)
        except Exception as error:  # a user's class may raise anything
            return num_tried, (f"rewards     {_digits(rewards_PG)}", f"raises      {type(error).__name__}: {error}")
        if found:
            width = max(len(words) for words in found)
            return num_tried, tuple(f"{words:{width}}  {_digits(values)}" for words, values in found.items())
    return num_tried, ()


def _state(estimator: Estimator, slot: str) -> Finding:
    """Check that a stateful link returns a new state that JSON can hold, and leaves the old one as it is."""
    name, link = "state", getattr(estimator, slot)
    batches = [suite.batch_of(r, requires=estimator.requires) for r in itertools.islice(suite.binary_batches(), 6, 9)]
    state: dict[str, Any] = {}
    for batch in batches:
        before = json.dumps(state)
        try:
            _, new_state = estimator.step(batch.rewards_PG, batch.context, state=state)
        except Exception as error:  # any error of a user's class
            words = "__call__ must take its state last and return (advantages, new state), but raises"
            return Finding(name, True, f"{words} {type(error).__name__}: {error}")
        if json.dumps(state) != before:
            return Finding(name, True, "must be replaced by a new value, not changed in place")
        try:
            json.dumps(new_state)
        except TypeError as error:
            return Finding(name, True, f"must be plain values that JSON can hold: {error}")
        state = new_state
    return Finding(name, False, f"{link.name!r} returns a new state for every batch, which fits into JSON")


def _digits(values: Tensor) -> str:
    """Return nested lists with four digits."""
    if values.ndim == 0:
        return f"{values.item() + 0.0:.4g}"
    kind = "" if values.ndim < 2 or values.dtype == torch.float64 else f" {str(values.dtype).removeprefix('torch.')}"
    return "[" + ", ".join(_digits(v) for v in values.double()) + "]" + kind
