"""Published numbers of the paper (arXiv 2602.05548v3), shown beside ours and never pooled with them.

paper_tables.csv holds its tables 3 to 7 as printed; SOURCE.md describes how they were copied.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from analysis.io.study import BASE

PAPER_TABLES = Path(__file__).parent / "paper_tables.csv"
COLUMNS = ("table", "model", "benchmark", "method", "arm", "k", "estimate", "plus_minus")

# Method in the paper → arm of a run here: preset, differences from it, the loss if not GRPO's. DAPO is GRPO's advantage
# with another loss; Dr.GRPO has another advantage and another loss.
ARMS = {
    "Base Model": BASE,
    "GRPO": "grpo",
    "GRPO-LEAD": "grpo_lead",
    "W-REINFORCE": "w_reinforce",
    "GRPO + A-GRAE": "a_grae",
    "GRPO + A-GRAE (full)": "a_grae",
    "GRPO + A-GRAE (sample level)": "a_grae_sample_only",
    "GRPO + DDAS (sample level)": "a_grae_sample_only",
    "GRPO + A-GRAE (group level)": "a_grae_group_only",
    "GRPO + ASS (group level)": "a_grae_group_only",
    "DAPO": "grpo+dapo",
    "DAPO + A-GRAE": "a_grae+dapo",
    "Dr.GRPO": "dr_grpo+dr_grpo",
    "Dr.GRPO + A-GRAE": "a_grae+dr_grpo+dr_grpo",
    "Positive-Dominant": "positive_dominant",
    "Negative-Dominant": "negative_dominant",
    "Hard-Focused": "hard_focused",
    "Easy-Focused": "easy_focused",
}

# Benchmark here → the paper's, where the problems are the same. MATH-500 is a part of MATH, so it has no match. The
# paper does not publish its selection of 300 medical images per kind; its numbers are shown beside our selection.
BENCHMARKS = {
    **{"math": "MATH", "math_test": "MATH", "amc23": "AMC23", "aime2025": "AIME 2025"},
    **{"geo3k": "Geo3K", "mathvision": "MathVision", "mathverse": "MathVerse"},
    **{"medical_mri": "MRI300", "medical_ct": "CT300", "medical_xray": "Xray300"},
}


def models() -> list[str]:
    """Return the models with published numbers, by name."""
    return sorted(_rows()["model"].unique())


def published_rows(model: str, benchmark: str | None = None) -> pd.DataFrame:
    """Return all published rows of a model, or of one of its benchmarks by the paper's name; columns COLUMNS.

    `estimate` and `plus_minus` are shares in [0, 1]. plus_minus is NaN where none is printed; the paper does not define
    it. A cell that several tables repeat comes once per table.

    Raises:
        ValueError: there is no such model, or no such benchmark of it; the choices are listed.
    """
    rows = _rows()
    _require(model, models(), "the published tables have no model")
    rows = rows[rows["model"] == model]
    if benchmark is not None:
        _require(benchmark, list(rows["benchmark"].unique()), f"{model} has no published benchmark")
        rows = rows[rows["benchmark"] == benchmark]
    return rows.reset_index(drop=True)


def parse(published: str) -> tuple[str, str | None]:
    """Return model and benchmark (or None) of `<model>` or `<model>/<benchmark>`.

    Raises:
        ValueError: as published_rows.
    """
    model, slash, benchmark = published.partition("/")
    published_rows(model, benchmark if slash else None)
    return model, benchmark if slash else None


def match(published: str | None, benchmark: str) -> pd.DataFrame:
    """Return the published rows for the panel of one of our benchmarks: at most one per arm and k.

    `<model>` gives the rows of the same benchmark in the paper (BENCHMARKS, or the paper's name).
    `<model>/<benchmark>` gives the rows of that benchmark for every panel. Of a cell that several tables repeat, the
    first table's is taken.

    Raises:
        ValueError: as published_rows.
    """
    if published is None:
        return _rows().iloc[:0]
    model, forced = parse(published)
    rows = published_rows(model)
    rows = rows[rows["benchmark"] == (forced or BENCHMARKS.get(benchmark, benchmark))]
    return rows.drop_duplicates(["arm", "k"]).reset_index(drop=True)


@cache
def _rows() -> pd.DataFrame:
    rows = pd.read_csv(PAPER_TABLES)
    rows = rows.assign(
        arm=rows["method"].map(ARMS),
        estimate=(rows["pass_at_k"] / 100).round(6),
        plus_minus=(rows["plus_minus"] / 100).round(6),
    )
    return rows.sort_values("table", kind="stable", ignore_index=True)[list(COLUMNS)]


def _require(name: str, choices: list[str], fault: str) -> None:
    if name not in choices:
        raise ValueError(f"{fault} {name!r}; choose from {', '.join(map(str, choices))}")
