"""A-GRAE's two levels against the control groups that break the same symmetry for good."""

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
    """Rows of the base model, GRPO, the control groups and A-GRAE's levels; none without a level or a control."""
    rows = passk_rows(study, (BASE, "grpo", *_CONTROLS, *_LEVELS), tables=(7,))
    return rows if has_recorded(rows, (*_CONTROLS, *_LEVELS)) else pd.DataFrame()


def layout(table: pd.DataFrame) -> Layout:
    return by_k(table, "A-GRAE's levels beside the control groups: Pass@k in percent, with 95 % intervals.")
