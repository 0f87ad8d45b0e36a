"""Simulated false alarms and power of the audit: `python -m analysis.audit.rates` prints the table of docs/audit.md.

A genuine table has nine methods on one benchmark: logit-normal difficulties, a shift and some noise for each method,
binomial counts of n samples, Pass@k by the unbiased formula, averaged over runs, rounded to one decimal of a percent.
A faulty table turns the same counts into numbers by another way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.audit.checks import CHECKS, audit
from analysis.audit.table import Cell, Curve
from analysis.statistics.passk import KS, pass_at_k

NUM_SAMPLES = 256
NUM_METHODS = 9
DECIMALS = 1

Spread = Literal["problems", "runs"]
Fault = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # row of shares [K] → row as printed


@dataclass(frozen=True)
class Setting:
    """Settings of simulated tables."""

    name: str
    num_problems: int
    runs: int = 1
    spread: Spread = "problems"  # meaning of ±: standard error over problems, or standard deviation of runs
    sets_apart: bool = False  # separate samples for every k
    subsets: bool = False  # a problem scores 1 if one random subset of k samples holds a correct one, else 0
    fault: Fault | None = None
    stated: bool = True  # the table states the number of runs


def simulate(setting: Setting, rng: np.random.Generator) -> list[Curve]:
    """Return the curves of one simulated table."""
    difficulty_P = rng.normal(rng.uniform(-3.0, 1.5), rng.uniform(1.0, 3.0), setting.num_problems)
    curves = []
    for method in range(NUM_METHODS):
        logit_P = difficulty_P + rng.normal(0.3, 0.3) + rng.normal(0.0, 0.3, setting.num_problems)
        p_P = 1 / (1 + np.exp(-logit_P))
        means_RK, spread_K = _means(setting, p_P, rng)
        row_K = means_RK.mean(axis=0)
        printed_K = row_K.round(2 + DECIMALS) if setting.fault is None else setting.fault(row_K, rng)
        cells = tuple(
            Cell(line=2 + method * len(KS) + i, k=k, value=float(printed_K[i]), plus_minus=float(spread_K[i]))
            for i, k in enumerate(KS)
        )
        curves.append(
            Curve(
                table="", model="", benchmark="simulated", method=str(method), cells=cells, decimals=DECIMALS,
                problems=setting.num_problems, runs=setting.runs if setting.stated else None,
            )
        )  # fmt: skip
    return curves


def _means(setting: Setting, p_P: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return Pass@k of every run, [R, K], and the printed ± of their mean, [K]."""
    num_sets = len(KS) if setting.sets_apart else 1
    counts_RSP = rng.binomial(NUM_SAMPLES, p_P, (setting.runs, num_sets, len(p_P)))
    scores_RPK = np.stack([_scores(counts_SP) for counts_SP in counts_RSP])
    if setting.subsets:
        scores_RPK = (rng.random(scores_RPK.shape) < scores_RPK).astype(np.float64)
    means_RK = scores_RPK.mean(axis=1)
    if setting.spread == "runs":
        spread_K = means_RK.std(axis=0, ddof=1)
    else:
        spread_K = scores_RPK.mean(axis=0).std(axis=0, ddof=1) / np.sqrt(len(p_P))
    return means_RK, spread_K.round(2 + DECIMALS)


def _scores(counts_SP: np.ndarray) -> np.ndarray:
    """Return Pass@k of every problem, [P, K], each k from its own set of samples where there are several."""
    if len(counts_SP) == 1:
        return pass_at_k(counts_SP[0], NUM_SAMPLES, KS)
    columns = [pass_at_k(c_P, NUM_SAMPLES, [k])[:, 0] for c_P, k in zip(counts_SP, KS, strict=True)]
    return np.stack(columns, axis=1)


def mistyped(by: float) -> Fault:
    """Return a fault that moves one inner number of a row by `by` points up or down."""

    def fault(row_K: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        wrong_K = row_K.round(2 + DECIMALS)
        i = rng.integers(1, len(row_K) - 1)
        up = wrong_K[i] + by / 100 < 1 and rng.random() < 0.5
        wrong_K[i] = max(wrong_K[i] + (by if up else -by) / 100, 0.0)
        return wrong_K

    return fault


def cut_off(row_K: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the row with digits cut off instead of rounded."""
    scale = 10.0 ** (2 + DECIMALS)
    return np.floor(row_K * scale + 1e-9) / scale


GENUINE = (
    Setting("30 problems", 30),
    Setting("40 problems, mean of 16 runs, ± over runs", 40, runs=16, spread="runs"),
    Setting("500 problems", 500),
    Setting("5,000 problems", 5000),
    Setting("5,000 problems, mean of 4 runs, ± over runs", 5000, runs=4, spread="runs"),
)
FAULTY = (
    Setting("16 runs averaged, not stated; 40 problems", 40, runs=16, stated=False),
    Setting("samples apart for each k, 30 problems", 30, sets_apart=True),
    Setting("samples apart for each k, 500 problems", 500, sets_apart=True),
    Setting("samples apart for each k, 5,000 problems", 5000, sets_apart=True),
    Setting("one random subset for each problem and k, 30 problems", 30, subsets=True),
    Setting("one random subset for each problem and k, 500 problems", 500, subsets=True),
    Setting("one random subset for each problem and k, 5,000 problems", 5000, subsets=True),
    Setting("one number 0.5 off, 500 problems", 500, fault=mistyped(0.5)),
    Setting("one number 1.0 off, 500 problems", 500, fault=mistyped(1.0)),
    Setting("cut off, not rounded, 500 problems", 500, fault=cut_off),
)


def measure(setting: Setting, *, num_tables: int, seed: int) -> dict[str, tuple[int, int]]:
    """Return check → (number of curves with findings out of `num_tables` · 9, number of tables with findings)."""
    rng = np.random.default_rng(seed)
    curves_named = dict.fromkeys((check.name for check in CHECKS), 0)
    tables_named = dict(curves_named)
    for _ in range(num_tables):
        found = audit(simulate(setting, rng))
        for check in CHECKS:
            named = {f.method for f in found if f.check == check.name}
            curves_named[check.name] += len(named)
            tables_named[check.name] += bool(named)
    return {name: (curves_named[name], tables_named[name]) for name in curves_named}


def report(settings: Sequence[Setting], *, num_tables: int, seed: int) -> str:
    """Return a Markdown table with the number of curves with findings of each check, or of tables for the last two."""
    names = [check.name for check in CHECKS]
    of_tables = {"identical rows", "plus-minus"}
    lines = ["| simulated | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
    for setting in settings:
        found = measure(setting, num_tables=num_tables, seed=seed)
        cells = (
            f"{found[name][1]} of {num_tables} tables" if name in of_tables else str(found[name][0]) for name in names
        )
        lines.append(f"| {setting.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"{34 * NUM_METHODS} curves in 34 tables for each line.\n")
    print(report((*GENUINE, *FAULTY), num_tables=34, seed=0))
