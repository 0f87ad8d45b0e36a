"""Pass@k of the arms of a study: what is compared, curves, and gains over a reference, with intervals and bands.

contrasts.py decides the scope of every interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agrae_lab.runs import Run
from analysis.io.eval_counts import check_comparable, intersect_counts, read_counts
from analysis.io.parquet import FrameError, run_named_in_errors
from analysis.io.study import BASE, Study
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import CHECKPOINTS, NO_VARIATION, TOO_FEW, WILSON, Evaluations
from analysis.statistics.intervals import Interval, wilson_interval
from analysis.statistics.passk import KS, pass_at_k

_BASE_MODEL = "the base model"
LEFT_OUT = "the base model is left out"


def collect(study: Study, benchmark: str) -> Evaluations | None:
    """Counts of all evaluated arms on a benchmark; None where there is none yet.

    Finished runs are used. An arm without any is represented by its unfinished runs and marked. With `intersect` in
    the study's view, arms are cut to what all of them have, and `notes` says to what.

    Raises:
        FrameError: an evaluation cannot be read, or two of them cannot be compared.
    """
    chosen = _evaluated_runs(study, benchmark)
    if not chosen:
        return None
    named = []
    for run in (run for runs in chosen.values() for run in runs):
        with run_named_in_errors(run.path):
            named.append((run.key, read_counts(run.samples_path(benchmark))))
    bases, notes = _base_paths(chosen, benchmark)
    try:
        named += [(_BASE_MODEL, read_counts(path)) for path in bases]
    except FrameError as error:  # of a model that all runs share: they can be compared without it
        bases, notes = [], [*notes, f"{benchmark}: {LEFT_OUT}: {error}"]
    if study.view.intersect:
        named, cut = intersect_counts(named)
        notes += [f"{benchmark}: {cut}"] if cut else []
    else:
        check_comparable(named)
    notes += [
        f"{name}: the verifier could not decide {counts.num_invalid} samples; they count as not correct"
        for name, counts in named
        if counts.num_invalid
    ]
    by_key = dict(named)
    correct = {arm: np.stack([by_key[run.key].correct_P for run in runs]) for arm, runs in chosen.items()}
    first = named[0][1]
    return Evaluations(
        benchmark=benchmark,
        num_samples=first.num_samples,
        temperature=first.temperature,
        top_p=first.top_p,
        correct={BASE: by_key[_BASE_MODEL].correct_P[None], **correct} if bases else correct,
        seeds={arm: tuple(run.seed for run in runs) for arm, runs in chosen.items()},
        unfinished=frozenset(arm for arm, runs in chosen.items() if runs[0].status != "done"),
        notes=tuple(notes),
        seed=study.view.seed,
    )


def _evaluated_runs(study: Study, benchmark: str) -> dict[str, list[Run]]:
    """Arm → its evaluated runs: the finished ones, or all of them where none is."""
    chosen = {}
    for arm, runs in study.arms.items():
        evaluated = [run for run in runs if run.samples_path(benchmark).is_file()]
        if evaluated:
            chosen[arm] = [run for run in evaluated if run.status == "done"] or evaluated
    return chosen


def _base_paths(chosen: Mapping[str, Sequence[Run]], benchmark: str) -> tuple[list[Path], list[str]]:
    paths = {run.base_samples_path(benchmark) for runs in chosen.values() for run in runs} - {None}
    present = sorted(path for path in paths if path is not None and path.is_file())
    if len(present) > 1:
        return [], [f"{benchmark}: the runs start from {len(present)} different base models, so none is drawn"]
    return present, [] if present else [f"{benchmark}: the base model has no evaluation yet"]


def curve_table(evaluations: Evaluations) -> pd.DataFrame:
    """Pass@k of every arm at every k: rows with seed "mean" (or the only seed) carry intervals, others single seeds.

    Columns: benchmark, arm, seed, seeds, k, estimate, lo, hi, method, speaks_of, band_lo, band_hi (simultaneous over
    the family that `band` names, with the method), n, problems, temperature, top_p, no_within_variance (k > n/2),
    unfinished. Estimates are NaN where k > n.
    """
    arms = list(evaluations.correct)
    intervals = iter(contrast_intervals(evaluations, [{arm: {k: 1.0}} for arm in arms for k in KS]))
    rows = []
    for arm in arms:
        seeds = evaluations.seeds.get(arm, ())
        for k in KS:
            interval = bounded_share(next(intervals), evaluations.num_problems)
            seed = "mean" if len(seeds) > 1 else "".join(map(str, seeds))
            rows.append(_row(evaluations, interval, arm, k, seed))
        if len(seeds) > 1:
            pass_SPK = (pass_at_k(c_P, evaluations.num_samples, KS) for c_P in evaluations.correct[arm])
            for seed_number, pass_PK in zip(seeds, pass_SPK, strict=True):
                for k, estimate in zip(KS, pass_PK.mean(axis=0), strict=True):
                    single = Interval(float(estimate), np.nan, np.nan, "", CHECKPOINTS)
                    rows.append(_row(evaluations, single, arm, k, str(seed_number)))
    return name_families(pd.DataFrame(rows))


def gain_table(evaluations: Evaluations, reference: str) -> pd.DataFrame:
    """Pass@k of every arm minus the reference's on the same problems; columns as in curve_table, plus reference and
    p_value (two-sided, uncorrected)."""
    arms = [arm for arm in evaluations.correct if arm not in (reference, BASE)]
    if reference not in evaluations.correct:
        return pd.DataFrame()
    pairs = [(arm, k) for arm in arms for k in KS]
    contrasts = [{arm: {k: 1.0}, reference: {k: -1.0}} for arm, k in pairs]
    intervals = contrast_intervals(evaluations, contrasts)
    rows = [
        {**_row(evaluations, interval, arm, k, ""), "reference": reference, "p_value": interval.p_value}
        for (arm, k), interval in zip(pairs, intervals, strict=True)
    ]
    return name_families(pd.DataFrame(rows).drop(columns="seed", errors="ignore"))


def interval_columns(evaluations: Evaluations, interval: Interval, arm: str) -> dict[str, Any]:
    """What every table says of an arm's interval and of the evaluation that it comes from."""
    return {
        "benchmark": evaluations.benchmark,
        "arm": arm,
        "seeds": len(evaluations.seeds.get(arm, ())),
        "estimate": interval.estimate,
        "lo": interval.lo,
        "hi": interval.hi,
        "method": interval.method,
        "speaks_of": interval.speaks_of,
        "band_lo": interval.band_lo,
        "band_hi": interval.band_hi,
        "band": interval.band,
        "n": evaluations.num_samples,
        "problems": evaluations.num_problems,
        "temperature": evaluations.temperature,
        "top_p": evaluations.top_p,
        "unfinished": arm in evaluations.unfinished,
    }


def _row(evaluations: Evaluations, interval: Interval, arm: str, k: int, seed: str) -> dict[str, Any]:
    above_half = 2 * k > evaluations.num_samples
    return {**interval_columns(evaluations, interval, arm), "seed": seed, "k": k, "no_within_variance": above_half}


def name_families(table: pd.DataFrame, column: str = "k", symbol: str = "k") -> pd.DataFrame:
    """`band` with its family: the cells of one table (arm × column) that have a band of one method."""
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
    """The interval of a share: cut at 0 and 1, and Wilson's where too few problems differ for a t interval.

    Wilson's takes the sum of the problems' scores for a count of successes. Scores between 0 and 1 vary less than
    that, so it is on the safe side.
    """
    if interval.method not in (NO_VARIATION, TOO_FEW):
        ends = np.clip([interval.lo, interval.hi, interval.band_lo, interval.band_hi], 0.0, 1.0)
        lo, hi, band_lo, band_hi = ends.tolist()
        return replace(interval, lo=lo, hi=hi, band_lo=band_lo, band_hi=band_hi)
    lo, hi = wilson_interval(interval.estimate * num_problems, num_problems)
    return replace(interval, lo=lo, hi=hi, method=WILSON)
