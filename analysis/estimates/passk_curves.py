"""Pass@k of a study's arms: evaluations, curves, and gains over a reference, with intervals and bands.

contrasts.py decides the scope of every interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agrae_lab.runs import Run
from analysis.io.eval_counts import Counts, check_comparable, intersect_counts, read_counts
from analysis.io.parquet import FrameError, run_named_in_errors
from analysis.io.study import BASE, Study
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import CHECKPOINTS, NO_VARIATION, ONE_PROBLEM, TOO_FEW, WILSON, Evaluations
from analysis.statistics.intervals import Interval, wilson_interval
from analysis.statistics.passk import KS, pass_at_k

_BASE_MODEL = "the base model"
LEFT_OUT = "the base model is left out"


def collect(study: Study, benchmark: str) -> Evaluations | None:
    """Return the evaluations of all arms on a benchmark, or None where there are none yet.

    Finished runs are used. An arm without finished runs is represented by its unfinished ones and marked. With
    `intersect` in the study's view, evaluations are cut to what all of them share, and `notes` names the cut.

    Raises:
        FrameError: an evaluation cannot be read, or two of them cannot be compared.
    """
    chosen = _evaluated_runs(study, benchmark)
    if not chosen:
        return None
    named, has_base, notes = _read_evaluations(study, benchmark, chosen)
    by_key = dict(named)
    correct = {arm: np.stack([by_key[run.key].correct_P for run in runs]) for arm, runs in chosen.items()}
    first = named[0][1]
    return Evaluations(
        benchmark=benchmark,
        num_samples=first.num_samples,
        temperature=first.temperature,
        top_p=first.top_p,
        correct={BASE: by_key[_BASE_MODEL].correct_P[None], **correct} if has_base else correct,
        seeds={arm: tuple(run.seed for run in runs) for arm, runs in chosen.items()},
        unfinished=frozenset(arm for arm, runs in chosen.items() if runs[0].status != "done"),
        notes=tuple(notes),
        seed=study.view.seed,
    )


def _read_evaluations(
    study: Study, benchmark: str, chosen: Mapping[str, Sequence[Run]]
) -> tuple[list[tuple[str, Counts]], bool, list[str]]:
    """Return the named counts of runs and base model, True if the base model is among them, and notes for readers."""
    named = []
    for run in (run for runs in chosen.values() for run in runs):
        with run_named_in_errors(run.path):
            named.append((run.key, read_counts(run.samples_path(benchmark))))
    bases, notes = _base_paths(chosen, benchmark)
    try:
        named += [(_BASE_MODEL, read_counts(path)) for path in bases]
    except FrameError as error:  # the runs can be compared without their base model
        bases, notes = [], [*notes, f"{benchmark}: {LEFT_OUT}: {error}"]
    if study.view.intersect:
        named, cut = intersect_counts(named)
        notes += [f"{benchmark}: {cut}"] if cut else []
    else:
        check_comparable(named)
    notes += [
        f"{name}: {counts.num_invalid} samples are invalid (the verifier could not judge them) and count as not correct"
        for name, counts in named
        if counts.num_invalid
    ]
    return named, bool(bases), notes


def _evaluated_runs(study: Study, benchmark: str) -> dict[str, list[Run]]:
    """Return arm → its evaluated runs: the finished ones, or all where none is finished."""
    chosen = {}
    for arm, runs in study.arms.items():
        evaluated = [run for run in runs if run.samples_path(benchmark).is_file()]
        if evaluated:
            chosen[arm] = [run for run in evaluated if run.status == "done"] or evaluated
    return chosen


def base_sample_paths(runs: Iterable[Run], benchmark: str) -> list[Path]:
    """Return the files of samples of the base models of some runs, as far as they exist."""
    paths = {run.base_samples_path(benchmark) for run in runs}
    return sorted(path for path in paths if path is not None and path.is_file())


def _base_paths(chosen: Mapping[str, Sequence[Run]], benchmark: str) -> tuple[list[Path], list[str]]:
    """Return the path of the one base model's samples, or none with a note on the reason."""
    present = base_sample_paths((run for runs in chosen.values() for run in runs), benchmark)
    if len(present) > 1:
        return [], [f"{benchmark}: the runs start from {len(present)} different base models, so none is drawn"]
    return present, [] if present else [f"{benchmark}: the base model has no evaluation yet"]


def curve_table(evaluations: Evaluations) -> pd.DataFrame:
    """Return Pass@k of every arm at every k. Rows of seed "mean" (or of an only seed) carry intervals.

    Columns: benchmark, arm, seed, seeds, k, estimate, lo, hi, method, scope, band_lo, band_hi
    (simultaneous; `band` names the family and the method), n, problems, temperature, top_p, no_within_variance
    (k > n/2), unfinished. Estimates are NaN where k > n.
    """
    arms = list(evaluations.correct)
    intervals = iter(contrast_intervals(evaluations, [{arm: {k: 1.0}} for arm in arms for k in KS]))
    rows = []
    for arm in arms:
        seeds = evaluations.seeds.get(arm, ())
        for k in KS:
            interval = bounded_share(next(intervals), evaluations.num_problems)
            rows.append(_row(evaluations, interval, arm, k, seed_name(seeds)))
        if len(seeds) > 1:
            pass_SPK = (pass_at_k(c_P, evaluations.num_samples, KS) for c_P in evaluations.correct[arm])
            for seed_number, pass_PK in zip(seeds, pass_SPK, strict=True):
                for k, estimate in zip(KS, pass_PK.mean(axis=0), strict=True):
                    rows.append(_row(evaluations, without_interval(estimate), arm, k, str(seed_number)))
    return name_families(pd.DataFrame(rows))


def gain_table(
    evaluations: Evaluations, reference: str, arms: Sequence[str] | None = None, *, bands: bool = True
) -> pd.DataFrame:
    """Return Pass@k of some arms (of every trained one by default) minus the reference's on the same problems.

    Columns as in curve_table, plus reference and p_value (two-sided, uncorrected).
    """
    arms = [arm for arm in evaluations.correct if arm not in (reference, BASE)] if arms is None else arms
    if reference not in evaluations.correct:
        return pd.DataFrame()
    pairs = [(arm, k) for arm in arms for k in KS]
    contrasts = [{arm: {k: 1.0}, reference: {k: -1.0}} for arm, k in pairs]
    intervals = contrast_intervals(evaluations, contrasts, bands=bands)
    rows = [
        {**_row(evaluations, interval, arm, k, ""), "reference": reference, "p_value": interval.p_value}
        for (arm, k), interval in zip(pairs, intervals, strict=True)
    ]
    return name_families(pd.DataFrame(rows).drop(columns="seed", errors="ignore"))


def interval_columns(evaluations: Evaluations, interval: Interval, arm: str) -> dict[str, Any]:
    """Return the columns of all tables of estimates: the interval of an arm and the setting of its evaluation."""
    return {
        "benchmark": evaluations.benchmark,
        "arm": arm,
        "seeds": len(evaluations.seeds.get(arm, ())),
        **interval.columns,
        "band_lo": interval.band_lo,
        "band_hi": interval.band_hi,
        "band": interval.band,
        "n": evaluations.num_samples,
        "problems": evaluations.num_problems,
        "temperature": evaluations.temperature,
        "top_p": evaluations.top_p,
        "unfinished": arm in evaluations.unfinished,
    }


def seed_name(seeds: Sequence[int]) -> str:
    """Return the column `seed` of a row over all seeds of an arm: "mean", the only seed, or "" without seeds."""
    return "mean" if len(seeds) > 1 else "".join(map(str, seeds))


def without_interval(estimate: float) -> Interval:
    """Return the estimate of a single seed of several, which carries no interval."""
    return Interval(float(estimate), np.nan, np.nan, "", CHECKPOINTS)


def _row(evaluations: Evaluations, interval: Interval, arm: str, k: int, seed: str) -> dict[str, Any]:
    above_half = 2 * k > evaluations.num_samples
    return {**interval_columns(evaluations, interval, arm), "seed": seed, "k": k, "no_within_variance": above_half}


def name_families(table: pd.DataFrame, column: str = "k", symbol: str = "k") -> pd.DataFrame:
    """Return the table with the family named in `band`: the cells (arm × column) with a band of one method."""
    if table.empty:
        return table
    names = table["band"].copy()
    for method, rows in table.dropna(subset="band_lo").groupby("band"):
        arms, values = rows["arm"].nunique(), rows[column].nunique()
        family = (
            f"{len(rows)} cell{'s' * (len(rows) > 1)} of {arms} arm{'s' * (arms > 1)} and {values} {symbol} at once"
        )
        names[rows.index] = f"{method}, over {family}"
    return table.assign(band=names)


def bounded_share(interval: Interval, num_problems: int) -> Interval:
    """Return the interval of a share: cut at 0 and 1, and Wilson's where too few problems differ for a t interval.

    Wilson's interval treats the sum of the problems' scores as a count of successes. Scores between 0 and 1 vary less
    than that, also over seeds, so the interval is conservative.
    """
    if interval.method not in (NO_VARIATION, ONE_PROBLEM, TOO_FEW):
        ends = np.clip([interval.lo, interval.hi, interval.band_lo, interval.band_hi], 0.0, 1.0)
        lo, hi, band_lo, band_hi = ends.tolist()
        return replace(interval, lo=lo, hi=hi, band_lo=band_lo, band_hi=band_hi)
    lo, hi = wilson_interval(interval.estimate * num_problems, num_problems)
    return replace(interval, lo=lo, hi=hi, method=WILSON)
