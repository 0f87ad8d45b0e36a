"""Refusal of answers that are too heavy to parse. Pure text work, linear in the text."""

from __future__ import annotations

import math
import re

MAX_CHARS = 500  # the longest gold answer of MATH, Minerva and OlympiadBench has 210
MAX_DEPTH = 20  # brackets within brackets; the deepest gold answer has 4
MAX_DIGITS = 20_000  # of a power or factorial written out; 2^{4950}, a gold answer of MATH, has 1,491
SHOWN_CHARS = 80  # of a refused answer

_TOWER = re.compile(r"\d+(?:\s*(?:\^|\*\*)\s*[-+]?\s*\d+)+")
_FACTORIAL = re.compile(r"(\d+)\s*!")
_THRICE = re.compile(r"(?:![\s)]*){3}")  # a factorial taken three times
_BINOMIAL = re.compile(r"\\[dt]?binom\s*\{([^{}]*)\}")


def refusal(answer: str) -> str | None:
    """Return the reason not to parse an answer, in words; None if it may be parsed.

    The hard limits on time and memory (server.py) hold in any case; this check is cheaper.
    """
    if len(answer) > MAX_CHARS:
        return f"longer than {MAX_CHARS} characters"
    if _depth(answer) > MAX_DEPTH:
        return f"more than {MAX_DEPTH} brackets deep"
    if _num_digits(answer) > MAX_DIGITS:
        return f"a number of more than {MAX_DIGITS} digits"
    return None


def _depth(text: str) -> int:
    """Return the depth of nested brackets."""
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth -= 1
    return deepest


def _num_digits(answer: str) -> float:
    """Return the number of digits of the largest power or factorial in an answer; inf beyond all bounds."""
    flat = re.sub(r"[{}(\[]|\\left|\\cdot", " ", answer)  # 9^{9^{9}} reads 9^ 9^ 9; (2^3)^4 stays two powers
    towers = [[int(n) for n in re.findall(r"\d+", tower)] for tower in _TOWER.findall(flat)]
    factorials = [int(n) * math.log10(int(n) + 1) for n in _FACTORIAL.findall(flat)]  # n! < n^n
    if _THRICE.search(flat):
        return math.inf
    binomials = [math.log10(2) * _value(above) for above in _BINOMIAL.findall(answer)]  # at most 2^n
    return max([0.0, *map(_tower_digits, towers), *factorials, *binomials])


def _value(text: str) -> float:
    """Return the value of a whole number or of a power of one; 0 for any other text."""
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    if not re.fullmatch(r"\s*\d+(?:\s*\^\s*\d+)?\s*", text):
        return 0.0
    digits = _tower_digits(numbers)
    return 10.0**digits if digits < 300 else math.inf


def _tower_digits(numbers: list[int]) -> float:
    """Return the number of digits of a^(b^(c…))."""
    exponent = 1
    for number in reversed(numbers[1:]):
        if exponent * math.log10(max(number, 1)) > 9:
            return math.inf
        exponent = number**exponent
    return exponent * math.log10(max(numbers[0], 1))
