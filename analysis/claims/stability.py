"""C4: collapses of Negative-Dominant and of A-GRAE's group level."""

from __future__ import annotations

import pandas as pd

from agrae_lab.runs import FINAL_STATUSES
from analysis.claims.verdicts import NOT_SUPPORTED, SUPPORTED, UNDECIDED, Part, Verdict, conclude, sign_verdict
from analysis.presentation.style import label
from analysis.statistics.collapse import DIVERGED, RULE
from analysis.statistics.intervals import Interval
from analysis.statistics.proportions import difference_interval, share_interval

UNSTABLE = 0.05  # an arm is unstable if the interval of its share of collapsed runs is above this
STABLE = 0.25  # an arm is stable if that interval is below this; 13 runs without a collapse are enough
MIN_RUNS = 3  # per arm: with fewer, no outcome separates two arms

_ARM, _STEADY = "negative_dominant", "a_grae_group_only"


def c4(collapses: pd.DataFrame) -> Verdict:
    """Judge: Negative-Dominant is unstable, A-GRAE's group level is not.

    Collapses are defined in statistics/collapse.py and counted over ended runs (done or diverged) in which one could be
    seen: runs too short for the rule are left out. Parts: the share of Negative-Dominant's runs that collapse
    > UNSTABLE; that share minus the group level's > 0; the group level's share < STABLE (not supported if its interval
    is above UNSTABLE). All intervals are exact: Clopper and Pearson's for shares, the inverted test of Barnard for the
    difference. The paper's own counts, 3 of 10 against 0 of 10, support the first part and leave the others undecided:
    7–65 %, −4 to 65 pp, 0–31 %.
    """
    title = "Negative-Dominant is unstable, A-GRAE's group level is not"
    ended = collapses[collapses["status"].isin(FINAL_STATUSES) & collapses["arm"].isin([_ARM, _STEADY])]
    judged = ended[ended["observable"].astype(bool)]
    counts = {arm: _count(judged, arm) for arm in (_ARM, _STEADY)}
    too_short = set(ended["arm"])
    missing = [
        f"a longer run of {arm}" if arm in too_short else f"an ended run (done or diverged) of {arm}"
        for arm, (_, runs) in counts.items()
        if not runs
    ]
    parts = []
    if counts[_ARM][1]:
        share = share_interval(*counts[_ARM])
        verdict = sign_verdict(share, +1, relevant=UNSTABLE, threshold=UNSTABLE)
        name = f"{_collapsed(_ARM, counts)}, claimed > {100 * UNSTABLE:.0f} %"
        parts.append(Part(name, share, "%", verdict, _runs(share)))
    if not missing:
        excess = difference_interval(*counts[_ARM], *counts[_STEADY])
        name = f"share of runs that collapse, {label(_ARM)} − {label(_STEADY)}, claimed > 0"
        verdict = sign_verdict(excess, +1, relevant=UNSTABLE)
        parts.append(Part(name, excess, "pp", verdict, _runs(excess)))
    if counts[_STEADY][1]:
        share = share_interval(*counts[_STEADY])
        name = f"{_collapsed(_STEADY, counts)}, claimed < {100 * STABLE:.0f} %"
        parts.append(Part(name, share, "%", _stability_verdict(share), _runs(share)))
    notes = _notes(judged, counts, num_short=len(ended) - len(judged)) if parts else ()
    return conclude("C4", title, parts, missing, notes)


def _count(judged: pd.DataFrame, arm: str) -> tuple[int, int]:
    runs = judged[judged["arm"] == arm]
    return int(runs["collapsed"].sum()), len(runs)


def _collapsed(arm: str, counts: dict[str, tuple[int, int]]) -> str:
    collapsed, runs = counts[arm]
    return f"{label(arm)}: {collapsed} of {runs} run{'s' * (runs != 1)} collapsed"


def _runs(interval: Interval) -> str:
    return f"{interval.num_seeds} run{'s' * (interval.num_seeds != 1)} per arm"


def _stability_verdict(share: Interval) -> str:
    if share.hi < STABLE:
        return SUPPORTED
    return NOT_SUPPORTED if share.lo > UNSTABLE else UNDECIDED


def _notes(judged: pd.DataFrame, counts: dict[str, tuple[int, int]], *, num_short: int) -> list[str]:
    notes = [RULE]
    if num_short:
        notes.append(
            f"{num_short} ended run{'s' * (num_short != 1)} left out: too few steps recorded to see a collapse"
        )
    for run in judged[judged["collapsed"]].to_dict("records"):
        shares = f"{run['sign']} {100 * run['before']:.1f} % → {100 * run['after']:.1f} %"
        sign = DIVERGED if run["sign"] == DIVERGED else shares
        notes.append(f"{label(run['arm'])}, seed {run['seed']}: collapsed at step {run['step']} ({sign})")
    if min(runs for _, runs in counts.values()) < MIN_RUNS:
        notes.append(f"fewer than {MIN_RUNS} runs of an arm: no outcome separates the two arms")
    if judged["steps"].nunique() > 1:
        few, many = judged["steps"].min(), judged["steps"].max()
        notes.append(f"the runs recorded {few} to {many} steps; a shorter run had less time to collapse")
    return notes
