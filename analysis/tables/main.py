"""Pass@k of every arm. A study has one model, so one file serves both of the paper's tables."""

from __future__ import annotations

import pandas as pd

from analysis.io.study import Study
from analysis.presentation.table_layout import Layout
from analysis.tables._passk import by_k, has_recorded, passk_rows

NAME = "table_main"
QUESTION = "Which method solves most problems within k samples?"
PAPER = "Tables 3 and 5"  # Qwen2.5-Math-7B and DeepSeek-R1-7B


def table(study: Study) -> pd.DataFrame:
    """Return the rows of all arms; none unless one has been evaluated."""
    rows = passk_rows(study, tables=(3, 5))
    return rows if has_recorded(rows, ("",)) else pd.DataFrame()


def layout(table: pd.DataFrame) -> Layout:
    """Return arms down and k across."""
    return by_k(table, "Pass@k in percent, with 95 % intervals.")
