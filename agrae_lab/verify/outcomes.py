"""What a comparison says, and the rules that say it."""

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
    """Whether an answer equals the gold answer, and the rule that said so."""

    equal: bool
    rule: str
