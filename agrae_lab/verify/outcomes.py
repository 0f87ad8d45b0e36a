"""Outcomes of comparisons, and the names of the rules that decide them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Algebra = Callable[[str, str], bool]  # gold and answer, canonical → whether math-verify calls them equal

# Rules, as the column `rule` of rollouts and samples records them.
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
    """Result of a comparison: whether the answer equals the gold answer, and the rule that decided."""

    equal: bool
    rule: str
