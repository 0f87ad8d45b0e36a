"""Aggregates over all benchmarks, with training seeds as the unit of resampling."""

from __future__ import annotations

import pandas as pd

from analysis.estimates.aggregates import ABOVE, MIDDLE, TOO_FEW, aggregate_table
from analysis.io.study import Study
from analysis.presentation.captions import each
from analysis.presentation.style import label
from analysis.presentation.table_layout import NO_VALUE, Block, Layout, Row, share_cell
from analysis.statistics.intervals import FEW_SEEDS
from analysis.tables._evaluated import row_name

NAME = "table_aggregates"
QUESTION = "Which method is better over all benchmarks, and would it be again with new seeds?"
PAPER = ""


def table(study: Study) -> pd.DataFrame:
    """Return the rows of aggregate_table."""
    return aggregate_table(study)


def layout(table: pd.DataFrame) -> Layout:
    """Return arms down; for each k the interquartile mean and the probability of improvement."""
    ks, reference = sorted(table["k"].unique()), _reference(table)
    lines = []
    for arm, own in table.groupby("arm", sort=False):
        by_place = own.set_index(["k", "quantity"])
        places = [by_place.loc[(k, quantity)] for k in ks for quantity in (MIDDLE, ABOVE)]
        cells = tuple(share_cell(row["estimate"], row["lo"], row["hi"]) for row in places)
        lines.append(Row(row_name(str(arm), bool(own["unfinished"].any())), cells))
    return Layout(
        caption="Pass@k over all benchmarks, in percent with 95 % intervals over training seeds. "
        f"Seeds evaluated on all benchmarks: {each(table.drop_duplicates('arm').set_index('arm')['seeds'])}.",
        head=("", *(MIDDLE, f"above {reference}") * len(ks)),
        blocks=(Block(f"over {table['benchmarks'].iloc[0]}", tuple(lines)),),
        notes=_notes(table),
        spans=tuple((f"Pass@{k}", 2) for k in ks),
    )


def _reference(table: pd.DataFrame) -> str:
    return label(table.loc[table["quantity"] == ABOVE, "reference"].iloc[0])


def _notes(table: pd.DataFrame) -> tuple[str, ...]:
    reference = _reference(table)
    notes = [
        "Interquartile mean: mean of the middle half of all seed × benchmark values of Pass@k; of fewer than four "
        "values, their mean.",
        f"Above {reference}: probability of improvement, the probability that a run of the arm scores above a "
        f"run of {reference} on a benchmark (a tie counts half), mean over benchmarks; 50 is no difference.",
        "Both follow Agarwal et al. 2021, arXiv 2108.13264.",
    ]
    bounded = table.dropna(subset="lo")
    for method, scope in bounded[["method", "scope"]].drop_duplicates().to_numpy():
        notes.append(f"Interval: {method}; scope: {scope}.")
    if (table["caution"] != "").any():
        notes.append(f"Fewer than {FEW_SEEDS} seeds: read intervals with care.")
    if len(few := table.loc[table["note"] == TOO_FEW, "arm"].unique()):
        notes.append(f"{NO_VALUE}, {TOO_FEW}: {', '.join(map(label, few))}.")
    if (table["note"] == (no_reference := f"{reference} has {TOO_FEW}")).any():
        notes.append(f"{NO_VALUE}: no comparison, {no_reference}.")
    if (table["estimate"].notna() & table["lo"].isna()).any():
        notes.append("No interval if all seeds are equal, or if all runs of one side are above all runs of the other.")
    notes.append("The base model has no row, since it is one checkpoint without seeds.")
    return tuple(notes)
