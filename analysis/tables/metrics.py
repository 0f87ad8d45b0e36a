"""Breadth and reliability of every arm: further metrics of the counts of correct samples."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.estimates.evaluated import evaluated, half_k
from analysis.estimates.passk_curves import bounded_share, interval_columns, name_families
from analysis.io.study import Study
from analysis.presentation.captions import describe_missing, describe_setting, summarize_setting
from analysis.presentation.style import sort_arms
from analysis.presentation.table_layout import NO_VALUE, Block, Layout, Row, share_cell
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.count_metrics import area_under_curve, g_pass_at_k, mean_g_pass_at_k, pass_hat_k
from analysis.statistics.evaluations import Evaluations
from analysis.statistics.intervals import Interval
from analysis.statistics.passk import KS, pass_at_k
from analysis.tables._evaluated import row_name

NAME = "table_metrics"
QUESTION = "Does a method solve more problems, or solve them more reliably?"
PAPER = ""

MOST_K = 16  # of the reliability metrics: hardly any problem has more samples than that all correct
TAU = 0.5
AREA, ALL, HALF, MEAN = "area", "pass^k", f"G-Pass@k, τ = {TAU:g}", "mG-Pass@k"
METRICS = (AREA, ALL, HALF, MEAN)
FEW_SAMPLES = "n < 4"

_DEFINITIONS = (
    "Area: area under Pass@k over log2 k (trapezoid rule), divided by the length of the axis, from k = 1 to the "
    "largest k ≤ n/2; that is the mean of Pass@k along the axis.",
    "pass^k: probability that all of k samples are correct (Yao et al. 2024, arXiv 2406.12045).",
    f"G-Pass@k at τ = {TAU:g}: probability that at least half of k samples are correct. mG-Pass@k: its mean over τ "
    "from 0.5 to 1, computed as (2/k) Σ P(at least i of k correct) for i from k/2 + 1 to k (Liu et al. 2024, arXiv "
    "2412.13147).",
    "The k samples are drawn without replacement from the n. Blocks with different k are not comparable.",
)


def table(study: Study) -> pd.DataFrame:
    """Return rows: benchmark, arm, metric, and its mean over problems (a share) with interval.

    Further columns: those of curve_table; k (of the area: the largest of its axis); note.

    Raises:
        FrameError: an evaluation cannot be read, or two of them cannot be compared.
    """
    frames = [_rows(evaluations) for evaluations in evaluated(study)]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return rows if len(rows) and rows["estimate"].notna().any() else pd.DataFrame()


def scores(num_samples: int) -> dict[str, np.ndarray]:
    """Return metric → [n+1], a problem's score for each count of correct samples; n ≥ 4, for two k ≤ n/2."""
    counts, k = np.arange(num_samples + 1), half_k(num_samples, MOST_K)
    ks = [k for k in KS if k <= half_k(num_samples)]
    return {
        AREA: area_under_curve(pass_at_k(counts, num_samples, ks), ks),
        ALL: pass_hat_k(counts, num_samples, [k])[:, 0],
        HALF: g_pass_at_k(counts, num_samples, [k], tau=TAU)[:, 0],
        MEAN: mean_g_pass_at_k(counts, num_samples, [k])[:, 0],
    }


def _rows(evaluations: Evaluations) -> pd.DataFrame:
    n = evaluations.num_samples
    cells = [(arm, metric) for arm in sort_arms(list(evaluations.correct)) for metric in METRICS]
    if n < 4:
        intervals = [Interval(np.nan, np.nan, np.nan, "", "")] * len(cells)
    else:
        found = contrast_intervals(evaluations, [{arm: {metric: 1.0}} for arm, metric in cells], scores(n))
        intervals = [bounded_share(interval, evaluations.num_problems) for interval in found]
    rows = [
        {
            **interval_columns(evaluations, interval, arm),
            "metric": metric,
            "k": half_k(n, KS[-1] if metric == AREA else MOST_K),
            "note": FEW_SAMPLES if n < 4 else "",
        }
        for (arm, metric), interval in zip(cells, intervals, strict=True)
    ]
    return name_families(pd.DataFrame(rows), "metric", "metrics")


def layout(table: pd.DataFrame) -> Layout:
    """Return arms down and metrics across, with a block for each benchmark."""
    blocks = []
    for benchmark, part in table.groupby("benchmark", sort=False):
        lines = []
        for arm, own in part.groupby("arm", sort=False):
            cells = own.set_index("metric").loc[list(METRICS)]
            values = zip(cells["estimate"], cells["lo"], cells["hi"], strict=True)
            lines.append(
                Row(row_name(str(arm), bool(own["unfinished"].any())), tuple(share_cell(*value) for value in values))
            )
        blocks.append(Block(_title(str(benchmark), part), tuple(lines)))
    return Layout(
        caption="Metrics of breadth and reliability, in percent with 95 % intervals. "
        f"{summarize_setting(table[table['estimate'].notna()])}",
        head=("", *METRICS),
        blocks=tuple(blocks),
        notes=_notes(table),
    )


def _title(benchmark: str, rows: pd.DataFrame) -> str:
    about = f"{int(rows['problems'].iloc[0])} problems, n = {int(rows['n'].iloc[0])}"
    if rows["estimate"].isna().all():
        return f"{benchmark} ({about})"
    k = rows.groupby("metric")["k"].first()
    return f"{benchmark} ({about}; area from k = 1 to {k[AREA]}, the others at k = {k[ALL]})"


def _notes(table: pd.DataFrame) -> tuple[str, ...]:
    known = table[table["estimate"].notna()]
    notes = [describe_setting(known), *_DEFINITIONS]
    notes += describe_missing(known)
    if len(few := table.loc[table["note"] == FEW_SAMPLES, "benchmark"].unique()):
        notes.append(f"{NO_VALUE}, {FEW_SAMPLES}: no k above 1 is at most n/2 ({', '.join(few)}).")
    return tuple(notes)
