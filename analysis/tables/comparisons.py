"""Differences of every arm from the reference, corrected as one family; then of all pairs, as an exploration."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.estimates.evaluated import evaluated, half_k
from analysis.estimates.pairwise import compare_family, pairwise_differences
from analysis.io.study import BASE, Study
from analysis.presentation.captions import describe_missing, describe_setting, summarize_setting
from analysis.presentation.style import label, sort_arms
from analysis.presentation.table_layout import NO_VALUE, Block, Cell, Layout, Row, share_cell
from analysis.statistics.evaluations import Evaluations
from analysis.statistics.intervals import few_seeds_caution
from analysis.tables._evaluated import p_cell, row_name

NAME = "table_comparisons"
QUESTION = "Which methods differ from the reference once all comparisons are counted?"
PAPER = ""

FAMILY, PAIRS = "family", "pairs"
MOST_ARMS = 24  # with more arms there is no exploration: the number of pairs grows with the square

_P_VALUES = "p: two-sided, by the method of its interval, so that p and interval always agree."
_FAMILY = (
    "Declared family: every evaluated trained arm against the reference, at k = 1 and at the largest k ≤ n/2. Its "
    "adjusted p is Holm's (1979) over all comparisons on one benchmark: without any true difference, at most 5 % of "
    "experiments have an adjusted p below 0.05. Scope checkpoints (an arm has one seed): the claim is about these "
    "checkpoints. Scope method (all arms have two seeds or more): the claim is about the methods on problems like "
    "these, paired by seed if two arms share seed numbers."
)
_PAIRS = (
    "Exploration: all pairs of arms and the base model, not declared beforehand. Its adjusted p is Benjamini and "
    "Hochberg's (1995): of the pairs below 0.05, at most 5 % are expected to be false. Test such pairs with new data."
)

_ADJUSTED = {FAMILY: "p_holm", PAIRS: "p_bh"}


def table(study: Study) -> pd.DataFrame:
    """Return rows: benchmark, part (FAMILY or PAIRS), arm, reference, k, and Pass@k of the arm minus the reference's.

    estimate, lo and hi are shares; p_value is two-sided and uncorrected. p_holm: corrected over the family of one
    benchmark: every trained arm against the reference (without it, against the base model), at k = 1 and the largest
    k ≤ n/2. p_bh: corrected over all pairs of one benchmark at these k. family_scope: "method" if all arms of the
    family have two seeds or more, else "checkpoints"; a pair has the interval that its own data allow. seeds,
    reference_seeds: of the two arms. caution: a warning for fewer than five seeds.

    Raises:
        FrameError: an evaluation cannot be read, or two of them cannot be compared.
    """
    frames = [frame for evaluations in evaluated(study) for frame in _frames(evaluations, study.reference)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _frames(evaluations: Evaluations, reference: str) -> list[pd.DataFrame]:
    ks = sorted({1, half_k(evaluations.num_samples)})
    found = []
    reference = reference if reference in evaluations.correct else BASE
    arms = sort_arms([arm for arm in evaluations.correct if arm not in (reference, BASE)])
    if arms and reference in evaluations.correct:
        scope = _scope(evaluations, [*arms, reference])
        family = compare_family(evaluations, arms, reference, ks, scope=scope)
        found.append(family.assign(part=FAMILY, family_scope=scope))
    few = len(evaluations.correct) <= MOST_ARMS
    pairs = pairwise_differences(_in_display_order(evaluations), ks) if few else pd.DataFrame()
    if len(pairs):
        found.append(pairs.assign(part=PAIRS, caution=pairs["seeds"].map(few_seeds_caution), family_scope=""))
    return [_with_setting(frame, evaluations) for frame in found]


def _scope(evaluations: Evaluations, arms: list[str]) -> str:
    trained = [arm for arm in arms if arm != BASE]
    return "method" if all(len(evaluations.seeds[arm]) > 1 for arm in trained) else "checkpoints"


def _in_display_order(evaluations: Evaluations) -> Evaluations:
    """Return the evaluations with the arms in display order, so that an arm is compared with earlier ones."""
    correct = {arm: evaluations.correct[arm] for arm in sort_arms(list(evaluations.correct))}
    return replace(evaluations, correct=correct)


def _with_setting(rows: pd.DataFrame, evaluations: Evaluations) -> pd.DataFrame:
    seeds = {arm: len(evaluations.seeds.get(arm, ())) for arm in evaluations.correct}
    return rows.assign(
        seeds=rows["arm"].map(seeds),
        reference_seeds=rows["reference"].map(seeds),
        n=evaluations.num_samples,
        problems=evaluations.num_problems,
        temperature=evaluations.temperature,
        top_p=evaluations.top_p,
        unfinished=rows["arm"].isin(list(evaluations.unfinished)),
        reference_unfinished=rows["reference"].isin(list(evaluations.unfinished)),
    )


def layout(table: pd.DataFrame) -> Layout:
    """Return comparisons down and k across; for each benchmark a block with the family and one with all pairs."""
    places = ["k = 1", *(["largest k ≤ n/2"] if (table["k"] > 1).any() else [])]
    blocks = []
    for (benchmark, part), rows in table.groupby(["benchmark", "part"], sort=False):
        pairs = rows.groupby(["arm", "reference"], sort=False)
        lines = [_line(str(part), own.sort_values("k"), len(places)) for _, own in pairs]
        blocks.append(Block(_title(str(benchmark), str(part), rows), tuple(lines)))
    return Layout(
        caption="Differences in Pass@k, in percentage points with 95 % intervals, p and adjusted p. "
        f"{summarize_setting(table)}",
        head=("", *("difference", "p", "adjusted p") * len(places)),
        blocks=tuple(blocks),
        notes=_notes(table),
        spans=tuple((place, 3) for place in places),
    )


def _line(part: str, rows: pd.DataFrame, num_places: int) -> Row:
    cells: list[Cell] = []
    for row in rows.to_dict("records"):
        difference = share_cell(row["estimate"], row["lo"], row["hi"])
        cells += [difference, p_cell(row["p_value"]), p_cell(row[_ADJUSTED[part]])]
    cells += [Cell()] * (3 * num_places - len(cells))
    first = rows.iloc[0]
    ours, theirs = (
        row_name(first["arm"], first["unfinished"]),
        row_name(first["reference"], first["reference_unfinished"]),
    )
    return Row(f"{ours} − {theirs}", tuple(cells))


def _title(benchmark: str, part: str, rows: pd.DataFrame) -> str:
    ks = sorted(rows["k"].unique())
    if part == PAIRS:
        return f"{benchmark}, exploration: all pairs (Benjamini–Hochberg over {rows['p_value'].count()} comparisons)"
    arms, scope = rows["arm"].nunique(), rows["family_scope"].iloc[0]
    largest = f"largest k = {ks[-1]}; " if ks[-1] > 1 else ""
    holm = f"Holm over {arms} arm{'s' * (arms > 1)} × {len(ks)} k against {label(rows['reference'].iloc[0])}"
    return f"{benchmark}, declared family ({largest}scope: {scope}; {holm})"


def _notes(table: pd.DataFrame) -> tuple[str, ...]:
    family, pairs = (table[table["part"] == part] for part in (FAMILY, PAIRS))
    lacking = [benchmark for benchmark in table["benchmark"].unique() if benchmark not in set(family["benchmark"])]
    rows = table[(table["part"] == FAMILY) | table["benchmark"].isin(lacking)]
    notes = [describe_setting(pd.concat([rows, _references(rows)], ignore_index=True)), _P_VALUES]
    if len(family):
        notes.append(_FAMILY)
    if len(pairs):
        ways = pairs.dropna(subset="lo")[["method", "scope"]].drop_duplicates().to_numpy()
        named = "; ".join(f"{method} ({scope})" for method, scope in ways) or "none"
        notes.append(f"{_PAIRS} Intervals there: {named}.")
    notes += describe_missing(table, missing_values="interval and no p")
    if lacking:
        notes.append(f"No declared family, since there are no two arms to compare: {', '.join(lacking)}.")
    largest = table.groupby("benchmark", sort=False)["k"].max()
    if len(few := largest.index[largest == 1]) and len(few) < len(largest):
        notes.append(f"{NO_VALUE}, n < 4: no k above 1 is at most n/2 ({', '.join(few)}).")
    return tuple(notes)


def _references(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each reference arm, so that describe_setting lists their seeds too."""
    known = rows.drop_duplicates(["benchmark", "reference"])
    return known.assign(arm=known["reference"], seeds=known["reference_seeds"], method="", lo=np.nan)
