"""Findings of an audit, and their CSV and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.audit.table import NAMES, Curve

SHARE = "share"
SAME = 1e-9  # shares nearer than this are the same printed number


@dataclass(frozen=True)
class Check:
    """Check: its law as a sentence of mathematics, and the innocent causes of a failure."""

    name: str
    law: str
    innocent: str


@dataclass(frozen=True)
class Finding:
    """Place where a check fails. `by` and `tolerance` are in `unit`; shares are in [0, 1], not in percent."""

    check: str
    table: str
    model: str
    benchmark: str
    method: str
    ks: tuple[int, ...]
    lines: tuple[int, ...]
    by: float
    tolerance: float
    statement: str
    unit: str = SHARE

    @property
    def where(self) -> str:
        """Names of the place, such as `table 3 · Qwen2.5-Math-7B · AMC23 · GRPO`; missing names are left out."""
        table = f"table {self.table}" if self.table else ""
        return " · ".join(part for part in (table, self.model, self.benchmark, self.method) if part)


def finding(check: Check, curve: Curve, statement: str, **fields: Any) -> Finding:
    """Return a finding about a curve; `fields` override its names, and its places (default: all k and lines)."""
    names = {name: getattr(curve, name) for name in NAMES}
    everywhere = {"ks": curve.ks, "lines": tuple(cell.line for cell in curve.cells)}
    return Finding(check=check.name, statement=statement, **{**names, **everywhere, **fields})


def spans(numbers: Sequence[int]) -> str:
    """Return numbers as text with ranges: `3, 5–9`."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in parts)


def listed(ks: Sequence[int]) -> str:
    return ", ".join(map(str, ks))


def frame(findings: Sequence[Finding], checks: Sequence[Check]) -> pd.DataFrame:
    """Return one row per finding with its possible innocent causes; k and lines as text."""
    innocent = {check.name: check.innocent for check in checks}
    columns = ["check", *NAMES, "k", "lines", "by", "tolerance", "unit", "statement", "possible_innocent_causes"]
    rows = [
        {
            **{name: getattr(found, name) for name in ("check", *NAMES, "by", "tolerance", "unit", "statement")},
            "k": listed(found.ks),
            "lines": spans(found.lines),
            "possible_innocent_causes": innocent[found.check],
        }
        for found in findings
    ]
    return pd.DataFrame(rows, columns=columns)


def markdown(title: str, scope: Sequence[str], findings: Sequence[Finding], checks: Sequence[Check]) -> str:
    """Return the audit as a page: scope, then each check with its findings."""
    blocks = [f"# {escaped(title)}\n", "".join(f"- {escaped(sentence)}\n" for sentence in scope)]
    for check in checks:
        found = [f for f in findings if f.check == check.name]
        blocks.append(f"## {check.name}: {len(found)}\n\n{check.law}\n")
        if found:
            lines = ["| where | lines | what |", "| --- | --- | --- |"]
            lines += [f"| {escaped(f.where)} | {spans(f.lines)} | {escaped(f.statement)} |" for f in found]
            blocks.append("\n".join(lines) + f"\n\nPossible innocent causes: {check.innocent}\n")
    return "\n".join(blocks)


def escaped(text: str) -> str:
    """Return text with all Markdown characters escaped, on one line."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
