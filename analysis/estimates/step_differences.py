"""Per-step metrics of arms minus the reference's on the same prompts: what is left without the noise of the batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from agrae_lab.runs import Run
from analysis.estimates.step_series import recorded
from analysis.io.study import Study
from analysis.statistics.intervals import t_interval

BLOCKS = 8  # of steps; intervals of more blocks would stand too close in one column of a paper


def step_differences(study: Study, column: str) -> pd.DataFrame:
    """Return a metric of each arm minus the reference's, in BLOCKS blocks of steps; no rows without a pair of runs.

    A pair is two finished runs of the same seed that draw the same prompts at every step. A pair's value in a block is
    its mean difference over the steps that all pairs of the arm recorded.

    Columns: arm, reference, step (middle of the block), block (its number of steps), value (mean over pairs), lo, hi
    (t over pairs; NaN for one pair), seeds (number of pairs), status, method.

    Raises:
        FrameError: a run's metrics cannot be read.
    """
    theirs = _finished(study.arms.get(study.reference, ()))
    if not theirs:
        return pd.DataFrame()
    values = recorded(study, column).pivot(index="step", columns=["arm", "seed"], values="value")
    rows: list[dict[str, Any]] = []
    for arm, runs in study.arms.items():
        pairs = [str(seed) for seed, run in _finished(runs).items() if seed in theirs and _alike(run, theirs[seed])]
        pairs = [seed for seed in pairs if {(arm, seed), (study.reference, seed)} <= set(values.columns)]
        if arm != study.reference and pairs:
            ours, reference = (
                values[[(name, seed) for seed in pairs]].to_numpy(dtype=float) for name in (arm, study.reference)
            )
            differences = pd.DataFrame(ours - reference, index=values.index).dropna()
            rows += [{"arm": arm, **row} for row in _blocks(differences)]
    return pd.DataFrame(rows).assign(reference=study.reference, status="done")


def _finished(runs: tuple[Run, ...]) -> dict[int, Run]:
    return {run.seed: run for run in runs if run.status == "done"}


def _alike(ours: Run, theirs: Run) -> bool:
    """Return True if both runs, which have the same seed, draw the same prompts at every step.

    With dynamic sampling or a skip window the prompts depend on the policy.
    """

    def source(run: Run) -> tuple[Any, ...]:
        config = run.config
        fingerprint = config.get("data_fingerprints", {}).get("train")
        return config.get("task"), fingerprint, config["train"].get("num_prompts")

    trains = (ours.config["train"], theirs.config["train"])
    drawn_by_policy = any((t.get("sampling_rounds") or 1) > 1 or (t.get("skip_window") or 0) > 0 for t in trains)
    return not drawn_by_policy and source(ours) == source(theirs)


def _blocks(differences_TS: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the rows of one arm from its pairs' differences by step, [T, S]."""
    steps_T, values_TS = differences_TS.index.to_numpy(dtype=float), differences_TS.to_numpy(dtype=float)
    num_pairs = values_TS.shape[1]
    for block in np.array_split(np.arange(len(differences_TS)), min(BLOCKS, len(differences_TS)) or 1):
        if len(block):
            estimate, lo, hi = t_interval(values_TS[block].mean(axis=0))
            yield {
                "step": float(steps_T[block].mean()),
                "block": len(block),
                "value": estimate,
                "lo": lo,
                "hi": hi,
                "seeds": num_pairs,
                "method": "mean over block, t over paired seeds" if num_pairs > 1 else "mean over block",
            }
