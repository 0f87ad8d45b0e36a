r"""Operations that an answer leaves to carry out: 2+3, 10/4, \sqrt{4}. A value has none.

The trees are those of numbers.py.
"""

from __future__ import annotations

import math
from typing import Any

from agrae_lab.verify.numbers import Tree
from agrae_lab.verify.values import exact


def is_plain(tree: Tree) -> bool:
    """Return whether a tree is a numeral or a fraction of whole numbers in lowest terms, with a sign or without."""
    tree = tree[1] if tree[0] == "neg" else tree
    return tree[0] == "num" or (tree[0] == "div" and exact(tree) is not None and not is_pending(tree))


def is_pending(tree: Tree) -> bool:
    """Return whether an operation is left to carry out: yes in 2+3, 2^3, 10/4, sqrt(4), 5!; no in sqrt(8), 1/2."""
    kind = tree[0]
    children = [child for child in tree[1:] if isinstance(child, tuple)]
    if any(map(is_pending, children)):
        return True
    if kind == "root":
        return exact(tree) is not None
    if kind == "neg":
        return tree[1][0] == "neg"
    if kind == "fact":
        return True
    rules = {"add": _is_pending_sum, "mul": _is_pending_product, "div": _is_pending_fraction, "pow": _is_pending_power}
    return kind in rules and rules[kind](tree)


def _is_pending_sum(tree: Tree) -> bool:
    """Return whether a sum has two rational terms, or two terms with the same irrational factor."""
    kinds = [_irrational(term) for term in tree[1:]]
    return len(set(kinds)) < len(kinds)


def _irrational(term: Tree) -> Any:
    """Return a term without its rational coefficient; () for a rational term."""
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


def _is_pending_product(tree: Tree) -> bool:
    """Return whether a product has two rational factors, two roots of one degree, or one factor twice."""
    rational = sum(exact(factor) is not None for factor in tree[1:])
    degrees = [f[2] for f in tree[1:] if f[0] == "root"]
    others = [repr(f) for f in tree[1:] if exact(f) is None]
    return rational > 1 or len(set(degrees)) < len(degrees) or len(set(others)) < len(others)


def _is_pending_fraction(tree: Tree) -> bool:
    """Return whether a fraction is not in lowest terms, or not one of whole numbers."""
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
    """Return the largest whole number that divides every term; 1 if there is none."""
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


def _is_pending_power(tree: Tree) -> bool:
    """Return whether a power is rational, or a whole power of anything but pi and e."""
    if exact(tree) is not None:
        return True
    exponent = exact(tree[2])
    whole = exponent is not None and exponent.denominator == 1
    return whole and (tree[1] == ("const", "i") or tree[1][0] != "const" or exponent in (0, 1))
