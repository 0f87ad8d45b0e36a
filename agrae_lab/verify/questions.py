"""Expressions of a question. Repeating one is no answer, unless the gold answer itself stands in the question."""

from __future__ import annotations

import functools
import re
from fractions import Fraction

from agrae_lab.verify.shapes import enclosed, shape_of
from agrae_lab.verify.writing import canonical

MAX_FORMULAS = 500
_FORMULA = re.compile(
    r"\$\$(.+?)\$\$|(?<!\\)\$(.+?)(?<!\\)\$|\\\[(.+?)\\\]|\\\((.+?)\\\)"
    r"|\\begin\{((?:align|equation|gather|eqnarray|multline)\*?)\}(.+?)\\end\{\5\}",
    re.DOTALL,
)
_RELATION = (
    r"=|<|>|\\(?:le|ge|leq|geq|leqslant|geqslant|ne|neq|approx|equiv|to|in|quad|qquad|mapsto|cdots|ldots)(?![a-zA-Z])"
)
_SIDES = re.compile(_RELATION)
_ITEMS = re.compile(_RELATION + r"|\\\\|&|\\text\s*\{[^{}]*\}|[,;:]")
_LOOSE = re.compile(
    r"\\text\{[^{}]*\}(?:\^-?[0-9])?|\\(?:dollar|euro|pounds)(?![a-zA-Z])\s*|\\%|\^\\circ|\s|(?<=[0-9])[a-zA-Z]{2,}"
)
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def is_copied(question: str, gold: str, answer: str) -> bool:
    """Return whether a canonical answer, or the value that it names, repeats an expression of the question.

    False if that expression is the gold answer's own text.
    """
    shape = shape_of(answer)
    value = shape.items[-1] if shape.kind == "equation" else answer
    forms = {answer, value, _without_brackets(answer)}
    return not any(_stands_as(form, gold) for form in forms) and not forms.isdisjoint(formulas_of(question))


@functools.lru_cache(maxsize=2048)  # a group shares its question
def formulas_of(question: str) -> frozenset[str]:
    """Return the canonical forms of a question's formulas, and of the sides and items within them."""
    found: set[str] = set()
    for match in list(_FORMULA.finditer(question))[:MAX_FORMULAS]:
        formula = match[1] or match[2] or match[3] or match[4] or match[6]
        for piece in {formula, *_SIDES.split(formula), *_ITEMS.split(formula)}:
            text = canonical(piece)
            found |= {text, _without_brackets(text)}
    return frozenset(found - {""})


def _without_brackets(text: str) -> str:
    """Return a text without parentheses around the whole; a pair keeps its own."""
    found = enclosed(text)
    return found[1] if found and found[0] == "(" and "," not in found[1] else text


def _stands_as(text: str, gold: str) -> bool:
    """Return whether a text is the gold answer as written, up to units, currency signs and final zeros."""
    if text == gold:
        return True
    a, b = (_LOOSE.sub("", t) for t in (text, gold))
    if a == b:
        return True
    return all(map(_DECIMAL.fullmatch, (a, b))) and Fraction(a) == Fraction(b)
