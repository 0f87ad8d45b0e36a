"""Intervals, their unions and inequalities in one variable, all read as lists of ranges.

Texts are canonical (writing.py).
"""

from __future__ import annotations

from agrae_lab.verify.shapes import Shape, is_name, shape_of

Range = tuple[str, str, str]  # brackets, lower end, upper end
FLIPPED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\ne": r"\ne"}


def read_ranges(shape: Shape) -> list[Range] | None:
    """Return the ranges that a shape stands for; None for a shape that is no range."""
    if shape.kind == "interval" or (shape.kind == "tuple" and len(shape.items) == 2 and shape.mark == "()"):
        return [_range(shape.mark, *shape.items)]
    if shape.kind == "union" or (shape.kind == "list" and shape.mark == "or"):
        parts = [read_ranges(shape_of(item)) for item in shape.items]
        return None if any(part is None for part in parts) else [r for part in parts for r in part or ()]
    return _inequality_as_range(shape) if shape.kind == "inequality" else None


def _range(mark: str, low: str, high: str) -> Range:
    low, high = (r"\infty" if end == r"+\infty" else end for end in (low, high))
    return ("(" if r"\infty" in low else mark[0]) + (")" if r"\infty" in high else mark[1]), low, high


def _inequality_as_range(shape: Shape) -> list[Range] | None:
    """Return a<x<b, x<b or a<x as one range; None for any other inequality."""
    signs, sides = shape.mark.split(), list(shape.items)
    if r"\ne" in signs or len({sign in (">", r"\ge") for sign in signs}) > 1:
        return None
    if signs[0] in (">", r"\ge"):
        sides, signs = sides[::-1], [FLIPPED[sign] for sign in reversed(signs)]
    closed = {"<": "()", r"\le": "[]"}
    if len(sides) == 3 and is_name(sides[1]):
        return [_range(closed[signs[0]][0] + closed[signs[1]][1], sides[0], sides[2])]
    if len(sides) != 2 or is_name(sides[0]) == is_name(sides[1]):
        return None
    if is_name(sides[0]):
        return [_range("(" + closed[signs[0]][1], r"-\infty", sides[1])]
    return [_range(closed[signs[0]][0] + ")", sides[0], r"\infty")]
