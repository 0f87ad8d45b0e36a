"""The rules by which an answer equals a gold answer; whatever they leave open is asked of math-verify.

Texts are canonical (writing.py). The table of decisions is in docs/verifier.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from agrae_lab.verify.labels import (
    compare_based,
    compare_choices,
    compare_times,
    compound_of,
    is_time,
    is_wordy,
    words_of,
)
from agrae_lab.verify.outcomes import (
    ALGEBRA,
    CHAIN,
    ITEMS,
    KIND,
    SAME_TEXT,
    UNEVALUATED,
    UNIT,
    VALUE,
    WORDS,
    Outcome,
)
from agrae_lab.verify.shapes import MAX_ITEMS, Shape, is_name, shape_of
from agrae_lab.verify.units import Quantity, compatible, read_quantity
from agrae_lab.verify.values import equal, exact, is_plain, pending

Algebra = Callable[[str, str], bool]  # two canonical texts → whether math-verify calls them equal

_DENIAL = re.compile(r"(?<![a-z])(?:not|no|never|neither|nor|isn't|false|wrong|incorrect)(?![a-z])", re.IGNORECASE)


class NeedsAlgebra(Exception):
    """The rules leave it to math-verify, which is not at hand."""


def no_algebra(gold: str, answer: str) -> bool:
    """The algebra of a process without math-verify.

    Raises:
        NeedsAlgebra: always.
    """
    raise NeedsAlgebra


def compare(gold: str, answer: str, algebra: Algebra = no_algebra) -> Outcome:
    """Compare two canonical texts.

    Raises:
        NeedsAlgebra: `algebra` is asked and cannot say.
        Exception: whatever math-verify and sympy raise.
    """
    if gold == answer:
        return Outcome(True, SAME_TEXT)
    for rule in (compare_based, compare_times, compare_choices):
        if (outcome := rule(gold, answer)) is not None:
            return outcome
    wanted, found = shape_of(gold), shape_of(answer)
    if max(len(wanted.items), len(found.items)) > MAX_ITEMS:
        return Outcome(False, KIND)
    if wanted.kind == "equation":
        return _equations(wanted, found, answer, algebra)
    if found.kind == "equation" and wanted.kind not in ("inequality", "interval", "union"):
        return _after_name(gold, found, algebra)
    if wanted.kind in ("list", "set"):
        return _unordered(wanted, found, algebra)
    if wanted.kind in ("interval", "union", "inequality"):
        return _ranges(gold, answer, wanted, found, algebra)
    if wanted.kind == "tuple":
        return _ordered(wanted, found, algebra)
    if wanted.kind == "matrix":
        if found.kind != "matrix":
            return _otherwise(gold, answer, found, algebra)
        if wanted.mark != found.mark:
            return Outcome(False, KIND)
        return _one_by_one(wanted.items, found.items, algebra)
    if wanted.kind == "ratio":
        return _ratios(wanted, found, algebra)
    if wanted.kind == "empty":
        return Outcome(found.kind == "empty", KIND)
    if r"\setminus" in gold and found.kind in ("union", "interval"):
        return Outcome(algebra(gold, answer), ALGEBRA)
    if found.kind == "set" and len(found.items) == 1 and wanted.kind in ("scalar", "words"):
        return compare(gold, found.items[0], algebra)
    if found.kind == "ratio" and len(found.items) == 2 and not is_time(answer) and read_quantity(gold):
        return compare(gold, rf"\frac{{{found.items[0]}}}{{{found.items[1]}}}", algebra)
    if found.kind not in ("scalar", "words", "matrix"):
        return Outcome(False, KIND)
    return _scalars(_item(wanted, gold), _item(found, answer), algebra)


def _item(shape: Shape, text: str) -> str:
    return shape.items[0] if shape.kind in ("scalar", "words") else text


# Collections


def _unordered(wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    """Lists and sets, in any order."""
    items = found.items if found.kind in ("list", "set") else None
    if wanted.kind == "list" and wanted.mark == "or" and found.kind in ("union", "interval", "inequality"):
        return _range_lists(wanted.items, found, algebra)
    if items is None and wanted.kind == "set" and len(wanted.items) == 1:
        return compare(wanted.items[0], found.items[0] if len(found.items) == 1 else "", algebra)
    if items is None:
        return Outcome(False, KIND)
    if len(items) != len(wanted.items):
        return Outcome(False, ITEMS)
    left = list(items)
    open_items = []
    for item in wanted.items:
        left.remove(item) if item in left else open_items.append(item)
    rule = SAME_TEXT
    for item in open_items:
        outcomes = ((other, compare(item, other, algebra)) for other in left)
        match = next(((other, outcome) for other, outcome in outcomes if outcome.equal), None)
        if match is None:
            return Outcome(False, ITEMS)
        left.remove(match[0])
        rule = match[1].rule
    return Outcome(True, rule)


def _ordered(wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    """Tuples and points, in order; a pair in parentheses may be meant as an open interval."""
    if len(wanted.items) == 2 and wanted.mark == "()" and found.kind == "inequality":
        return _ranges("", "", Shape("interval", wanted.items, "()"), found, algebra)
    if found.kind != "tuple" or found.mark != wanted.mark:
        return Outcome(False, KIND)
    return _one_by_one(wanted.items, found.items, algebra)


def _one_by_one(wanted: Sequence[str], found: Sequence[str], algebra: Algebra) -> Outcome:
    if len(wanted) != len(found):
        return Outcome(False, ITEMS)
    rule = SAME_TEXT
    for item, other in zip(wanted, found, strict=True):
        outcome = compare(item, other, algebra)
        if not outcome.equal:
            return Outcome(False, outcome.rule if outcome.rule == UNEVALUATED else ITEMS)
        rule = outcome.rule if outcome.rule != SAME_TEXT else rule
    return Outcome(True, rule)


Range = tuple[str, str, str]  # brackets, lower end, upper end


def _ranges(gold: str, answer: str, wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    """Intervals, their unions and inequalities in one variable."""
    if wanted.kind == found.kind == "inequality":
        return _inequalities(wanted, found, algebra)
    a, b = _as_ranges(wanted), _as_ranges(found)
    if b is None and r"\setminus" in answer:
        return Outcome(algebra(gold, answer), ALGEBRA)
    if a is None or b is None:
        if wanted.kind != "union" or found.kind not in ("union", "scalar"):
            return Outcome(False, KIND)
        return _unordered(Shape("set", wanted.items), Shape("set", found.items), algebra)
    return _same_ranges(a, b, algebra)


def _range_lists(items: Sequence[str], found: Shape, algebra: Algebra) -> Outcome:
    """x<1 or x>2, and the union of two intervals."""
    wanted = [_as_ranges(shape_of(item)) for item in items]
    other = _as_ranges(found)
    if other is None or any(each is None for each in wanted):
        return Outcome(False, KIND)
    return _same_ranges([r for each in wanted for r in each or ()], other, algebra)


def _same_ranges(wanted: Sequence[Range], found: Sequence[Range], algebra: Algebra) -> Outcome:
    if len(wanted) != len(found):
        return Outcome(False, ITEMS)
    left = list(found)
    for brackets, low, high in wanted:
        for other in left:
            ends = ((low, other[1]), (high, other[2]))
            if other[0] == brackets and all(_same_end(*end, algebra) for end in ends):
                left.remove(other)
                break
        else:
            return Outcome(False, ITEMS)
    return Outcome(True, ITEMS)


def _same_end(gold: str, answer: str, algebra: Algebra) -> bool:
    if r"\infty" in gold or r"\infty" in answer:
        return gold == answer
    return compare(gold, answer, algebra).equal


def _as_ranges(shape: Shape) -> list[Range] | None:
    if shape.kind == "interval" or (shape.kind == "tuple" and len(shape.items) == 2 and shape.mark == "()"):
        return [_range(shape.mark, *shape.items)]
    if shape.kind == "union" or (shape.kind == "list" and shape.mark == "or"):
        parts = [_as_ranges(shape_of(item)) for item in shape.items]
        return None if any(part is None for part in parts) else [r for part in parts for r in part or ()]
    return _inequality_as_range(shape) if shape.kind == "inequality" else None


def _range(mark: str, low: str, high: str) -> Range:
    low, high = (r"\infty" if end == r"+\infty" else end for end in (low, high))
    return ("(" if r"\infty" in low else mark[0]) + (")" if r"\infty" in high else mark[1]), low, high


def _inequality_as_range(shape: Shape) -> list[Range] | None:
    """a<x<b, x<b and a<x as intervals; None for all others."""
    signs, sides = shape.mark.split(), list(shape.items)
    if r"\ne" in signs or len({sign in (">", r"\ge") for sign in signs}) > 1:
        return None
    if signs[0] in (">", r"\ge"):
        sides, signs = sides[::-1], [{">": "<", r"\ge": r"\le"}[sign] for sign in reversed(signs)]
    closed = {"<": "()", r"\le": "[]"}
    if len(sides) == 3 and is_name(sides[1]):
        return [_range(closed[signs[0]][0] + closed[signs[1]][1], sides[0], sides[2])]
    if len(sides) != 2 or is_name(sides[0]) == is_name(sides[1]):
        return None
    if is_name(sides[0]):
        return [_range("(" + closed[signs[0]][1], r"-\infty", sides[1])]
    return [_range(closed[signs[0]][0] + ")", sides[0], r"\infty")]


def _inequalities(wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    """Two of one form, or one the other way round, side by side."""
    flipped = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\ne": r"\ne"}
    other = " ".join(flipped[sign] for sign in reversed(found.mark.split()))
    for mark, items in ((found.mark, found.items), (other, found.items[::-1])):
        if mark == wanted.mark:
            return _one_by_one(wanted.items, items, algebra)
    return Outcome(False, KIND)


# Equations and chains


def _equations(wanted: Shape, found: Shape, answer: str, algebra: Algebra) -> Outcome:
    """A gold answer with a sign of equality: name = value, or an equation proper."""
    if all(map(read_quantity, wanted.items)):  # 2/3 = 0.67, said twice
        if found.kind == "equation":
            return _one_by_one(wanted.items, found.items, algebra)
        outcomes = [compare(item, answer, algebra) for item in wanted.items]
        return next((outcome for outcome in outcomes if outcome.equal), outcomes[0])
    named = len(wanted.items) == 2 and is_name(wanted.items[0])
    if found.kind != "equation":
        return compare(wanted.items[1], answer, algebra) if named else Outcome(False, KIND)
    if len(found.items) == 2 and found.items[::-1] == wanted.items:
        return Outcome(True, SAME_TEXT)
    if named and found.items[0] == wanted.items[0]:
        if not _is_chain(found.items, algebra):
            return Outcome(False, CHAIN)
        return compare(wanted.items[1], found.items[-1], algebra)
    if len(wanted.items) != 2 or len(found.items) != 2:
        return Outcome(False, KIND)
    if read_quantity(wanted.items[1]) and all(map(is_name, (wanted.items[0], found.items[0]))):
        return Outcome(False, KIND)  # x = 2 is not y = 2, one the line that the other crosses
    return Outcome(algebra("=".join(wanted.items), "=".join(found.items)), ALGEBRA)


def _after_name(gold: str, found: Shape, algebra: Algebra) -> Outcome:
    """An answer such as x = 5 or 2+3 = 5: what comes last, if all that comes before is a name or equal to it."""
    items = found.items
    if len(items) == 2 and is_name(items[1]) and not is_name(items[0]):
        items = items[::-1]
    if not _is_chain(items, algebra):
        return Outcome(False, CHAIN)
    return compare(gold, items[-1], algebra)


def _is_chain(items: Sequence[str], algebra: Algebra) -> bool:
    """Return whether the members of a chain do not contradict its last one. Those with variables cannot."""
    last = read_quantity(items[-1])
    for number, item in enumerate(items[:-1]):
        quantity = None if number == 0 and item in ("e", "i") else read_quantity(item)
        if quantity is None:
            if _DENIAL.search(item) or shape_of(item).kind not in ("scalar", "words"):
                return False
            if not re.search(r"[a-zA-Z]", item):
                return False  # signs alone
        elif last is None or not _same_value(quantity, last):
            return False
    return True


def _same_value(a: Quantity, b: Quantity) -> bool:
    return a.percent == b.percent and (equal(a.value, b.value) or equal(b.value, a.value)) is True


# Scalars


def _scalars(gold: str, answer: str, algebra: Algebra) -> Outcome:
    wanted = read_quantity(gold)
    if wanted is not None:
        found = read_quantity(answer)
        if found is not None:
            return _quantities(wanted, found, gold, answer, algebra)
        if pending(wanted.value) and shape_of(answer).kind == "scalar":
            return Outcome(algebra(gold, answer), ALGEBRA)
        return Outcome(False, UNEVALUATED if shape_of(answer).kind == "scalar" else KIND)
    if (compound := compound_of(gold)) is not None:
        return Outcome(compound == compound_of(answer), UNIT)
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
        same = pending(wanted.value) and algebra(gold, answer)
    if same and not pending(wanted.value):
        plain = is_plain(wanted.value)
        if (plain and not is_plain(found.value)) or (not plain and pending(found.value)):
            return Outcome(False, UNEVALUATED)
    return Outcome(same, VALUE)


def _hundredfold(wanted: Quantity, found: Quantity) -> bool:
    """Return whether one is so many per cent and the other the same as a share of one."""
    a, b = exact(wanted.value), exact(found.value)
    if a is None or b is None:
        return False
    return a == 100 * b if wanted.percent else b == 100 * a


def _ratios(wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    if found.kind == "ratio":
        return _one_by_one(wanted.items, found.items, algebra)
    if len(wanted.items) == 2 and found.kind == "scalar":  # 3:2 as 3/2
        return compare(rf"\frac{{{wanted.items[0]}}}{{{wanted.items[1]}}}", found.items[0], algebra)
    return Outcome(False, KIND)


def _otherwise(gold: str, answer: str, found: Shape, algebra: Algebra) -> Outcome:
    """A matrix against something that may be one: a sum or a product of matrices."""
    if found.kind == "scalar" and "matrix" in answer:
        return Outcome(algebra(gold, answer), ALGEBRA)
    return Outcome(False, KIND)
