"""Check whether a published Pass@k table is consistent with itself.

    python -m analysis audit table.csv [problems=AMC23:40,MyBench:12] [claim="A > B"] [json=path] [out=folder]

Examples:

    python -m analysis audit table.csv                                            # findings on the terminal
    python -m analysis audit table.csv claim="GRPO + A-GRAE > GRPO" out=audit     # and audit/audit.csv, audit.md

    problems=<name>:<count>,...   number of problems of a benchmark (known for MATH, MATH-500, GSM8K, AMC23, AIME)
    claim="A > B"                 list the cells where method A is not above method B
    json=<path>, out=<folder>     write the findings as JSON; as audit.csv and audit.md

The table is CSV: columns method, k, pass_at_k; or method and one column per k. docs/audit.md describes all checks.

Exit status: 0 no findings; 1 findings; 2 the table cannot be read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agrae_lab.runs import replacing, write_json
from analysis.audit.between import CLAIM, claim_fails
from analysis.audit.checks import CHECKS, audit
from analysis.audit.findings import Check, Finding, frame, markdown, spans
from analysis.audit.table import AuditError, Curve, read_curves

USAGE = 'python -m analysis audit table.csv [problems=AMC23:40,MyBench:12] [claim="A > B"] [json=path] [out=folder]'


@dataclass(frozen=True)
class Arguments:
    path: Path
    problems: dict[str, int] = field(default_factory=dict)
    claim: tuple[str, str] | None = None
    json: Path | None = None
    out: Path | None = None


def main(arguments: Sequence[str]) -> int:
    """Audit a table, print the findings, write the requested files, and return the exit status."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    try:
        given = parse(arguments)
        curves = read_curves(given.path, given.problems)
        findings = audit(curves)
        checks: tuple[Check, ...] = CHECKS
        if given.claim is not None:
            checks = (*CHECKS, CLAIM)
            findings += claim_fails(curves, *given.claim)
    except AuditError as error:
        print(error, file=sys.stderr)
        return 2
    about = scope(curves)
    show(given.path, about, findings, checks)
    try:
        write(given, about, findings, checks)
    except OSError as error:
        print(f"{error.filename}: cannot be written ({error.strerror}); choose another path", file=sys.stderr)
        return 2
    return 1 if findings else 0


def parse(arguments: Sequence[str]) -> Arguments:
    """Return the command's arguments.

    Raises:
        AuditError: there is no table or several, or a key or value is invalid.
    """
    # Path.is_file raises where a word is too long for a file's name
    paths = [argument for argument in arguments if "=" not in argument or os.path.isfile(argument)]  # noqa: PTH113
    keys = dict(argument.split("=", 1) for argument in arguments if argument not in paths)
    if unknown := sorted(keys.keys() - {"problems", "claim", "json", "out"}):
        raise AuditError(f"cannot read {unknown[0]}=; {USAGE}")
    if empty := sorted(key for key, value in keys.items() if not value):
        raise AuditError(f"{empty[0]}= has no value; {USAGE}")
    if len(paths) != 1:
        raise AuditError(f"name one table, not {len(paths)}: {USAGE}")
    return Arguments(
        path=Path(paths[0]),
        problems=_problems(keys["problems"]) if "problems" in keys else {},
        claim=_claim(keys["claim"]) if "claim" in keys else None,
        json=Path(keys["json"]) if "json" in keys else None,
        out=Path(keys["out"]) if "out" in keys else None,
    )


def _problems(text: str) -> dict[str, int]:
    problems = {}
    for part in text.split(","):
        name, _, count = part.rpartition(":")
        if not name or not count.isascii() or not count.isdigit() or len(count) > 12 or int(count) < 1:
            raise AuditError(f"problems=: {part!r} is not benchmark:count; write problems=AMC23:40,MyBench:12")
        problems[name.strip()] = int(count)
    return problems


def _claim(text: str) -> tuple[str, str]:
    above, arrow, below = (part.strip() for part in text.partition(">"))
    if not above or not arrow or not below:
        raise AuditError(f'claim=: {text!r} is not a claim; write claim="GRPO + A-GRAE > GRPO"')
    return above, below


def scope(curves: Sequence[Curve]) -> list[str]:
    """Return sentences on the rows and numbers checked, and on the assumptions."""
    num_cells = sum(len(curve.cells) + len(curve.repeated) for curve in curves)
    sentences = [f"Rows: {len(curves)}; numbers: {num_cells}."]
    for decimals in sorted({curve.decimals for curve in curves}):
        names = list(dict.fromkeys(curve.table for curve in curves if curve.decimals == decimals))
        tables = f" (table {', '.join(names)})" if any(names) else ""
        sentences.append(f"Half a unit of the last printed place: h = {0.5 * 10.0**-decimals:g} points{tables}.")
    if any(curve.n is None for curve in curves):
        sentences.append("n is not stated: taken to be the largest k of each row.")
    counts = {curve.benchmark: curve.problems for curve in curves}
    known = [f"{name} {count}" for name, count in counts.items() if count]
    unknown = [name or "(no name)" for name, count in counts.items() if not count]
    if known:
        sentences.append(f"Problems: {', '.join(known)}.")
    if unknown:
        sentences.append(f"Multiples not checked, number of problems unknown: {', '.join(unknown)} (say problems=…).")
    return sentences


def show(path: Path, about: Sequence[str], findings: Sequence[Finding], checks: Sequence[Check]) -> None:
    """Print the audit: one table for each check with findings."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(f"{path}: {' '.join(about)}")
    for check in checks:
        found = [f for f in findings if f.check == check.name]
        if not found:
            continue
        console.print(f"\n{check.name}: {len(found)}", style="bold")
        console.print(check.law)
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="underline")
        for header in ("lines", "where", "what (in percent)"):
            table.add_column(header, overflow="fold")
        for f in found:
            table.add_row(spans(f.lines), f.where, f.statement)
        console.print(table)
        console.print(f"Possible innocent causes: {check.innocent}", style="italic")
    quiet = [check.name for check in checks if not any(f.check == check.name for f in findings)]
    console.print(f"\n{len(findings)} findings. Nothing found: {', '.join(quiet) or 'by no check'}.")


def write(given: Arguments, about: Sequence[str], findings: Sequence[Finding], checks: Sequence[Check]) -> None:
    """Write the requested files: json=, and audit.csv and audit.md in out=."""
    if given.json is not None:
        innocent = {check.name: check.innocent for check in checks}
        found = [{**asdict(f), "possible_innocent_causes": innocent[f.check]} for f in findings]
        write_json(given.json, {"table": str(given.path), "scope": list(about), "findings": found})
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        with replacing(given.out / "audit.csv") as path:
            frame(findings, checks).to_csv(path, index=False)
        with replacing(given.out / "audit.md") as path:
            path.write_text(markdown(f"Audit of {given.path.name}", about, findings, checks), encoding="utf-8")
