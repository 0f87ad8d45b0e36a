"""Pass@1 inside and outside the training domain."""

from __future__ import annotations

import pandas as pd

from analysis.io.study import Study
from analysis.presentation.table_layout import Block, Layout
from analysis.tables._passk import caption, has_recorded, lines, notes, passk_rows

NAME = "table_domains"
QUESTION = "Does what was learnt carry over to problems of another kind?"
PAPER = "Table 4"

_DOMAINS = {"in": "in domain", "out": "out of domain", "": ""}


def table(study: Study) -> pd.DataFrame:
    """Return Pass@1 of every arm; `domain` is the benchmark's domain in the runs' config: "in", "out" or ""."""
    rows = passk_rows(study, ks=(1,), tables=(4,))
    if not has_recorded(rows, ("",)):
        return pd.DataFrame()
    domains = _domains(study)
    return rows.assign(domain=[domains.get(name, "") for name in rows["benchmark"]])


def _domains(study: Study) -> dict[str, str]:
    found: dict[str, str] = {}
    for run in study.runs:
        for name, benchmark in run.config.get("evaluation", {}).get("benchmarks", {}).items():
            if (domain := (benchmark or {}).get("domain")) is not None:
                found.setdefault(name, str(domain))
    return found


def layout(table: pd.DataFrame) -> Layout:
    """Return arms down and benchmarks across, grouped by domain."""
    order = {domain: list(table.loc[table["domain"] == domain, "benchmark"].unique()) for domain in _DOMAINS}
    benchmarks = [name for names in order.values() for name in names]
    return Layout(
        caption=caption("Pass@1, the mean over all samples of a problem, in percent with 95 % intervals.", table),
        head=("", *benchmarks),
        blocks=(Block("", lines(table, "benchmark", benchmarks)),),
        notes=notes(table),
        spans=tuple((_DOMAINS[domain], len(names)) for domain, names in order.items() if names),
    )
