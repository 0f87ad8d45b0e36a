r"""Numbers in closed form, parsed into trees; values.py computes their values.

    tree = ("num", Fraction, digits) | ("const", "pi" | "e" | "i") | ("neg", t) | ("add", t, …) | ("mul", t, …)
         | ("div", t, t) | ("pow", t, t) | ("root", t, n) | ("fact", t)

`digits` is the number of significant digits of a decimal, 0 for other numerals. Texts have at most `limits.MAX_CHARS`
characters and `limits.MAX_DEPTH` brackets.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]

MAX_EXPONENT = 20_000  # of ten in scientific notation
_TOKEN = re.compile(
    r"\s*(?P<repeat>[0-9]*\.[0-9]*(?:\\(?:overline|bar)\{?[0-9]+\}?|([0-9])\2\2+\\ldots))"
    r"|\s*(?P<e>[0-9]+(?:\.[0-9]+)?[eE][-+]?[0-9]+(?![0-9.]))|\s*(?P<number>[0-9]+(?:\.[0-9]*)?)"
    r"|\s*(?P<command>\\[a-zA-Z]+)|\s*(?P<char>[-+/^!(){}\[\]ei])"
)


class _Unread(Exception):
    """A text is no number in closed form."""


@functools.lru_cache(maxsize=8192)
def read_number(text: str) -> Tree | None:
    """Return the tree of a canonical text; None if it is no number in closed form."""
    try:
        tokens = _tokens(text)
        parser = _Parser(tokens)
        tree = parser.sum()
        if parser.at != len(tokens):
            return None
    except (_Unread, RecursionError, ZeroDivisionError):
        return None
    return tree


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise _Unread
        kind = match.lastgroup
        tokens.append((kind, match[kind]))
        at = match.end()
    return tokens


class _Parser:
    """Recursive-descent parser; `at` is the index of the current token."""

    def __init__(self, tokens: Sequence[tuple[str, str]]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def kind(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        value = self.peek()
        if not value or (wanted is not None and value != wanted):
            raise _Unread
        self.at += 1
        return value

    def sum(self) -> Tree:
        terms = [self.signed()]
        while self.peek() in ("+", "-"):
            sign = self.take()
            term = self.product()
            terms.append(("neg", term) if sign == "-" else term)
        return terms[0] if len(terms) == 1 else ("add", *terms)

    def signed(self) -> Tree:
        if self.peek() == "+":
            self.take()
            return self.product()
        if self.peek() == "-":
            self.take()
            inner = self.signed() if self.peek() == "-" else self.product()
            return ("neg", inner)
        return self.product()

    def product(self) -> Tree:
        factors = [self.power()]
        numeral_follows = False
        while (token := self.peek()) and token not in ("+", "-", ")", "}", "]"):
            if token == "/":
                self.take()
                factors = [("div", _scientific(factors), self.power())]
                continue
            if token == r"\cdot":
                self.take()
                factors.append(("neg", self.take("-") and self.power()) if self.peek() == "-" else self.power())
                continue
            if self.kind() in ("number", "e", "repeat") and (numeral_follows or factors[-1][0] == "num"):
                raise _Unread  # two numerals side by side
            bracketed = self.tokens[self.at - 1][1] in (")", "]")  # (2)\frac{1}{2} is a product
            whole = len(factors) == 1 and factors[0][0] == "num" and factors[0][1].denominator == 1 and not bracketed
            start = self.at
            factor = self.power()
            if whole and self.tokens[start][1] == r"\frac" and (mixed := _mixed(factors[0], factor)):
                factors = [mixed]
                continue
            numeral_follows = self.kind() == "number"
            factors.append(factor)
        return _scientific(factors)

    def power(self) -> Tree:
        base = self.atom()
        while self.peek() in ("^", "!"):
            if self.take() == "!":
                base = ("fact", base)
                continue
            if self.peek() == r"\circ":
                raise _Unread
            sign = self.peek() == "-" and self.take()
            exponent = self.atom()
            base = ("pow", base, ("neg", exponent) if sign else exponent)
        return base

    def atom(self) -> Tree:
        kind, token = self.kind(), self.take()
        if kind == "number":
            digits = len(token.replace(".", "").lstrip("0")) if "." in token else 0
            return ("num", Fraction(token.rstrip(".")), digits)
        if kind == "e":
            return _with_exponent(token)
        if kind == "repeat":
            return _repeating(token)
        if token in ("e", "i"):
            return ("const", token)
        if token == r"\pi":
            return ("const", "pi")
        if token == r"\frac":
            above = self.braced()
            return ("div", above, self.braced())
        if token == r"\sqrt":
            degree = 2
            if self.peek() == "[":
                self.take()
                degree = int(self.take()) if self.kind() == "number" and self.peek().isdigit() else 0
                self.take("]")
            if not 2 <= degree <= 99:
                raise _Unread
            return ("root", self.braced(), degree)
        closing = {"(": ")", "{": "}", "[": "]"}.get(token)
        if closing is None:
            raise _Unread
        inner = self.sum()
        self.take(closing)
        return inner

    def braced(self) -> Tree:
        self.take("{")
        inner = self.sum()
        self.take("}")
        return inner


def _mixed(whole: Tree, fraction: Tree) -> Tree | None:
    r"""Return 1\frac{3}{4} as one numeral; None if the fraction is not a proper one in lowest terms."""
    if fraction[0] != "div" or any(part[0] != "num" or part[1].denominator != 1 for part in fraction[1:]):
        return None
    above, below = fraction[1][1], fraction[2][1]
    if not 0 < above < below or math.gcd(int(above), int(below)) > 1:
        return None
    return ("num", whole[1] + above / below, 0)


def _scientific(factors: Sequence[Tree]) -> Tree:
    r"""Return 4.5 \cdot 10^{33} as one numeral, and other factors as a product."""
    if len(factors) == 1:
        return _power_of_ten(factors[0]) or factors[0]
    if len(factors) == 2 and factors[0][0] == "num" and (ten := _power_of_ten(factors[1])):
        return ("num", factors[0][1] * ten[1], factors[0][2])
    return ("mul", *factors)


def _power_of_ten(tree: Tree) -> Tree | None:
    """Return a whole power of ten as one numeral; None for any other tree."""
    if tree[0] != "pow" or tree[1][:2] != ("num", 10):
        return None
    sign, numeral = (-1, tree[2][1]) if tree[2][0] == "neg" else (1, tree[2])
    exponent = sign * numeral[1] if numeral[0] == "num" else None
    if exponent is None or exponent.denominator != 1 or abs(exponent) > MAX_EXPONENT:
        return None
    return ("num", Fraction(10) ** int(exponent), 0)


def _with_exponent(token: str) -> Tree:
    mantissa, _, exponent = token.lower().partition("e")
    if len(exponent) > 6 or abs(int(exponent)) > MAX_EXPONENT:
        raise _Unread
    digits = len(mantissa.replace(".", "").lstrip("0")) if "." in mantissa else 0
    return ("num", Fraction(mantissa) * Fraction(10) ** int(exponent), digits)


def _repeating(token: str) -> Tree:
    r"""Return the numeral of a recurring decimal: 0.1\overline{6} or 0.1666\ldots."""
    if r"\ldots" in token:
        head = token.removesuffix(r"\ldots")
        period = head[-1]
        head = head.rstrip(period)
    else:
        head, _, rest = token.partition("\\")
        period = re.sub(r"[^0-9]", "", rest)
    whole, _, places = head.partition(".")
    shift = Fraction(1, 10 ** len(places))
    tail = Fraction(int(period), 10 ** len(period) - 1) * shift
    return ("num", Fraction(int(whole or 0)) + Fraction(int(places or 0)) * shift + tail, 0)
