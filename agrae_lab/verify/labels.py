"""Comparison of labels: words, times, numbers with a base, letters of choices.

Texts are canonical (writing.py).
"""

from __future__ import annotations

import re

from agrae_lab.verify.outcomes import BASE, TIME, WORDS, Outcome
from agrae_lab.verify.shapes import is_product
from agrae_lab.verify.units import read_quantity

_BASED = re.compile(
    r"\(?(-?[0-9A-Z]+(?:\.[0-9A-Z]+)?)\)?_(?:([0-9]+)|\{\(?([0-9]+)\)?\}|\{?\\text\{(?:base\s*)?([a-z0-9]+)\}([0-9]*)\}?|\{([a-z]+)\})"
    r"|(-?[0-9A-Z]+(?:\.[0-9A-Z]+)?)\s*(?:\\text\{)?\(?(?:in )?base\}?\s*([a-z0-9]+)\)?\}?"
)
_BASE_WORDS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12,
}  # fmt: skip
_TIME = re.compile(r"([0-9]{1,2}):([0-5][0-9])(?::([0-5][0-9]))?(?:\\text\{([^{}]*)\}|\s?([a-zA-Z.]+))?")
_COMPOUND = re.compile(r"(-?[0-9.]+)((?:\\text\{[a-zA-Z. ,]*\}|\s?[a-zA-Z]++[\s.,]*)++)")
_LETTER = re.compile(r"(?:\\text\{)?\(?([A-Za-z])\)?[.:]?\}?")
_QUOTED = re.compile(r"^\\text\{(-?[0-9A-Z][^{}]*)\}(?=$|_)")  # \text{5:30 p.m.}, \text{A3B}_{12}
# A choice's letter with its text: \text{(A)}5, \text{A. five}, (A)5, A)5, A.5
_LABELLED = re.compile(
    r"(?:\\text\{\(?([A-J])\)?[.:]?\}|(?:\\text\{)?(?:\(([A-J])\)|([A-J])[).:]))[.:]?\s*(.+)", re.DOTALL
)
_CAPITAL = re.compile(r"(?<![a-zA-Z\\])[A-J](?![a-zA-Z])")
_TAKEN_BACK = re.compile(  # or part of an expression: (A)^2
    r"(?<![a-zA-Z])(?:or|not|wrong|incorrect|maybe|perhaps)(?![a-zA-Z])|\?"
    r"|^\s*(?:[,^_!+*/'=<>&|]|\\(?:cdot|pm|mp|cup|cap|setminus)(?![a-zA-Z]))|^\W*(?:text\W*)?(?:is|was|isn|would|may|might|can)(?![a-zA-Z])"
)


def is_wordy(text: str) -> bool:
    r"""Return whether a text has words: \text{…}, or nothing but letters that are no product."""
    if r"\text{" in text:
        return True
    return bool(re.fullmatch(r"[a-zA-Z]{2,}(?:[\s\-][a-zA-Z]+)*", text)) and not is_product(text)


def words_of(text: str) -> str:
    """Return the words of a text in lower case, without spaces; a single letter keeps its case."""
    bare = re.sub(r"\s+", "", re.sub(r"\\text\{([^{}]*)\}", r"\1", text)).strip(".,;:()")
    return bare if len(bare) == 1 else bare.casefold()


def compare_times(gold: str, answer: str) -> Outcome | None:
    """Compare times of day and lengths of time; None if the gold answer is neither.

    A ratio such as 3:20 is read as a time.
    """
    wanted, found = (_TIME.fullmatch(_QUOTED.sub(r"\1", text)) for text in (gold, answer))
    if wanted is None:
        return None
    if found is None:
        return Outcome(False, TIME)
    same = [int(x or 0) for x in wanted.group(1, 2, 3)] == [int(x or 0) for x in found.group(1, 2, 3)]
    halves = [re.sub("[^a-z]", "", (m[4] or m[5] or "").lower()) for m in (wanted, found)]
    return Outcome(same and (halves[0] == halves[1] or "" in halves), TIME)


def compare_based(gold: str, answer: str) -> Outcome | None:
    """Compare numbers with a base, decimals too: equal digits, and the same base or none. No number is converted.

    None if neither text has a base.
    """
    wanted, found = _read_based(gold), _read_based(answer)
    if wanted is None and found is None:
        return None
    plain = [_digits(text) for text in (gold, answer)]
    digits_a, base_a = wanted or (plain[0], None)
    digits_b, base_b = found or (plain[1], None)
    if digits_a is None or digits_b is None:
        return Outcome(False, BASE)
    return Outcome(digits_a == digits_b and (base_a == base_b or None in (base_a, base_b)), BASE)


def is_based(text: str) -> bool:
    """Return whether a text is a number with its base."""
    return _read_based(text) is not None


def _read_based(text: str) -> tuple[str, int] | None:
    """Return digits and base of a number with a base; A_1 is a name."""
    match = _BASED.fullmatch(_QUOTED.sub(r"\1", text.rpartition("=")[2]))
    if match is None:
        return None
    digits, word = match[1] or match[7], match[4] or match[6] or match[8]
    base = match[2] or match[3] or match[5] or (str(_BASE_WORDS.get(word, "")) or word)
    if not base.isdigit() or len(base) > 2 or not re.search("[0-9]", digits):
        return None
    letters = re.findall("[A-Z]", digits)
    return None if any(int(letter, 36) >= int(base) for letter in letters) else (digits, int(base))


def _digits(text: str) -> str | None:
    """Return the digits of a number, after a name and `=` if there is one."""
    bare = text.rpartition("=")[2]
    return bare if re.fullmatch(r"-?[0-9A-Z]+(?:\.[0-9A-Z]+)?", bare) else None


def compare_choices(gold: str, answer: str) -> Outcome | None:
    r"""Compare letters of choices: \text{(A)} 5 names A; (A) or (B) does not.

    None if the gold answer is no letter, or the answer has none in front.
    """
    wanted = _LETTER.fullmatch(gold)
    if wanted is None:
        return None
    found = _LETTER.fullmatch(answer)
    if found is not None:
        return Outcome(wanted[1] == found[1], WORDS)
    labelled = _LABELLED.fullmatch(answer)
    if labelled is None or not wanted[1].isupper():
        return None
    letter, rest = labelled[1] or labelled[2] or labelled[3], labelled[4]
    alone = set(_CAPITAL.findall(rest)) <= {letter} and not _TAKEN_BACK.search(rest)
    return Outcome(letter == wanted[1] and alone, WORDS)


def read_compound(text: str) -> tuple | None:
    r"""Return the quantities of a text such as 2\text{ hours }30\text{ minutes}; None for any other text."""
    pieces = list(_COMPOUND.finditer(text))
    if len(pieces) < 2 or "".join(piece[0] for piece in pieces) != text:
        return None
    read = [read_quantity(re.sub(r"[\s,]*(?:(?<![a-zA-Z])and)?[\s,]*(\}?)$", r"\1", piece[0])) for piece in pieces]
    return tuple((q.value, q.units) for q in read if q) if all(read) else None
