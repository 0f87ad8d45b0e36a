"""Values of numbers in closed form, exact or to many digits, and their equality.

The trees are those of numbers.py. Whole numbers on the way have at most MAX_BITS.
"""

from __future__ import annotations

import functools
import math
from decimal import Context, Decimal, DecimalException, localcontext
from fractions import Fraction

from agrae_lab.verify.numbers import Tree

MAX_BITS = 70_000  # of a whole number written out, 20,000 digits
MIN_DIGITS = 6  # significant digits of a decimal that stands for a number without an end, such as 1/3
_PRECISION = 150
_TOLERANCE = Decimal(10) ** -120
_PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651"
    "32823066470938446095505822317253594081284811174502841027019385211055596446229489549303819644288109756659334461"
)


class _NoValue(Exception):
    """A tree has no value of the kind asked for, or one that is too large."""


def exact(tree: Tree) -> Fraction | None:
    """Return the exact value of a tree of rational operations; None for any other tree, and beyond MAX_BITS."""
    try:
        return _exact(tree)
    except (_NoValue, ZeroDivisionError):
        return None


def _exact(tree: Tree) -> Fraction:
    kind = tree[0]
    if kind == "num":
        return tree[1]
    if kind == "const":
        raise _NoValue
    values = [_exact(child) for child in tree[1:] if isinstance(child, tuple)]
    if sum(v.numerator.bit_length() + v.denominator.bit_length() for v in values) > MAX_BITS:
        raise _NoValue
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
            raise _NoValue
        return Fraction(math.factorial(int(values[0])))
    return _exact_power(*values)


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction:
    root = base if exponent.denominator == 1 else _exact_root(base, exponent.denominator)
    size = max(root.numerator.bit_length(), root.denominator.bit_length()) * abs(exponent.numerator)
    if size > MAX_BITS:
        raise _NoValue
    return root**exponent.numerator


def _exact_root(value: Fraction, degree: int) -> Fraction:
    if value < 0:
        if degree % 2 == 0:
            raise _NoValue
        return -_exact_root(-value, degree)
    return Fraction(_whole_root(value.numerator, degree), _whole_root(value.denominator, degree))


def _whole_root(number: int, degree: int) -> int:
    if number < 2:
        return number
    if degree > 4096:
        raise _NoValue
    low, high = 1, 1 << (number.bit_length() // degree + 1)
    while low < high:  # the largest whole number whose power is at most `number`
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= number else (low, middle - 1)
    if low**degree != number:
        raise _NoValue
    return low


Complex = tuple[Decimal, Decimal]


@functools.lru_cache(maxsize=8192)
def approximate(tree: Tree) -> Complex | None:
    """Return real and imaginary part to _PRECISION digits; None if a step has no value or one that is too large."""
    context = Context(prec=_PRECISION, Emax=10**8, Emin=-(10**8))
    try:
        with localcontext(context):
            return _approximate(tree)
    except (_NoValue, DecimalException, ZeroDivisionError, OverflowError, ValueError):
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
    raise _NoValue


def _times(a: Complex, b: Complex) -> Complex:
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def _inverse(a: Complex) -> Complex:
    size = a[0] * a[0] + a[1] * a[1]
    return a[0] / size, -a[1] / size


def _root(a: Complex, degree: int) -> Complex:
    if a[1] != 0:
        raise _NoValue
    if a[0] < 0:
        if degree == 2:
            return Decimal(0), (-a[0]).sqrt()
        if degree % 2 == 0:
            raise _NoValue
        return -_root((-a[0], Decimal(0)), degree)[0], Decimal(0)
    if a[0] == 0:
        return a
    return (a[0].sqrt() if degree == 2 else (a[0].ln() / degree).exp()), Decimal(0)


def _power(base: Complex, exponent: Complex, whole: Fraction | None) -> Complex:
    if whole is not None and whole.denominator == 1 and abs(whole) <= 64:
        result = functools.reduce(_times, [base] * abs(int(whole)), (Decimal(1), Decimal(0)))
        return result if whole >= 0 else _inverse(result)
    if base[1] != 0 or base[0] <= 0 or exponent[1] != 0:
        raise _NoValue
    return (exponent[0] * base[0].ln()).exp(), Decimal(0)


def equal(gold: Tree, answer: Tree) -> bool | None:
    """Return whether two numbers are equal; None if either has no value.

    Numbers of any size are compared exactly. One exception: a gold number whose decimals never end (1/3, a surd, pi)
    equals a decimal that is that number rounded to the places shown, if it shows MIN_DIGITS significant digits.
    """
    a, b = exact(gold), exact(answer)
    if a is not None and b is not None and a == b:
        return True
    if b is not None and _is_decimal(answer) and not _is_terminating(gold, a):
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


def _is_terminating(gold: Tree, value: Fraction | None) -> bool:
    """Return whether the decimals of a gold number end; only its exact value then equals it."""
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
    """Return the number of decimal places that a decimal shows."""
    value, digits = numeral[1], numeral[2]
    if value == 0:
        return digits
    size = math.floor(math.log10(value.numerator) - math.log10(value.denominator))
    size += (value >= Fraction(10) ** (size + 1)) - (value < Fraction(10) ** size)
    return digits - 1 - size
