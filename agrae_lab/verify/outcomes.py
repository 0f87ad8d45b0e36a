"""Outcomes of comparisons, and the names of the rules that decide them."""

from __future__ import annotations

from dataclasses import dataclass

# Rules, as rollouts and samples record them.
SAME_TEXT = "same text"
VALUE = "value"
UNEVALUATED = "not evaluated"
UNIT = "unit"
KIND = "kind"
ITEMS = "items"
CHAIN = "chain"
BASE = "base"
TIME = "time"
WORDS = "words"
ALGEBRA = "algebra"


@dataclass(frozen=True)
class Outcome:
    """Return whether an answer equals the gold answer, and the rule that said so."""

    equal: bool
    rule: str
