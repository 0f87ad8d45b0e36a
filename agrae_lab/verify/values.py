"""The values of numbers in closed form: exact or to many digits, their equality, and operations left to carry out.

The trees are those of numbers.py. Whole numbers that come up have at most MAX_BITS.
"""

from __future__ import annotations

import functools
import math
from decimal import Context, Decimal, DecimalException, localcontext
from fractions import Fraction
from typing import Any

from agrae_lab.verify.numbers import Tree

MAX_BITS = 70_000  # of a whole number written out, 20,000 digits
MIN_DIGITS = 6  # significant digits of a decimal that stands for a number without an end
_PRECISION = 150
_TOLERANCE = Decimal(10) ** -120
_PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798214808651"
    "32823066470938446095505822317253594081284811174502841027019385211055596446229489549303819644288109756659334461"
)


class _NoValue(Exception):
    """A tree has no such value, or one that is too large."""


def exact(tree: Tree) -> Fraction | None:
    """Return the value of a tree that is a rational number by its operations; None for others, and beyond MAX_BITS."""
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
    """Return real and imaginary part to _PRECISION digits; None where a step has no such value or is too large."""
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
    """Return whether a gold number's decimals end: it must then be met exactly."""
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
    """Return whether a tree is a numeral or a fraction of whole numbers in lowest terms, with a sign or without."""
    tree = tree[1] if tree[0] == "neg" else tree
    return tree[0] == "num" or (tree[0] == "div" and exact(tree) is not None and not pending(tree))


def pending(tree: Tree) -> bool:
    """Return whether an operation is left to carry out: 2+3, 2^3, 10/4, sqrt(4), 5!; not so sqrt(8), 1/2."""
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
    """Return what is left of a term without its rational coefficient; () for a rational term."""
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
