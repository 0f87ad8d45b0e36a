r"""Numbers in closed form: read into a tree, compared exactly, and asked whether an operation is left to carry out.

    tree = ("num", Fraction, digits) | ("const", "pi" | "e" | "i") | ("neg", t) | ("add", t, …) | ("mul", t, …)
         | ("div", t, t) | ("pow", t, t) | ("root", t, n) | ("fact", t)

`digits` is the number of significant digits of a decimal, 0 for other numerals. Everything here is bounded: the texts
have at most `limits.MAX_CHARS` characters and `limits.MAX_DEPTH` brackets, whole numbers at most MAX_BITS.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from decimal import Context, Decimal, DecimalException, localcontext
from fractions import Fraction
from typing import Any

Tree = tuple[Any, ...]

MAX_BITS = 70_000  # of a whole number written out, 20,000 digits
MAX_EXPONENT = 20_000  # of ten in scientific notation
MIN_DIGITS = 6  # significant digits of a decimal that stands for a number without an end
_PRECISION = 150
_TOLERANCE = Decimal(10) ** -120
_PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651"
    "32823066470938446095505822317253594081284811174502841027019385211055596446229489549303819644288109756659334461"
)
_TOKEN = re.compile(
    r"\s*(?P<repeat>[0-9]*\.[0-9]*(?:\\(?:overline|bar)\{?[0-9]+\}?|([0-9])\2\2+\\ldots))"
    r"|\s*(?P<e>[0-9]+(?:\.[0-9]+)?[eE][-+]?[0-9]+(?![0-9.]))|\s*(?P<number>[0-9]+(?:\.[0-9]*)?)"
    r"|\s*(?P<command>\\[a-zA-Z]+)|\s*(?P<char>[-+/^!(){}\[\]ei])"
)


class _Unread(Exception):
    """The text is no number in closed form."""


@functools.lru_cache(maxsize=8192)
def read_number(text: str) -> Tree | None:
    """Return the tree of a canonical text; None if it is anything else than a number in closed form."""
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
    """Recursive descent; `at` is the token at hand."""

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
        adjacent = False
        while (token := self.peek()) and token not in ("+", "-", ")", "}", "]"):
            if token == "/":
                self.take()
                factors = [("div", _scientific(factors), self.power())]
                continue
            if token == r"\cdot":
                self.take()
                factors.append(("neg", self.take("-") and self.power()) if self.peek() == "-" else self.power())
                continue
            if self.kind() in ("number", "e", "repeat") and (adjacent or factors[-1][0] == "num"):
                raise _Unread  # two numerals side by side
            whole = len(factors) == 1 and factors[0][0] == "num" and factors[0][1].denominator == 1
            start = self.at
            factor = self.power()
            if whole and self.tokens[start][1] == r"\frac" and (mixed := _mixed(factors[0], factor)):
                factors = [mixed]
                continue
            adjacent = self.kind() == "number"
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
    r"""1\frac{3}{4} as one numeral; None where the fraction is no proper one in whole numbers."""
    if fraction[0] != "div" or any(part[0] != "num" or part[1].denominator != 1 for part in fraction[1:]):
        return None
    above, below = fraction[1][1], fraction[2][1]
    if not 0 < above < below or math.gcd(int(above), int(below)) > 1:
        return None
    return ("num", whole[1] + above / below, 0)


def _scientific(factors: Sequence[Tree]) -> Tree:
    r"""4.5 \cdot 10^{33} as one numeral; other factors as a product."""
    if len(factors) == 1:
        return _power_of_ten(factors[0]) or factors[0]
    if len(factors) == 2 and factors[0][0] == "num" and (ten := _power_of_ten(factors[1])):
        return ("num", factors[0][1] * ten[1], factors[0][2])
    return ("mul", *factors)


def _power_of_ten(tree: Tree) -> Tree | None:
    if tree[0] != "pow" or tree[1][:2] != ("num", 10):
        return None
    exponent = (
        tree[2][1]
        if tree[2][0] == "num"
        else -tree[2][1][1]
        if tree[2][:1] == ("neg",) and (tree[2][1][0] == "num")
        else None
    )
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
    r"""0.1\overline{6}, 0.1666\ldots"""
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


def exact(tree: Tree) -> Fraction | None:
    """Return the value of a tree that is a rational number by its operations; None for others, and beyond MAX_BITS."""
    try:
        return _exact(tree)
    except (_Unread, ZeroDivisionError):
        return None


def _exact(tree: Tree) -> Fraction:
    kind = tree[0]
    if kind == "num":
        return tree[1]
    if kind == "const":
        raise _Unread
    values = [_exact(child) for child in tree[1:] if isinstance(child, tuple)]
    if sum(v.numerator.bit_length() + v.denominator.bit_length() for v in values) > MAX_BITS:
        raise _Unread
    if kind == "neg":
        return -values[0]
    if kind == "add":
        return sum(values, Fraction(0))
    if kind == "mul":
        return functools.reduce(lambda a, b: a * b, values)
    if kind == "div":
        return values[0] / values[1]
    if kind == "root":
        return _exact_root(values[0], tree[2])
    if kind == "fact":
        if values[0].denominator != 1 or not 0 <= values[0] <= 6000:
            raise _Unread
        return Fraction(math.factorial(int(values[0])))
    return _exact_power(*values)


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction:
    root = base if exponent.denominator == 1 else _exact_root(base, exponent.denominator)
    size = max(root.numerator.bit_length(), root.denominator.bit_length()) * abs(exponent.numerator)
    if size > MAX_BITS:
        raise _Unread
    return root**exponent.numerator


def _exact_root(value: Fraction, degree: int) -> Fraction:
    if value < 0:
        if degree % 2 == 0:
            raise _Unread
        return -_exact_root(-value, degree)
    return Fraction(_whole_root(value.numerator, degree), _whole_root(value.denominator, degree))


def _whole_root(number: int, degree: int) -> int:
    if number < 2:
        return number
    if degree > 4096:
        raise _Unread
    low, high = 1, 1 << (number.bit_length() // degree + 1)
    while low < high:  # the largest whole number whose power is at most `number`
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= number else (low, middle - 1)
    if low**degree != number:
        raise _Unread
    return low


Complex = tuple[Decimal, Decimal]


@functools.lru_cache(maxsize=8192)
def approximate(tree: Tree) -> Complex | None:
    """Return real and imaginary part to _PRECISION digits; None where a step has no such value or is too large."""
    context = Context(prec=_PRECISION, Emax=10**8, Emin=-(10**8))
    try:
        with localcontext(context):
            return _approximate(tree)
    except (_Unread, DecimalException, ZeroDivisionError, OverflowError, ValueError):
        return None


def _approximate(tree: Tree) -> Complex:
    value = exact(tree)
    if value is not None:
        return Decimal(value.numerator) / Decimal(value.denominator), Decimal(0)
    kind = tree[0]
    if kind == "const":
        return {"pi": (+_PI, Decimal(0)), "e": (Decimal(1).exp(), Decimal(0)), "i": (Decimal(0), Decimal(1))}[tree[1]]
    values = [_approximate(child) for child in tree[1:] if isinstance(child, tuple)]
    if kind == "neg":
        return -values[0][0], -values[0][1]
    if kind == "add":
        return sum((v[0] for v in values), Decimal(0)), sum((v[1] for v in values), Decimal(0))
    if kind == "mul":
        return functools.reduce(_times, values)
    if kind == "div":
        return _times(values[0], _inverse(values[1]))
    if kind == "root":
        return _root(values[0], tree[2])
    if kind == "pow":
        return _power(values[0], values[1], exact(tree[2]))
    raise _Unread


def _times(a: Complex, b: Complex) -> Complex:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _inverse(a: Complex) -> Complex:
    size = a[0] * a[0] + a[1] * a[1]
    return a[0] / size, -a[1] / size


def _root(a: Complex, degree: int) -> Complex:
    if a[1] != 0:
        raise _Unread
    if a[0] < 0:
        if degree == 2:
            return Decimal(0), (-a[0]).sqrt()
        if degree % 2 == 0:
            raise _Unread
        return -_root((-a[0], Decimal(0)), degree)[0], Decimal(0)
    if a[0] == 0:
        return a
    return (a[0].sqrt() if degree == 2 else (a[0].ln() / degree).exp()), Decimal(0)


def _power(base: Complex, exponent: Complex, whole: Fraction | None) -> Complex:
    if whole is not None and whole.denominator == 1 and abs(whole) <= 64:
        result = functools.reduce(_times, [base] * abs(int(whole)), (Decimal(1), Decimal(0)))
        return result if whole >= 0 else _inverse(result)
    if base[1] != 0 or base[0] <= 0 or exponent[1] != 0:
        raise _Unread
    return (exponent[0] * base[0].ln()).exp(), Decimal(0)


def equal(gold: Tree, answer: Tree) -> bool | None:
    """Return whether two numbers are equal; None if that cannot be told.

    Both exactly, whatever their size; only a decimal that stands for a gold number without an end (1/3, a surd, pi)
    may be that number rounded to the places it shows, and must show MIN_DIGITS significant digits.
    """
    a, b = exact(gold), exact(answer)
    if a is not None and b is not None and a == b:
        return True
    if b is not None and _is_decimal(answer) and not _has_an_end(gold, a):
        return _is_rounded(gold, b, answer)
    if a is not None and b is not None:
        return False
    return _nearly(approximate(gold), approximate(answer))


def _nearly(a: Complex | None, b: Complex | None) -> bool | None:
    if a is None or b is None:
        return None
    with localcontext(Context(prec=_PRECISION, Emax=10**9, Emin=-(10**9))):
        size = max(map(abs, (*a, *b)))
        return all(abs(x - y) <= size * _TOLERANCE for x, y in zip(a, b, strict=True))


def _is_decimal(tree: Tree) -> bool:
    tree = tree[1] if tree[0] == "neg" else tree
    return tree[0] == "num" and tree[2] >= MIN_DIGITS


def _has_an_end(gold: Tree, value: Fraction | None) -> bool:
    """Whether a gold number's decimals end: it must then be met exactly."""
    if value is None:
        return False
    below = value.denominator
    for prime in (2, 5):
        while below % prime == 0:
            below //= prime
    return below == 1


def _is_rounded(gold: Tree, shown: Fraction, answer: Tree) -> bool | None:
    value = approximate(gold)
    if value is None:
        return None
    places = shown_places(answer[1] if answer[0] == "neg" else answer)
    with localcontext(Context(prec=_PRECISION)):
        off = abs(value[0] - Decimal(shown.numerator) / Decimal(shown.denominator))
        return value[1] == 0 and off <= Decimal(10) ** -places / 2


def shown_places(numeral: Tree) -> int:
    """Return how many decimal places a decimal shows."""
    value, digits = numeral[1], numeral[2]
    if value == 0:
        return digits
    size = math.floor(math.log10(value.numerator) - math.log10(value.denominator))
    size += (value >= Fraction(10) ** (size + 1)) - (value < Fraction(10) ** size)
    return digits - 1 - size


def is_plain(tree: Tree) -> bool:
    """Whether a tree is a numeral or a fraction of whole numbers in lowest terms, with a sign or without."""
    tree = tree[1] if tree[0] == "neg" else tree
    return tree[0] == "num" or (tree[0] == "div" and exact(tree) is not None and not pending(tree))


def pending(tree: Tree) -> bool:
    """Whether an operation is left to carry out: 2+3, 2^3, 10/4, sqrt(4), 5!, sqrt(2)+sqrt(2); not so sqrt(8), 1/2."""
    kind = tree[0]
    children = [child for child in tree[1:] if isinstance(child, tuple)]
    if any(map(pending, children)):
        return True
    return {"add": _pending_sum, "mul": _pending_product, "div": _pending_fraction, "pow": _pending_power,
            "root": lambda t: exact(t) is not None, "fact": lambda t: True, "neg": lambda t: t[1][0] == "neg"}.get(
        kind, lambda t: False
    )(tree)  # fmt: skip


def _pending_sum(tree: Tree) -> bool:
    """Two rational terms, or two terms with the same irrational factor."""
    kinds = [_irrational(term) for term in tree[1:]]
    return len(set(kinds)) < len(kinds)


def _irrational(term: Tree) -> Any:
    """What is left of a term without its rational coefficient; () for a rational term."""
    if exact(term) is not None:
        return ()
    if term[0] == "neg":
        return _irrational(term[1])
    if term[0] == "mul":
        left = [_irrational(factor) for factor in term[1:] if exact(factor) is None]
        return left[0] if len(left) == 1 else tuple(sorted(left, key=repr))
    if term[0] == "div" and exact(term[2]) is not None:
        return _irrational(term[1])
    return term


def _pending_product(tree: Tree) -> bool:
    """Two rational factors, two roots of one degree, or one factor twice."""
    rational = sum(exact(factor) is not None for factor in tree[1:])
    degrees = [f[2] for f in tree[1:] if f[0] == "root"]
    others = [repr(f) for f in tree[1:] if exact(f) is None]
    return rational > 1 or len(set(degrees)) < len(degrees) or len(set(others)) < len(others)


def _pending_fraction(tree: Tree) -> bool:
    """A fraction of rational numbers that is not one of whole numbers in lowest terms; a common whole factor."""
    above, below = tree[1], tree[2]
    a, b = exact(above), exact(below)
    if a is not None and b is not None:
        return not (
            a.denominator == b.denominator == 1
            and all((t[1] if t[0] == "neg" else t)[0] == "num" for t in (above, below))
            and math.gcd(a.numerator, b.numerator) == 1
            and abs(b) != 1
        )
    return b in (1, -1) or math.gcd(_content(above), _content(below)) > 1


def _content(tree: Tree) -> int:
    """The whole number that divides every term; 1 where there is none."""
    value = exact(tree)
    if value is not None:
        return abs(value.numerator) if value.denominator == 1 else 1
    if tree[0] == "neg":
        return _content(tree[1])
    if tree[0] == "add":
        return math.gcd(*map(_content, tree[1:]))
    if tree[0] == "mul":
        return math.prod(map(_content, tree[1:]))
    return 1


def _pending_power(tree: Tree) -> bool:
    """A rational power that is rational, or a whole power above one of anything but pi and e."""
    if exact(tree) is not None:
        return True
    exponent = exact(tree[2])
    whole = exponent is not None and exponent.denominator == 1
    return whole and (tree[1] == ("const", "i") or tree[1][0] != "const" or exponent in (0, 1))
