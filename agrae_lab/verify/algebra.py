"""Comparison of expressions by math-verify. Runs in the verifier's worker processes only.

math-verify is imported nowhere else. Its own time limits rely on signals, which fail silently in a thread, and cannot
stop sympy inside one long operation. Here they are off, and the server limits the process.

A positive verdict of math-verify is checked: it reads letters in lower case, drops primes and accents, rounds to six
decimals, and calls a set equal to things that are no set.
"""

from __future__ import annotations

import functools
import logging
import re
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from mpmath import mpc, mpf
from sympy import Expr, Float, MatrixBase, N, Rational, Set, UnevaluatedExpr
from sympy.core.function import AppliedUndef
from sympy.core.relational import Equality, Relational

from agrae_lab.verify.compare import compare
from agrae_lab.verify.numbers import read_number
from agrae_lab.verify.outcomes import Outcome
from agrae_lab.verify.values import MIN_DIGITS, shown_places
from agrae_lab.verify.writing import canonical

logging.getLogger("math_verify").setLevel(logging.ERROR)  # else it warns that its time limits are off

# Its own removal of units stays off: it takes the c of \\frac{1}{2}c for a unit.
_NORMAL = NormalizationConfig(
    basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none", equations=False
)
_LATEX = (LatexExtractionConfig(boxed_match_priority=0, normalization_config=_NORMAL),)
_RELATIVE = 1e-12  # values that differ by less are equal
_LETTER = re.compile(r"\\(?:text|begin|end|operatorname)\{[^{}]*\}|\\[a-zA-Z]+|([a-zA-Z])")
_MARKED = re.compile(r"[a-zA-Z](?:_\{?[a-zA-Z0-9]+\}?)?'+|\\(?:dot|ddot|hat|vec|bar|tilde)\{?[a-zA-Z]")
_BASE = re.compile(r"[0-9)}]_\{?([0-9]+)")  # math-verify drops it
_GAMMA = re.compile(
    r"\\gamma(?![a-zA-Z])"
)  # math-verify reads it as Euler's constant, and before brackets as a function
_ENERGY = re.compile(r"(?<![a-zA-Z\\])E_\{?([a-zA-Z0-9]+)\}?")  # math-verify cannot read it
# Parsed once in the server, so that every worker starts with the parser's tables warm.
_TYPICAL = (
    r"\frac{\sqrt{3}}{2}x",
    r"-3x^2+\frac{1}{2}xy-7",
    r"\mathbb{R}\setminus\{3\}",
    r"\begin{pmatrix}1&-2\\\frac{3}{4}&\pi\end{pmatrix}x",
    r"y=2\sin(3x)+\log_2{5}",
    r"3z+4i",
    r"\binom{5}{2}e^{-t}",
    r"2\sqrt{3}-\frac{7}{5}\ln 2",
    r"\frac{x+2}{(x-1)^2}",
    r"(x-3)(x^2+3x+9)",
    r"\frac{-1+\sqrt[3]{2}}{4\pi}a_1",
    r"\left|x\right|+\lfloor n\rfloor",
    r"f(x)=0.5x",
)


def judge(gold: str, answer: str) -> Outcome:
    """Compare an answer with the gold answer by all rules.

    Raises:
        Exception: any error of math-verify and sympy on text that they cannot handle.
    """
    return compare(canonical(gold), canonical(answer), equal)


def equal(gold: str, answer: str) -> bool:
    """Return whether math-verify calls two canonical texts equal, and the checks of its known gaps agree.

    Raises:
        Exception: any error of math-verify and sympy.
    """
    wanted, found = _parse(gold), _parse(answer)
    if not wanted or not found or _class(wanted[0]) is None or _class(wanted[0]) != _class(found[0]):
        return False
    if _differ_in_letters(gold, answer):
        return False
    if (rounded := _rounded(wanted[0], answer)) is not None:
        return rounded
    if plainly_unequal(wanted[0], found[0]):
        return False
    return verify(wanted[:1], found[:1], timeout_seconds=None, raise_on_error=True)


def _class(expression: Any) -> type | None:
    """Return the class of comparable expressions that one belongs to; None if it was not parsed."""
    kinds = (MatrixBase, Relational, Set, Expr)
    return next((kind for kind in kinds if isinstance(expression, kind)), None)


def _differ_in_letters(gold: str, answer: str) -> bool:
    """Return whether a letter differs in case, primes or accents, or a number in its base."""
    if any(set(marks.findall(gold)) != set(marks.findall(answer)) for marks in (_MARKED, _BASE)):
        return True
    wanted, found = ({m[1] for m in _LETTER.finditer(text) if m[1]} for text in (gold, answer))
    return any(letter.swapcase() in wanted for letter in found - wanted) or any(
        letter.swapcase() in found for letter in wanted - found
    )


def _rounded(gold: Any, answer: str) -> bool | None:
    """Return whether a decimal is a number such as ln 2, rounded to the places shown; None for anything else."""
    tree = read_number(answer)
    decimal = tree[1] if tree and tree[0] == "neg" else tree
    if decimal is None or decimal[0] != "num" or decimal[2] < MIN_DIGITS or not isinstance(gold, Expr):
        return None
    if gold.free_symbols or gold.has(Float):
        return None
    value = N(gold, 40)
    if not value.is_real:
        return None
    shown = Rational(decimal[1].numerator, decimal[1].denominator) * (-1 if tree is not decimal else 1)
    return bool(abs(value - shown) <= Rational(1, 2) * Rational(10) ** -shown_places(decimal))


def plainly_unequal(gold: Any, answer: Any) -> bool:
    """Return whether two expressions differ in value at a fixed point of their variables.

    Far cheaper than math-verify, which makes sympy simplify the difference. Decimals count as exact fractions. Two
    equations differ if the differences of their sides have no fixed ratio. False if no value can be computed.
    """
    equations = isinstance(gold, Equality) and isinstance(answer, Equality)
    both = [e.lhs - e.rhs if equations else e for e in (gold, answer)]
    if not all(isinstance(e, Expr) and not e.has(UnevaluatedExpr) for e in both):
        return False
    both = [e.replace(lambda x: isinstance(x, Float), lambda x: Rational(str(x))) for e in both]
    symbols = sorted(set().union(*(e.free_symbols | e.atoms(AppliedUndef) for e in both)), key=str)
    try:
        if not equations:
            a, b = (_value(e, symbols, 0) for e in both)
            return _differ(a, b)
        (a, b), (c, d) = ([_value(e, symbols, shift) for e in both] for shift in (0, 1))
        return _differ(a * d, b * c)
    except Exception:  # any error of sympy: math-verify decides
        return False


def _value(expression: Any, symbols: list, shift: int) -> mpc:
    """Return the value of an expression at the fixed point number `shift`, to 25 digits."""
    point = {symbol: Rational(7 + 2 * i + shift, 5 + 3 * i + shift * i) for i, symbol in enumerate(symbols)}
    return mpc(*(mpf(Float(part, 25)._mpf_) for part in expression.subs(point).evalf(25).as_real_imag()))


def _differ(a: mpc, b: mpc) -> bool:
    """Return whether two values differ beyond rounding, relative to their size; mpmath's exponents are unbounded."""
    size = max(abs(a), abs(b))
    return size < float("inf") and abs(a - b) > _RELATIVE * size


@functools.lru_cache(maxsize=4096)  # a group shares its gold
def _parse(answer: str) -> list:
    line = _ENERGY.sub(r"w_{E\1}", _GAMMA.sub(" g_{99}", answer.replace(r"\dollar", "").replace("\n", " ")))
    return parse(f"${line}$", _LATEX, parsing_timeout=None, raise_on_error=True)


def warm_up() -> None:
    """Fill the parser's tables, which workers forked later share."""
    for gold, other in zip(_TYPICAL, (*_TYPICAL[1:], _TYPICAL[0]), strict=True):
        for answer in (f"{gold}+1", gold.replace("2", "3"), other):
            if ("=" in answer) == ("=" in gold):
                judge(gold, answer)
