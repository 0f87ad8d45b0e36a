"""Pass@k of A-GRAE and of each of its two levels alone, beside the reference."""

from __future__ import annotations

import pandas as pd

from analysis.io.study import BASE, Study
from analysis.presentation.table_layout import Layout
from analysis.tables._passk import by_k, has_recorded, passk_rows

NAME = "table_ablation"
QUESTION = "Which level of A-GRAE does what?"
PAPER = "Table 6"

_LEVELS = ("a_grae_sample_only", "a_grae_group_only", "a_grae")


def table(study: Study) -> pd.DataFrame:
    """Return the rows of the base model, the reference and A-GRAE's levels; none unless a level has been evaluated."""
    rows = passk_rows(study, (BASE, study.reference, *_LEVELS), tables=(6,))
    return rows if has_recorded(rows, _LEVELS) else pd.DataFrame()


def layout(table: pd.DataFrame) -> Layout:
    """Return arms down and k across."""
    return by_k(table, "A-GRAE's levels alone and together: Pass@k in percent, with 95 % intervals.")
