"""Pass@k of A-GRAE's two levels and of the control groups, which break the same symmetry permanently."""

from __future__ import annotations

import pandas as pd

from analysis.io.study import BASE, Study
from analysis.presentation.table_layout import Layout
from analysis.tables._passk import by_k, has_recorded, passk_rows

NAME = "table_parts"
QUESTION = "Is an asymmetry that follows training better than one that is fixed?"
PAPER = "Table 7"

_CONTROLS = ("positive_dominant", "negative_dominant", "hard_focused", "easy_focused")
_LEVELS = ("a_grae_sample_only", "a_grae_group_only")


def table(study: Study) -> pd.DataFrame:
    """Return the rows of base model, reference, controls and A-GRAE's levels; none without a level or a control."""
    rows = passk_rows(study, (BASE, study.reference, *_CONTROLS, *_LEVELS), tables=(7,))
    return rows if has_recorded(rows, (*_CONTROLS, *_LEVELS)) else pd.DataFrame()


def layout(table: pd.DataFrame) -> Layout:
    """Return arms down and k across."""
    return by_k(table, "A-GRAE's levels beside the control groups: Pass@k in percent, with 95 % intervals.")
