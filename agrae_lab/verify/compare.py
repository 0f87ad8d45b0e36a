"""Rules by which an answer equals a gold answer; math-verify decides the rest.

Texts are canonical (writing.py). The table of decisions is in docs/verifier.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from agrae_lab.verify.labels import compare_based, compare_choices, compare_times
from agrae_lab.verify.outcomes import ALGEBRA, CHAIN, ITEMS, KIND, SAME_TEXT, UNEVALUATED, Algebra, Outcome
from agrae_lab.verify.ranges import FLIPPED, Range, read_ranges
from agrae_lab.verify.scalars import compare_scalars, is_chain
from agrae_lab.verify.shapes import MAX_ITEMS, Shape, are_names, is_collection, is_name, shape_of
from agrae_lab.verify.units import read_quantity


class NeedsAlgebra(Exception):
    """The rules do not decide, and math-verify is not available in this process."""


def no_algebra(gold: str, answer: str) -> bool:
    """Stand in for math-verify in a process that does not have it.

    Raises:
        NeedsAlgebra: always.
    """
    raise NeedsAlgebra


def compare(gold: str, answer: str, algebra: Algebra = no_algebra) -> Outcome:
    """Compare two canonical texts.

    Raises:
        NeedsAlgebra: the rules do not decide, and no `algebra` is given.
        Exception: any error of math-verify and sympy.
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
        return _compare_equations(wanted, found, answer, algebra)
    if found.kind == "equation" and wanted.kind not in ("inequality", "interval", "union"):
        return _compare_last_side(gold, found, algebra)
    if wanted.kind in ("list", "set"):
        return _compare_unordered(wanted, found, algebra)
    if wanted.kind in ("interval", "union", "inequality"):
        return _compare_ranges(gold, answer, wanted, found, algebra)
    if wanted.kind == "tuple":
        return _compare_ordered(wanted, found, algebra)
    if wanted.kind == "matrix":
        return _compare_matrices(gold, answer, wanted, found, algebra)
    if wanted.kind == "ratio":
        return _compare_ratios(wanted, found, algebra)
    if wanted.kind == "empty":
        return Outcome(found.kind == "empty", KIND)
    return _compare_single(gold, answer, wanted, found, algebra)


def _compare_single(gold: str, answer: str, wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    """Compare a gold answer that is one value, word or expression."""
    if r"\setminus" in gold and found.kind in ("union", "interval"):
        return Outcome(algebra(gold, answer), ALGEBRA)
    if found.kind == "set" and len(found.items) == 1:
        return compare(gold, found.items[0], algebra)
    is_ratio = found.kind == "ratio" and len(found.items) == 2 and found.items[1][0] != "0"  # 1:02 is a time
    if is_ratio and read_quantity(gold):
        return compare(gold, rf"\frac{{{found.items[0]}}}{{{found.items[1]}}}", algebra)
    if found.kind not in ("scalar", "words", "matrix"):
        return Outcome(False, KIND)
    other = found.items[0] if found.kind in ("scalar", "words") else answer
    return compare_scalars(wanted.items[0], other, algebra)


def _compare_unordered(wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    """Compare lists and sets, in any order."""
    items = found.items if found.kind in ("list", "set") else None
    if wanted.kind == "list" and wanted.mark == "or" and found.kind in ("union", "interval", "inequality"):
        return _compare_range_lists(wanted.items, found, algebra)
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


def _compare_ordered(wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    """Compare tuples and points, in order; a pair in parentheses may be an open interval."""
    if len(wanted.items) == 2 and wanted.mark == "()" and found.kind == "inequality":
        return _compare_ranges("", "", Shape("interval", wanted.items, "()"), found, algebra)
    if found.kind != "tuple" or found.mark != wanted.mark:
        return Outcome(False, KIND)
    return _compare_in_order(wanted.items, found.items, algebra)


def _compare_in_order(wanted: Sequence[str], found: Sequence[str], algebra: Algebra) -> Outcome:
    if len(wanted) != len(found):
        return Outcome(False, ITEMS)
    rule = SAME_TEXT
    for item, other in zip(wanted, found, strict=True):
        outcome = compare(item, other, algebra)
        if not outcome.equal:
            return Outcome(False, outcome.rule if outcome.rule == UNEVALUATED else ITEMS)
        rule = outcome.rule if outcome.rule != SAME_TEXT else rule
    return Outcome(True, rule)


def _compare_ranges(gold: str, answer: str, wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    """Compare intervals, their unions, and inequalities in one variable."""
    if wanted.kind == found.kind == "inequality":
        return _compare_inequalities(wanted, found, algebra)
    a, b = read_ranges(wanted), read_ranges(found)
    if b is None and r"\setminus" in answer:
        return Outcome(algebra(gold, answer), ALGEBRA)
    if a is None or b is None:
        if wanted.kind != "union" or found.kind not in ("union", "scalar"):
            return Outcome(False, KIND)
        return _compare_unordered(Shape("set", wanted.items), Shape("set", found.items), algebra)
    return _match_ranges(a, b, algebra)


def _compare_range_lists(items: Sequence[str], found: Shape, algebra: Algebra) -> Outcome:
    """Compare a gold list of ranges, such as x<1 or x>2, with a union or an inequality."""
    wanted = [read_ranges(shape_of(item)) for item in items]
    other = read_ranges(found)
    if other is None or any(each is None for each in wanted):
        return Outcome(False, KIND)
    return _match_ranges([r for each in wanted for r in each or ()], other, algebra)


def _match_ranges(wanted: Sequence[Range], found: Sequence[Range], algebra: Algebra) -> Outcome:
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


def _compare_inequalities(wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    """Compare two inequalities side by side, one of them flipped if need be."""
    other = " ".join(FLIPPED[sign] for sign in reversed(found.mark.split()))
    for mark, items in ((found.mark, found.items), (other, found.items[::-1])):
        if mark == wanted.mark:
            return _compare_in_order(wanted.items, items, algebra)
    return Outcome(False, KIND)


def _compare_matrices(gold: str, answer: str, wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    """Compare matrices entry by entry; a sum or product of matrices goes to math-verify."""
    if found.kind == "scalar" and "matrix" in answer:
        return Outcome(algebra(gold, answer), ALGEBRA)
    if found.kind != "matrix" or wanted.mark != found.mark:
        return Outcome(False, KIND)
    return _compare_in_order(wanted.items, found.items, algebra)


def _compare_equations(wanted: Shape, found: Shape, answer: str, algebra: Algebra) -> Outcome:
    """Compare a gold answer with a sign of equality: a named value, or an equation proper."""
    if all(map(read_quantity, wanted.items)):  # 2/3 = 0.67: one value in two forms
        if found.kind == "equation":
            return _compare_in_order(wanted.items, found.items, algebra)
        outcomes = [compare(item, answer, algebra) for item in wanted.items]
        return next((outcome for outcome in outcomes if outcome.equal), outcomes[0])
    name = wanted.items[0] if len(wanted.items) == 2 else ""
    named = is_name(name) or is_collection(name)  # k = 1 or (x,y) = (1,2)
    if found.kind != "equation":
        usual = is_name(name) or are_names(name)
        return compare(wanted.items[1], answer, algebra) if usual else Outcome(False, KIND)
    if len(found.items) == 2 and found.items[::-1] == wanted.items:
        return Outcome(True, SAME_TEXT)
    if named and found.items[0] == name:
        if not is_chain(found.items):
            return Outcome(False, CHAIN)
        return compare(wanted.items[1], found.items[-1], algebra)
    if len(wanted.items) != 2 or len(found.items) != 2 or is_collection(name):
        return Outcome(False, KIND)
    if read_quantity(wanted.items[1]) and all(map(is_name, (wanted.items[0], found.items[0]))):
        return Outcome(False, KIND)  # x = 2 and y = 2 are two lines
    return Outcome(algebra("=".join(wanted.items), "=".join(found.items)), ALGEBRA)


def _compare_last_side(gold: str, found: Shape, algebra: Algebra) -> Outcome:
    """Compare the last side of an answer such as x = 5 or 2+3 = 5, whose other sides are names or equal to it."""
    items = found.items
    names = [is_name(item) or are_names(item) for item in items]
    if names == [False, True]:
        items = items[::-1]
    if not is_chain(items):
        return Outcome(False, CHAIN)
    return compare(gold, items[-1], algebra)


def _compare_ratios(wanted: Shape, found: Shape, algebra: Algebra) -> Outcome:
    if found.kind == "ratio":
        return _compare_in_order(wanted.items, found.items, algebra)
    if len(wanted.items) == 2 and found.kind == "scalar":  # 3:2 as 3/2
        return compare(rf"\frac{{{wanted.items[0]}}}{{{wanted.items[1]}}}", found.items[0], algebra)
    return Outcome(False, KIND)
