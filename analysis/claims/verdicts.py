"""The rule by which a claim is judged: parts, intervals, verdicts. The claims themselves stand in claims/.

Decision rule: a claim is cut into parts, each with one statistic, a direction and a 95 % interval.
- a part is *supported* if its interval excludes zero in the claimed direction;
- *not supported* if it excludes zero in the other direction, or excludes every effect of relevant size in the claimed
  direction, provided that some problem moved in that direction at all: where none did, the data show nothing of how
  far one might have moved;
- else *undecided*, also where there is no interval (no variation, too few problems or steps).
A claim is about a method. It is supported if every part is, not supported if some part is not, else undecided; a part
that rests on one training run decides nothing, whatever its interval says of that run. Where every part does, the
verdict is ONE_SEED, and the parts say what these checkpoints show. Where data for some parts are missing, the others
may refute the claim, but not support it; "no data" where no part can be judged. Supported asks for all parts at once,
so it needs no correction within a claim; not supported may rest on one of several parts, and several claims are judged,
so read the intervals and not the words alone.
Where there are several benchmarks, the parts that decide are over the problems of all of them, each problem counted
once; those of single benchmarks are details.

Statistics of steps are differences of window means of a recorded series: with one seed the block interval of stats.py,
which describes that run; with two or more the t interval of the per-seed values.
Shapes: T steps, S seeds; a series is a frame [T, S] of finished runs (series.steps_by_seed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.intervals import FEW_SEEDS, Interval, block_interval, t_interval, welch_interval

MIN_STEPS = 30  # the block interval has one degree of freedom there

RULE = (
    "Decision rule: a part is supported if its interval excludes zero in the claimed direction, not supported if it "
    "excludes zero in the other or rules out every effect of relevant size, else undecided. A claim about a method is "
    "supported if all its parts are, not supported if one is not, else undecided; a part without data leaves it open, "
    "and one training run decides nothing about a method. When each margin was set stands in docs/statistics.md."
)

SUPPORTED, NOT_SUPPORTED, UNDECIDED, NO_DATA = "supported", "not supported", "undecided", "no data"
ONE_SEED = "one seed: undecided about the method"

Series = Mapping[str, pd.DataFrame]  # arm → [T, S], index: step
Window = tuple[float, float, float]  # weight, from and to as shares of the run


@dataclass(frozen=True)
class Part:
    """One statistic of a claim. `interval` is in shares or nats (`unit` "pp" or "%" means: times 100 for readers).

    `basis` says from what it is: "3 seeds, 128 problems, n = 512". `verdict` is the rule's word on the interval.
    """

    name: str
    interval: Interval
    unit: str
    verdict: str
    basis: str = ""

    @property
    def one_run(self) -> bool:
        """True where the interval describes single training runs, not the method."""
        return self.interval.num_seeds < 2


@dataclass(frozen=True)
class Verdict:
    """The data's answer to one claim. Effect and interval are those of the part that decides."""

    claim: str
    title: str
    verdict: str
    parts: tuple[Part, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: tuple[Part, ...] = ()  # the same statistics on single benchmarks

    @property
    def deciding(self) -> Part | None:
        """The first part that has the claim's verdict: the weakest link, or for a supported claim its first part.

        For a claim that single runs leave open, the first part against it, else the first that is open.
        """
        wanted = [self.verdict] if self.verdict != ONE_SEED else [NOT_SUPPORTED, UNDECIDED]
        found = [part for word in wanted for part in self.parts if part.verdict == word]
        return next(iter([*found, *self.parts]), None)

    @property
    def effect(self) -> float:
        return self.deciding.interval.estimate if self.deciding else np.nan

    @property
    def interval(self) -> tuple[float, float]:
        return (self.deciding.interval.lo, self.deciding.interval.hi) if self.deciding else (np.nan, np.nan)

    @property
    def scope(self) -> str:
        """The scopes of the parts' intervals, and from how many seeds they are."""
        targets = "; ".join(dict.fromkeys(part.interval.speaks_of for part in self.parts))
        counts = [part.interval.num_seeds for part in self.parts if not part.one_run]
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
        """The data that would change the verdict."""
        if self.verdict == NO_DATA:
            return "runs of the missing arms"
        if self.verdict == ONE_SEED:
            return "two or more seeds of every arm (better five): one run cannot speak of the method"
        open_parts = [part.name for part in self.parts if part.verdict != SUPPORTED or part.one_run]
        if self.verdict == SUPPORTED:
            return "further seeds; another benchmark or model on which a part's interval reaches zero"
        lacking = [f"what is missing: {', '.join(self.missing)}"] if self.missing else []
        more = ", or more problems," if any("problems" in part.interval.speaks_of for part in self.parts) else ""
        turned = [f"further seeds{more} that turn: {'; '.join(open_parts)}"] if open_parts else []
        return "; ".join([*lacking, *turned])


def describe(part: Part) -> str:
    """The part with its interval, what it is from, and its verdict.

    Says so where only the size of the effect is refuted, and what effect an undecided design could have found.
    """
    interval = part.interval
    by_size = part.verdict == NOT_SUPPORTED and interval.lo <= 0 <= interval.hi
    verdict = f"{part.verdict}: an effect of relevant size is ruled out" if by_size else part.verdict
    if part.verdict == UNDECIDED and np.isfinite(interval.detectable):
        verdict += f": {format_size(interval.detectable, part.unit)} would be found in 4 of 5 such experiments"
    whose = "these checkpoints: " if part.one_run else ""
    basis = f", {part.basis}" if part.basis else ""
    return f"{part.name}: {format_interval(part)}{basis} ({whose}{verdict})"


def format_interval(part: Part) -> str:
    """`+3.2 pp [+1.0, +5.4]`, `30.0 % [6.7, 65.2]`: hundredths for shares and their differences, nats as they are.

    A bound so near to zero that it would be printed as zero has the digits that tell its side.
    """
    if np.isnan(part.interval.estimate):
        return f"no value ({part.interval.method})"
    form = {"pp": "+.1f", "%": ".1f"}.get(part.unit, "+.3f")
    scale = 100 if part.unit in ("pp", "%") else 1
    estimate, lo, hi = (scale * x for x in (part.interval.estimate, part.interval.lo, part.interval.hi))
    if np.isnan(lo):
        reason = part.interval.method.removeprefix("none ").strip("()")
        bounds = f"no interval: {reason}" if part.interval.method.startswith("none") else "no interval"
    else:
        bounds = f"[{_sided(lo, form)}, {_sided(hi, form)}]"
    return f"{_sided(estimate, form)} {part.unit} {bounds}"


def format_size(size: float, unit: str) -> str:
    """An effect's size in its unit: `3.2 pp`, `0.051 nats`."""
    return f"{100 * size:.1f} {unit}" if unit in ("pp", "%") else f"{size:.3f} {unit}"


def _sided(value: float, form: str) -> str:
    if value == 0.0:
        return format(0.0, form)
    kinds = (form, form.replace("1f", "2f"), form.replace("1f", "0e").replace("3f", "0e"))
    return next(text for text in (format(value, kind) for kind in kinds) if float(text) != 0.0)


def sign_verdict(interval: Interval, direction: int, *, relevant: float, zero: float = 0.0) -> str:
    """The rule of this module for one interval. direction: +1 claimed above `zero`, −1 below."""
    lo, hi = sorted((direction * interval.lo, direction * interval.hi))
    if np.isnan(lo):
        return UNDECIDED
    if lo > zero:
        return SUPPORTED
    if hi >= relevant:
        return UNDECIDED
    by_size = hi >= 0.0
    seen = interval.num_above if direction > 0 else interval.num_below
    return UNDECIDED if by_size and seen == 0 else NOT_SUPPORTED


def plateau_verdict(interval: Interval, margin: float) -> str:
    """Equivalence: supported inside ±margin, not supported wholly outside."""
    if -margin < interval.lo and interval.hi < margin:
        return SUPPORTED
    return NOT_SUPPORTED if interval.lo > margin or interval.hi < -margin else UNDECIDED


def window_difference(a: pd.DataFrame, b: pd.DataFrame, windows: Sequence[Window]) -> Interval:
    """window_interval of a − b, at the steps of both: paired by seed where they share seeds, else Welch's.

    One seed on either side, and none shared: the first of each, which describes those two runs.
    """
    shared = a.columns.intersection(b.columns)
    if shared.empty and min(a.shape[1], b.shape[1]) > 1:
        steps = a.dropna().index.intersection(b.dropna().index)
        return _over_seeds([a.loc[steps], -b.loc[steps]], windows)
    if shared.empty:
        a, b = a.iloc[:, :1], b.iloc[:, :1].set_axis(a.columns[:1], axis=1)
        shared = a.columns
    return window_interval((a[shared] - b[shared]).dropna(), windows)


def window_interval(series: pd.DataFrame, windows: Sequence[Window]) -> Interval:
    """Σ weight · mean over window, windows given as shares of the run; nothing below MIN_STEPS steps."""
    num_steps, num_seeds = series.shape
    if num_steps < MIN_STEPS:
        return Interval(np.nan, np.nan, np.nan, f"needs {MIN_STEPS} steps, has {num_steps}", ONE_RUN, num_seeds)
    if num_seeds == 1:
        weights_T = _weights(num_steps, windows)
        return Interval(
            *block_interval(series.to_numpy(dtype=float)[:, 0], weights_T), "moving blocks over steps", ONE_RUN
        )
    return _over_seeds([series], windows)


ONE_RUN = "this run, not the method"


def _over_seeds(groups: Sequence[pd.DataFrame], windows: Sequence[Window]) -> Interval:
    """Sum of the groups' window means over seeds: Student's t, Welch's for two groups."""
    values = [_weights(len(group), windows) @ group.to_numpy(dtype=float) for group in groups]
    num_seeds = min(group.shape[1] for group in groups)
    if len(values[0]) < 2 or len(groups[0]) < MIN_STEPS:
        reason = f"needs {MIN_STEPS} shared steps, has {len(groups[0])}"
        return Interval(np.nan, np.nan, np.nan, reason, ONE_RUN, num_seeds)
    bounds = t_interval(values[0]) if len(values) == 1 else welch_interval(values)
    method = "t over seeds" if len(values) == 1 else "Welch's t over seeds"
    return Interval(*bounds, method, "the method (its training seeds)", num_seeds)


def _weights(num_steps: int, windows: Sequence[Window]) -> np.ndarray:
    weights_T = np.zeros(num_steps)
    for weight, start, stop in windows:
        inside = slice(round(start * num_steps), round(stop * num_steps))
        weights_T[inside] += weight / (inside.stop - inside.start)
    return weights_T


def conclude(
    claim: str,
    title: str,
    parts: Sequence[Part],
    missing: Sequence[str],
    notes: Sequence[str],
    details: Sequence[Part] = (),
) -> Verdict:
    """The claim's verdict from its parts by the rule of this module, and what data it lacks."""
    verdicts = {part.verdict for part in parts if not part.one_run}
    missing = tuple(dict.fromkeys(missing))
    if not parts:
        verdict = NO_DATA
    elif not verdicts:
        verdict = ONE_SEED
    elif NOT_SUPPORTED in verdicts:
        verdict = NOT_SUPPORTED
    else:
        all_of_them = not missing and not any(part.one_run for part in parts)
        verdict = SUPPORTED if verdicts == {SUPPORTED} and all_of_them else UNDECIDED
    lacking = [f"not judged for lack of data: needs {', '.join(missing)}"] if parts and missing else []
    return Verdict(claim, title, verdict, tuple(parts), missing, (*lacking, *notes), tuple(details))
