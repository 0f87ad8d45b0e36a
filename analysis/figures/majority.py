"""Pass@k and maj@k against k, and the gains in maj@k over the base model and over the reference."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.majority_curves import Votes, collect_votes, vote_gain_table, vote_table
from analysis.estimates.passk_curves import collect, curve_table
from analysis.figures._curves import describe_evaluation, draw_curves
from analysis.io.study import BASE, Study
from analysis.presentation.captions import summarize_setting
from analysis.presentation.style import label
from analysis.statistics.evaluations import Evaluations

NAME = "majority"
QUESTION = "Is the answer that most of k samples give right, and does an arm's gain in Pass@k reach it?"
PAPER = ""

_PASS, _MAJORITY = "Pass@k", "maj@k"


def table(study: Study) -> pd.DataFrame:
    """Return rows of curve_table and of vote_table, with their `quantity`; rows of gains have a `reference`.

    No rows if no run has recorded its answers (samples.parquet without a column `answer`).
    """
    frames = []
    for benchmark in study.benchmarks:
        if (evaluations := collect(study, benchmark)) is None:
            continue
        if (votes := collect_votes(study, evaluations)) is None:
            continue
        notes = " ".join(votes.notes)
        frames += [
            rows.assign(note=notes, draw_seed=evaluations.seed)
            for rows in _panels(evaluations, votes, study.reference)
            if len(rows)
        ]
    return pd.concat(frames, ignore_index=True).fillna({"reference": ""}) if frames else pd.DataFrame()


def _panels(evaluations: Evaluations, votes: Votes, reference: str) -> list[pd.DataFrame]:
    benchmark = evaluations.benchmark
    curves = curve_table(evaluations).dropna(subset="estimate")
    gains = {label(one): vote_gain_table(votes, one) for one in (BASE, reference)}
    return [
        curves.assign(panel=f"{benchmark}: {_PASS}", quantity=_PASS, reference=""),
        vote_table(votes).assign(panel=f"{benchmark}: {_MAJORITY}", quantity=_MAJORITY, reference=""),
        *(
            rows.assign(panel=f"{benchmark}: {_MAJORITY} minus {name}", quantity=_MAJORITY)
            for name, rows in gains.items()
        ),
    ]


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities, then n, seeds and scope."""
    return (
        "Pass@k, and maj@k, the share of problems whose most frequent answer among k samples is right, with 95 % "
        f"intervals. {summarize_setting(table)}"
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the rules of the vote and its Monte Carlo error, then the evaluation and the bands."""
    votes = table[table["quantity"] == _MAJORITY]
    draws = ", ".join(f"{int(num):,}" for num in votes["num_draws"].unique())
    return (
        "Ties are broken at random. A sample without an answer abstains, and a vote without any answer is wrong.",
        f"maj@k is the mean over {draws} random subsets of each problem's samples (seed "
        f"{table['draw_seed'].iloc[0]}); it is exact at k = 1 and k = n.",
        "This sampling adds a standard error of at most "
        f"{100 * votes['monte_carlo_error'].max():.2f} points to an arm's mean.",
        "Pass@k is unbiased. Differences are paired.",
        *table["note"].unique(),
        *describe_evaluation(table),
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the curves of one panel; a line at zero for gains."""
    first = table.iloc[0]
    if first["reference"]:
        ax.axhline(0.0, color="0.4", linewidth=0.8, zorder=1)
    draw_curves(table, ax)
    ax.set_ylabel(f"Difference in {first['quantity']} (pp)" if first["reference"] else f"{first['quantity']} (%)")
    return ax
