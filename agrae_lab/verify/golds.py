"""Faults of gold answers: too heavy, unfit for a box, or read by neither the rules nor math-verify."""

from __future__ import annotations

from collections.abc import Sequence

from agrae_lab.verify.answers import boxed_answer
from agrae_lab.verify.labels import is_based, is_wordy
from agrae_lab.verify.limits import refusal
from agrae_lab.verify.pool import POOL
from agrae_lab.verify.shapes import Shape, is_name, shape_of
from agrae_lab.verify.units import read_quantity
from agrae_lab.verify.writing import canonical


def gold_fault(gold: str) -> str | None:
    """Return the fault of a gold answer that its text shows, in words; None if it has none.

    Costs microseconds, so that it runs whenever problems are loaded.
    """
    if reason := refusal(gold):
        return f"is too heavy to compare ({reason})"
    held = boxed_answer(rf"\boxed{{{gold}}}")
    if held is None or held.rstrip("., ") != gold.strip().rstrip("., "):
        return "cannot stand in a box: its braces do not match, or it is empty"
    return None if canonical(gold) else "is empty but for typesetting"


def gold_faults(golds: Sequence[str]) -> list[str | None]:
    """Return the fault of each gold answer, or None. math-verify parses the expressions that the rules do not read."""
    faults = [gold_fault(gold) for gold in golds]
    leaves = [[] if fault else _leaves(shape_of(canonical(gold))) for gold, fault in zip(golds, faults, strict=True)]
    asked = sorted({leaf for each in leaves for leaf in each})
    replies = POOL.ask([(leaf, rf"1\cdot({leaf})") for leaf in asked])
    outcome = {leaf: reply.outcome for leaf, reply in zip(asked, replies, strict=True)}
    return [fault or _fault_in([outcome[leaf] for leaf in each]) for fault, each in zip(faults, leaves, strict=True)]


def _fault_in(outcomes: Sequence[str]) -> str | None:
    """Return the fault that math-verify's outcomes on the leaves of one gold answer show."""
    if any(outcome in ("timeout", "crash") for outcome in outcomes):
        return "is too heavy to compare: math-verify does not end on it"
    if any(outcome != "correct" for outcome in outcomes):
        return "cannot be parsed: only an answer with the same text will be right"
    return None


def _leaves(shape: Shape) -> list[str]:
    """Return the expressions within a gold answer that the rules leave to math-verify."""
    leaves = []
    for item in shape.items:
        if shape.kind == "words" or item in (r"\infty", r"-\infty", r"+\infty"):
            continue
        inner = shape_of(item)
        if shape.kind != "scalar" and inner.kind != "scalar":
            leaves += _leaves(inner)
        elif not (read_quantity(item) or is_wordy(item) or is_name(item) or is_based(item)):
            leaves.append(item)
    return leaves
