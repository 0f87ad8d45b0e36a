"""How a claim is judged: parts, intervals, the rule. What the claims are stands in claims/.

The rule, stated before any data: a claim is cut into parts, each with one statistic, a direction and a 95 % interval.
- a part is *supported* if its interval excludes zero in the claimed direction;
- *not supported* if it excludes zero in the other direction, or excludes every effect of relevant size in the claimed
  direction;
- else *undecided*, also where there is no interval (no variation, too few steps).
A claim is supported if every part is, not supported if some part is not, else undecided. Where data for some parts are
missing, the others may refute it, but not support it; "no data" where no part can be judged. Supported asks for all
parts at once, so it needs no correction within a claim; not supported may rest on one of several parts, and several
claims are judged, so read the intervals and not the words alone.

Statistics of steps are differences of window means of a recorded series: with one seed the block interval of stats.py,
which speaks of that run; with two or more the t interval of the per-seed values.
Shapes: T steps, S seeds; a series is a frame [T, S] of finished runs (series.steps_by_seed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .stats import FEW_SEEDS, Interval, block_interval, t_interval

MIN_STEPS = 30  # the block interval has one degree of freedom there

RULE = (
    "Rule, stated before the data: a part is supported if its interval excludes zero in the claimed direction, not "
    "supported if it excludes zero in the other or rules out every effect of relevant size, else undecided. A claim is "
    "supported if all its parts are, not supported if one is not, else undecided; a part without data leaves it open."
)

SUPPORTED, NOT_SUPPORTED, UNDECIDED, NO_DATA = "supported", "not supported", "undecided", "no data"

Series = Mapping[str, pd.DataFrame]  # arm → [T, S], index: step
Window = tuple[float, float, float]  # weight, from and to as shares of the run


@dataclass(frozen=True)
class Part:
    """One statistic of a claim. `interval` is in shares or nats (`unit` "pp" or "%" means: times 100 for readers)."""

    name: str
    interval: Interval
    unit: str
    verdict: str


@dataclass(frozen=True)
class Verdict:
    """What the data say about one claim. Effect and interval are those of the part that decides."""

    claim: str
    title: str
    verdict: str
    parts: tuple[Part, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def deciding(self) -> Part | None:
        """The first part that has the claim's verdict: the weakest link, or for a supported claim its first part.

        Where all parts are supported and the claim is open for lack of data, its first part too.
        """
        alike = [part for part in self.parts if part.verdict == self.verdict]
        return next(iter([*alike, *self.parts]), None)

    @property
    def effect(self) -> float:
        return self.deciding.interval.estimate if self.deciding else np.nan

    @property
    def interval(self) -> tuple[float, float]:
        return (self.deciding.interval.lo, self.deciding.interval.hi) if self.deciding else (np.nan, np.nan)

    @property
    def speaks_of(self) -> str:
        """What the intervals speak of, and from how many seeds."""
        targets = "; ".join(dict.fromkeys(part.interval.speaks_of for part in self.parts))
        counts = [part.interval.num_seeds for part in self.parts if part.interval.num_seeds > 1]
        if not counts:
            return targets
        few = f", fewer than {FEW_SEEDS}: read with care" if min(counts) < FEW_SEEDS else ""
        return f"{targets} ({min(counts)} seeds{few})"

    @property
    def text(self) -> str:
        if self.verdict == NO_DATA:
            return f"no data: needs {', '.join(self.missing) or 'an evaluation that can be judged'}"
        return "; ".join(map(describe, self.parts))

    @property
    def would_change(self) -> str:
        """What data would change the verdict."""
        if self.verdict == NO_DATA:
            return "runs of the missing arms"
        open_parts = [part.name for part in self.parts if part.verdict != SUPPORTED]
        one_seed = any(part.interval.num_seeds == 1 for part in self.parts)
        seeds = "further seeds (one run cannot speak of the method)" if one_seed else "further seeds"
        if self.verdict == SUPPORTED:
            return f"{seeds}; another benchmark or model on which a part's interval reaches zero"
        lacking = [f"what is missing: {', '.join(self.missing)}"] if self.missing else []
        more = ", or more problems," if any("problems" in part.interval.speaks_of for part in self.parts) else ""
        turned = [f"{seeds}{more} that turn: {'; '.join(open_parts)}"] if open_parts else []
        return "; ".join([*lacking, *turned])


def describe(part: Part) -> str:
    """The part with its interval and verdict; says so where only the size of the effect is refuted."""
    interval = part.interval
    by_size = part.verdict == NOT_SUPPORTED and interval.lo <= 0 <= interval.hi
    verdict = f"{part.verdict}: an effect of relevant size is ruled out" if by_size else part.verdict
    return f"{part.name}: {format_interval(part)} ({verdict})"


def format_interval(part: Part) -> str:
    """`+3.2 pp [+1.0, +5.4]`, `30.0 % [6.7, 65.2]`: hundredths for shares and their differences, nats as they are."""
    if np.isnan(part.interval.estimate):
        return f"no value ({part.interval.method})"
    scale, form = {"pp": (100, "+.1f"), "%": (100, ".1f")}.get(part.unit, (1, "+.3f"))
    estimate, lo, hi = (scale * x for x in (part.interval.estimate, part.interval.lo, part.interval.hi))
    bounds = "no interval" if np.isnan(lo) else f"[{lo:{form}}, {hi:{form}}]"
    return f"{estimate:{form}} {part.unit} {bounds}"


def sign_verdict(interval: Interval, direction: int, *, relevant: float, zero: float = 0.0) -> str:
    """The rule of this module for one interval. direction: +1 claimed above `zero`, −1 below."""
    lo, hi = sorted((direction * interval.lo, direction * interval.hi))
    if np.isnan(lo):
        return UNDECIDED
    if lo > zero:
        return SUPPORTED
    return NOT_SUPPORTED if hi < relevant else UNDECIDED


def plateau_verdict(interval: Interval, margin: float) -> str:
    """Equivalence: supported inside ±margin, not supported wholly outside."""
    if -margin < interval.lo and interval.hi < margin:
        return SUPPORTED
    return NOT_SUPPORTED if interval.lo > margin or interval.hi < -margin else UNDECIDED


def difference_series(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """[T, S]: a − b at the steps of both, seed by seed; first seed against first where they share no seed number."""
    shared = a.columns.intersection(b.columns)
    if shared.empty:
        a, b = a.iloc[:, :1], b.iloc[:, :1].set_axis(a.columns[:1], axis=1)
        shared = a.columns
    return (a[shared] - b[shared]).dropna()


def window_interval(series: pd.DataFrame, windows: Sequence[Window]) -> Interval:
    """Σ weight · mean over window, windows given as shares of the run; nothing below MIN_STEPS steps."""
    num_steps, num_seeds = series.shape
    one_run = "this run, not the method"
    if num_steps < MIN_STEPS:
        return Interval(np.nan, np.nan, np.nan, f"needs {MIN_STEPS} steps, has {num_steps}", one_run, num_seeds)
    weights_T = np.zeros(num_steps)
    for weight, start, stop in windows:
        inside = slice(round(start * num_steps), round(stop * num_steps))
        weights_T[inside] += weight / (inside.stop - inside.start)
    values_TS = series.to_numpy(dtype=float)
    if num_seeds == 1:
        return Interval(*block_interval(values_TS[:, 0], weights_T), "moving blocks over steps", one_run)
    return Interval(*t_interval(weights_T @ values_TS), "t over seeds", "the method (its training seeds)", num_seeds)


def conclude(claim: str, title: str, parts: Sequence[Part], missing: Sequence[str], notes: Sequence[str]) -> Verdict:
    """The claim's verdict from its parts by the rule of this module, and what data it lacks."""
    verdicts = {part.verdict for part in parts}
    missing = tuple(dict.fromkeys(missing))
    if not parts:
        verdict = NO_DATA
    elif NOT_SUPPORTED in verdicts:
        verdict = NOT_SUPPORTED
    else:
        verdict = SUPPORTED if verdicts == {SUPPORTED} and not missing else UNDECIDED
    lacking = [f"not judged for lack of data: needs {', '.join(missing)}"] if parts and missing else []
    return Verdict(claim, title, verdict, tuple(parts), missing, (*lacking, *notes))
