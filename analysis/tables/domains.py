"""Pass@1 in the domain that was trained on, and outside it."""

from __future__ import annotations

import pandas as pd

from analysis.io.study import Study
from analysis.presentation.table_layout import Block, Layout
from analysis.tables._passk import has_recorded, lines, notes, passk_rows

NAME = "table_domains"
QUESTION = "Does what was learnt carry over to problems of another kind?"
PAPER = "Table 4"

_DOMAINS = {"in": "in domain", "out": "out of domain", "": ""}


def table(study: Study) -> pd.DataFrame:
    """Pass@1 of every arm; `domain` is what the runs' config says of the benchmark: in, out, or nothing."""
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
    """Methods down, benchmarks across, those of one domain beside each other."""
    order = {domain: list(table.loc[table["domain"] == domain, "benchmark"].unique()) for domain in _DOMAINS}
    benchmarks = [name for names in order.values() for name in names]
    return Layout(
        caption="Pass@1 in percent, as the mean over all samples of a problem, with 95 % intervals.",
        head=("", *benchmarks),
        blocks=(Block("", lines(table, "benchmark", benchmarks)),),
        notes=notes(table),
        spans=tuple((_DOMAINS[domain], len(names)) for domain, names in order.items() if names),
    )
