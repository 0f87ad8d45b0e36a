"""The rules by which an answer equals a gold answer; whatever they leave open is asked of math-verify.

Texts are canonical (writing.py). The table of decisions is in docs/verifier.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agrae_lab.verify.numbers import equal, exact, is_plain, pending
from agrae_lab.verify.shapes import MAX_ITEMS, Shape, is_name, is_product, shape_of
from agrae_lab.verify.units import Quantity, compatible, read_quantity

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

Algebra = Callable[[str, str], bool]  # two canonical texts → whether math-verify calls them equal

_BASED = re.compile(
    r"\(?(-?[0-9A-Z]+)\)?_(?:([0-9]+)|\{\(?([0-9]+)\)?\}|\{?\\text\{(?:base\s*)?([a-z0-9]+)\}([0-9]*)\}?|\{([a-z]+)\})"
    r"|(-?[0-9A-Z]+)\s*\\text\{\(?(?:in )?base ([a-z0-9]+)\)?\}"
)
_BASE_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12,
}  # fmt: skip
_TIME = re.compile(r"([0-9]{1,2}):([0-5][0-9])(?::([0-5][0-9]))?(?:\\text\{([^{}]*)\}|\s?([a-zA-Z.]+))?")
_COMPOUND = re.compile(r"(-?[0-9.]+)((?:\\text\{[a-zA-Z. ,]*\}|\s?[a-zA-Z]++[\s.,]*)++)")
_LETTER = re.compile(r"(?:\\text\{)?\(?([A-Za-z])\)?[.:]?\}?")
_LABELLED = re.compile(r"\\text\{\(?([A-J])\)?[.:]?\}\s*(.+)|\(([A-J])\)\s*(.+)", re.DOTALL)
_OTHER_LABEL = re.compile(r"\([A-J]\)|\\text\{\(?[A-J]\)?\}|(?<![a-zA-Z])(?:or|and)(?![a-zA-Z])|,")
_DENIAL = re.compile(r"(?<![a-z])(?:not|no|never|neither|nor|isn't|false|wrong|incorrect)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Outcome:
    """Whether an answer equals the gold answer, and the rule that said so."""

    equal: bool
    rule: str


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
    for rule in (_as_based, _as_time, _as_choice):
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
    if found.kind == "ratio" and len(found.items) == 2 and not _TIME.fullmatch(answer) and read_quantity(gold):
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
    """Whether the members of a chain do not contradict its last one. Those with variables cannot."""
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
    if (compound := _compound(gold)) is not None:
        return Outcome(compound == _compound(answer), UNIT)
    if is_wordy(gold) or is_wordy(answer):
        return Outcome(_words(gold) == _words(answer), WORDS)
    return Outcome(algebra(gold, answer), ALGEBRA)


def _quantities(wanted: Quantity, found: Quantity, gold: str, answer: str, algebra: Algebra) -> Outcome:
    if not compatible(wanted, found):
        return Outcome(False, UNIT)
    same = equal(wanted.value, found.value)
    if not same and wanted.percent != found.percent:
        same = _hundredfold(wanted, found)
    if same is None:
        same = algebra(gold, answer)
    if same and not pending(wanted.value):
        plain = is_plain(wanted.value)
        if (plain and not is_plain(found.value)) or (not plain and pending(found.value)):
            return Outcome(False, UNEVALUATED)
    return Outcome(same, VALUE)


def _hundredfold(wanted: Quantity, found: Quantity) -> bool:
    """Whether one is so many per cent and the other the same as a share of one."""
    a, b = exact(wanted.value), exact(found.value)
    if a is None or b is None:
        return False
    return a == 100 * b if wanted.percent else b == 100 * a


def _compound(text: str) -> tuple | None:
    r"""2\text{ hours }30\text{ minutes} as its quantities."""
    pieces = list(_COMPOUND.finditer(text))
    if len(pieces) < 2 or "".join(piece[0] for piece in pieces) != text:
        return None
    read = [read_quantity(re.sub(r"[\s,]*(?:and)?[\s,]*(\}?)$", r"\1", piece[0])) for piece in pieces]
    return tuple((q.value, q.units) for q in read if q) if all(read) else None


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


# Words, times, bases, choices


def is_wordy(text: str) -> bool:
    r"""Whether a text has words: \text{…}, or nothing but letters that are no product."""
    if r"\text{" in text:
        return True
    return bool(re.fullmatch(r"[a-zA-Z]{2,}(?:[\s\-][a-zA-Z]+)*", text)) and not is_product(text)


def _words(text: str) -> str:
    """A text's words for comparison: in lower case, but a single letter as it is; math within stays."""
    bare = re.sub(r"\s+", "", re.sub(r"\\text\{([^{}]*)\}", r"\1", text)).strip(".,;:()")
    return bare if len(bare) == 1 else bare.casefold()


def _as_time(gold: str, answer: str) -> Outcome | None:
    """Times of day and lengths of time, where the gold answer is one."""
    wanted = _TIME.fullmatch(gold)
    if wanted is None:
        return None
    found = _TIME.fullmatch(answer)
    if found is None:
        return Outcome(False, TIME)
    same = [int(x or 0) for x in wanted.group(1, 2, 3)] == [int(x or 0) for x in found.group(1, 2, 3)]
    halves = [re.sub("[^a-z]", "", (m[4] or m[5] or "").lower()) for m in (wanted, found)]
    return Outcome(same and (halves[0] == halves[1] or "" in halves), TIME)


def _as_based(gold: str, answer: str) -> Outcome | None:
    """Numbers with a base: equal digits, and the same base or none. They are never converted."""
    wanted, found = _based(gold), _based(answer)
    if wanted is None and found is None:
        return None
    plain = [_digits(text) for text in (gold, answer)]
    digits_a, base_a = wanted or (plain[0], None)
    digits_b, base_b = found or (plain[1], None)
    if digits_a is None or digits_b is None:
        return Outcome(False, BASE)
    return Outcome(digits_a == digits_b and (base_a == base_b or None in (base_a, base_b)), BASE)


def is_based(text: str) -> bool:
    """Whether a text is a number with its base."""
    return _based(text) is not None


def _based(text: str) -> tuple[str, int] | None:
    match = _BASED.fullmatch(text.rpartition("=")[2])
    if match is None:
        return None
    digits, word = match[1] or match[7], match[4] or match[6] or match[8]
    base = match[2] or match[3] or match[5] or (str(_BASE_WORDS.get(word, "")) or word)
    return (digits, int(base)) if base.isdigit() else None


def _digits(text: str) -> str | None:
    bare = text.rpartition("=")[2]
    return bare if re.fullmatch(r"-?[0-9A-Z]+", bare) else None


def _as_choice(gold: str, answer: str) -> Outcome | None:
    r"""The letter of a choice: \text{(A)} 5 names A; (A) or (B) does not."""
    wanted = _LETTER.fullmatch(gold)
    if wanted is None:
        return None
    found = _LETTER.fullmatch(answer)
    if found is not None:
        return Outcome(wanted[1] == found[1], WORDS)
    labelled = _LABELLED.fullmatch(answer)
    if labelled is None or not wanted[1].isupper():
        return None
    letter, rest = labelled[1] or labelled[3], labelled[2] or labelled[4]
    return Outcome(letter == wanted[1] and not _OTHER_LABEL.search(rest), WORDS)
