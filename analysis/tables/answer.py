"""Differences of each candidate from the reference at the question's k, with seeds and scope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.estimates.answers import Answer, answers
from analysis.io.study import Study
from analysis.presentation.captions import describe_missing
from analysis.presentation.style import minus
from analysis.presentation.table_layout import Block, Cell, Layout, Row, share_cell

NAME = "table_answer"
QUESTION = "Which candidate is better than the reference, where, and how sure is it?"
PAPER = ""


def table(study: Study) -> pd.DataFrame:
    """Return rows: benchmark, setting, arm, reference, k, Pass@k of the arm minus the reference's, p_value, word.

    Pass@k is a share. word: better, worse, alike (smaller than the smallest effect) or undecided. needed: seeds of each
    arm that find the smallest effect on these problems with power 0.8, where that is undecided and known.

    Raises:
        FrameError: an evaluation cannot be read, or two of them cannot be compared.
    """
    return pd.DataFrame([row for answer in answers(study) for row in _rows(answer)])


def _rows(answer: Answer) -> Iterator[dict[str, Any]]:
    for difference in answer.differences:
        yield {
            "benchmark": answer.benchmark,
            "setting": answer.setting,
            "arm": answer.arm,
            "reference": answer.reference,
            "k": difference.k,
            "estimate": difference.interval.estimate,
            "lo": difference.interval.lo,
            "hi": difference.interval.hi,
            "p_value": difference.interval.p_value,
            "word": difference.word,
            "needed": difference.needed,
            "method": difference.interval.method,
            "scope": difference.interval.scope,
            "seeds": difference.interval.num_seeds,
            "problems": answer.num_problems,
            "n": answer.num_samples,
            "caution": difference.interval.caution,
            "unfinished": bool(answer.unfinished),
        }


def layout(table: pd.DataFrame) -> Layout:
    """Return candidates down and k across, then seeds and scope."""
    ks = sorted(table["k"].unique())
    blocks = []
    for (benchmark, setting), on in table.groupby(["benchmark", "setting"], sort=False):
        lines = [_line(rows, ks) for _, rows in on.groupby("arm", sort=False)]
        place = f"{benchmark}, {setting}" if setting else benchmark
        title = f"{place} ({on['problems'].iloc[0]} problems, n = {on['n'].iloc[0]})"
        blocks.append(Block(title, tuple(lines)))
    cautions = [text for text in table["caution"].unique() if text]
    methods = list(table.loc[table["lo"].notna(), "method"].unique())
    return Layout(
        caption="Differences in Pass@k from the reference, in percentage points with 95 % intervals.",
        head=("", *(f"k = {k}" for k in ks), "seeds", "scope"),
        blocks=tuple(blocks),
        notes=(
            *([f"Interval: {' or '.join(methods)}; paired by problem."] if methods else []),
            *(f"{text[0].upper()}{text[1:]}." for text in cautions),
            *describe_missing(table),
        ),
    )


def _line(rows: pd.DataFrame, ks: list[int]) -> Row:
    by_k = {row["k"]: row for row in rows.to_dict("records")}
    cells = [share_cell(*(by_k[k][name] for name in ("estimate", "lo", "hi"))) if k in by_k else Cell() for k in ks]
    first = rows.iloc[0]
    name = minus(first["arm"], first["reference"]) + (" (unfinished)" if first["unfinished"] else "")
    return Row(name, (*cells, Cell(str(rows["seeds"].min())), Cell(first["scope"])))
