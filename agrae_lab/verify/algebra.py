"""One answer against one gold answer by math-verify. Runs in the verifier's worker processes only.

math-verify is imported nowhere else: its own time limits rely on signals (in a thread it answers "wrong" and says
nothing) and cannot stop sympy inside one long operation. Here they are off; the limit is the process around this.
"""

from __future__ import annotations

import cmath
import functools
import logging
import re
from typing import Any

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify
from sympy import Expr, Float, Rational, UnevaluatedExpr

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its time limits are off

_LATEX = (LatexExtractionConfig(boxed_match_priority=0),)
_SENTENCE = (
    LatexExtractionConfig(boxed_match_priority=-1, try_extract_without_anchor=False),
    ExprExtractionConfig(try_extract_without_anchor=False),
)
_PERCENT = re.compile(r"(.+?)\s*\\?%", re.DOTALL)
# Parsed once in the server, so that every worker starts with the parser's tables warm.
_TYPICAL = (
    r"\frac{\sqrt{3}}{2}",
    r"-3x^2+\frac{1}{2}xy-7",
    r"\left(-\infty,\frac{1}{2}\right]\cup[3,4)",
    r"\begin{pmatrix}1&-2\\\frac{3}{4}&\pi\end{pmatrix}",
    r"\{1,2,x\}",
    r"y=2\sin(3x)+\log_2{5}",
    r"12.5\%",
    r"90^\circ",
    r"\text{even}",
    r"x\le 2^{10}!",
    r"3+4i",
    r"\binom{5}{2}e^{-t}",
    r"\left(3,\frac{\pi}{2}\right)",
    r"(4, -1, 0.5)",
    r"2\sqrt{3}-\frac{7}{5}",
    r"\frac{x+2}{(x-1)^2}",
    r"(x-3)(x^2+3x+9)",
    r"1, 2, \sqrt{5}",
    r"\frac{-1+\sqrt[3]{2}}{4\pi}",
    r"3\sqrt{2}+\sqrt{6}",
    r"x\in[-1,\infty)",
    r"\$7.50",
    r"10_{8}",
    r"1\frac{3}{4}",
)


def judge(gold: str, answer: str, in_sentence: bool) -> tuple[bool, str | None]:
    """Whether an answer equals the gold answer, and the answer as read.

    Args:
        answer: the content of a box or, `in_sentence`, text that speaks of the answer somewhere.

    Raises:
        Exception: whatever math-verify and sympy raise on text that they cannot handle.
    """
    if in_sentence:
        read = parse(answer, _SENTENCE, parsing_timeout=None, raise_on_error=True)
        text = next((part for part in reversed(read) if isinstance(part, str)), None)
    else:
        read, text = _parse(answer), answer
    wanted = _parse(gold)
    if not read or plainly_unequal(wanted[0], read[0]):
        return False, text
    try:
        return verify(wanted, read, timeout_seconds=None, raise_on_error=True), text
    except Exception:  # of one reading (5:00 is a division by zero); another, the bare text, may be equal
        if verify(wanted, read, timeout_seconds=None):
            return True, text
        raise


def plainly_unequal(gold: Any, answer: Any) -> bool:
    """Whether two expressions have other values at some fixed value of their variables.

    Only what math-verify would call unequal too, at a fraction of the cost: it lets sympy simplify the difference, and
    most wrong answers have one that does not simplify. False also where this cannot tell: sets, equations, percent,
    decimals (which it rounds), single letters (where a word may be a product).
    """
    both = (gold, answer)
    if not all(isinstance(e, Expr) and not e.is_Symbol and not e.has(Float, UnevaluatedExpr) for e in both):
        return False
    symbols = sorted(gold.free_symbols | answer.free_symbols, key=str)
    point = {symbol: Rational(7 + 2 * i, 5 + 3 * i) for i, symbol in enumerate(symbols)}
    try:
        values = [complex(e.subs(point).evalf(15)) for e in both]
    except Exception:  # of sympy's many; then math-verify decides
        return False
    return all(map(cmath.isfinite, values)) and abs(values[0] - values[1]) > 1e-6 * max(1.0, *map(abs, values))


@functools.lru_cache(maxsize=4096)  # a group shares its gold
def _parse(answer: str) -> list:
    return parse(as_latex(answer), _LATEX, parsing_timeout=None, raise_on_error=True)


def as_latex(answer: str) -> str:
    r"""The answer as math-verify reads it best: one line in dollars, a percent sign outside.

    Inside the dollars 44\% is a string that equals nothing but itself; outside it makes the answer 44 of a hundred,
    which equals 44\%, 44 and 0.44.
    """
    line = answer.replace(r"\$", "").replace("$", "").replace("\n", " ").strip()
    percent = _PERCENT.fullmatch(line)
    return rf"${percent[1]}$\%" if percent else f"${line}$"


def warm_up() -> None:
    """Fill the parser's tables, which workers forked later share."""
    for gold, other in zip(_TYPICAL, (*_TYPICAL[1:], _TYPICAL[0]), strict=True):
        for answer in (f"{gold}+1", gold.replace("2", "3"), other):
            judge(gold, answer, False)
    judge("7", "so the answer is $7$", True)
