"""Comparison of single values: quantities, words and expressions, and of chains such as 10/2 = 5.

Texts are canonical (writing.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agrae_lab.verify.labels import is_wordy, read_compound, words_of
from agrae_lab.verify.outcomes import ALGEBRA, KIND, UNEVALUATED, UNIT, VALUE, WORDS, Algebra, Outcome
from agrae_lab.verify.pending import is_pending, is_plain
from agrae_lab.verify.shapes import are_names, shape_of
from agrae_lab.verify.units import Quantity, compatible, read_quantity
from agrae_lab.verify.values import equal, exact

_DENIAL = re.compile(r"(?<![a-z])(?:not|no|never|neither|nor|isn't|false|wrong|incorrect)(?![a-z])", re.IGNORECASE)


def compare_scalars(gold: str, answer: str, algebra: Algebra) -> Outcome:
    """Compare two texts that are single values, words or expressions."""
    wanted = read_quantity(gold)
    if wanted is not None:
        found = read_quantity(answer)
        if wanted.bare and (found is None or found.units != wanted.units):  # 5m may be an expression in m
            expression = (found is None or bool(found.units)) and not is_wordy(answer)
            return Outcome(algebra(gold, answer), ALGEBRA) if expression else Outcome(False, UNIT)
        if found is not None:
            return _quantities(wanted, found, gold, answer, algebra)
        if is_pending(wanted.value) and shape_of(answer).kind == "scalar":
            return Outcome(algebra(gold, answer), ALGEBRA)
        return Outcome(False, UNEVALUATED if shape_of(answer).kind == "scalar" else KIND)
    if (compound := read_compound(gold)) is not None:
        return Outcome(compound == read_compound(answer), UNIT)
    if is_wordy(gold) or is_wordy(answer):
        return Outcome(words_of(gold) == words_of(answer), WORDS)
    return Outcome(algebra(gold, answer), ALGEBRA)


def _quantities(wanted: Quantity, found: Quantity, gold: str, answer: str, algebra: Algebra) -> Outcome:
    if not compatible(wanted, found):
        return Outcome(False, UNIT)
    same = equal(wanted.value, found.value)
    if not same and wanted.percent != found.percent:
        same = _hundredfold(wanted, found)
    if same is None:  # such as 1/0, which has no value
        same = is_pending(wanted.value) and algebra(gold, answer)
    if same and not is_pending(wanted.value):
        plain = is_plain(wanted.value)
        if (plain and not is_plain(found.value)) or (not plain and is_pending(found.value)):
            return Outcome(False, UNEVALUATED)
    return Outcome(same, VALUE)


def _hundredfold(wanted: Quantity, found: Quantity) -> bool:
    """Return whether one number is a percentage and the other the same share of one."""
    a, b = exact(wanted.value), exact(found.value)
    if a is None or b is None:
        return False
    return a == 100 * b if wanted.percent else b == 100 * a


def is_chain(items: Sequence[str]) -> bool:
    """Return whether no member of a chain contradicts its last one.

    Members with variables never contradict, and (x,y) contradicts no pair.
    """
    last = read_quantity(items[-1])
    for number, item in enumerate(items[:-1]):
        quantity = None if number == 0 and item in ("e", "i") else read_quantity(item)
        if quantity is None and are_names(item):
            if _form(item) != _form(items[-1]):
                return False
        elif quantity is None:
            if _DENIAL.search(item) or shape_of(item).kind not in ("scalar", "words"):
                return False
            if not re.search(r"[a-zA-Z]", item):
                return False  # signs alone
        elif last is None or not _same_value(quantity, last):
            return False
    return True


def _form(text: str) -> tuple[str, int, str]:
    """Return kind, number of items and brackets or size of a collection."""
    shape = shape_of(text)
    return shape.kind, len(shape.items), shape.mark


def _same_value(a: Quantity, b: Quantity) -> bool:
    return a.percent == b.percent and (equal(a.value, b.value) or equal(b.value, a.value)) is True
