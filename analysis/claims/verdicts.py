"""Decision rule of the claims: parts, intervals, verdicts.

A claim has parts. A part has one statistic, a claimed direction and a 95 % interval. A part is
- *supported* if its interval excludes zero in the claimed direction;
- *not supported* if its interval excludes zero in the other direction, or excludes every relevant effect in the
  claimed direction. Exclusion of relevant effects counts only if at least one problem moved in the claimed direction:
  without one, the data do not bound the size of such a move. Each part sets its smallest relevant effect;
- *undecided* otherwise, also without an interval (no variation, too few problems or steps).
Some parts of C3, C4, C7 and C8 are judged against a margin, or by a band, in place of zero and an interval.
A claim is about a method. It is supported if all parts are, not supported if one part is, and undecided otherwise.
- A part from a single training run describes that run and decides nothing. If all parts are of this kind, the verdict
  is ONE_SEED, and the parts describe these checkpoints.
- If data for some parts are missing, the other parts can refute the claim but not support it. If no part can be judged,
  the verdict is "no data".
- A supported claim needs all parts, so it needs no correction within the claim. A claim that is not supported may rest
  on one of several parts, and there are several claims: read the intervals, not only the verdicts.
- With several benchmarks, the deciding parts cover the problems of all benchmarks, each problem counted once. The parts
  of single benchmarks are details.

Statistics of steps are differences of window means of a recorded series. One seed has the block interval of
statistics/intervals.py, which describes that run; several seeds have the t interval of the per-seed values.
Shapes: T steps, S seeds; a series is a frame [T, S] of finished runs (step_series.metric_by_seed).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.intervals import (
    FEW_SEEDS,
    Interval,
    block_interval,
    missing_reason,
    t_interval,
    welch_interval,
)
from analysis.statistics.proportions import METHOD

MIN_STEPS = 30  # the block interval has one degree of freedom there

RULE = (
    "Decision rule: a part is supported if its interval excludes zero in the claimed direction. It is not supported if "
    "its interval excludes zero in the other direction, or excludes every relevant effect in the claimed direction "
    "although some problem moved that way. Otherwise it is undecided. A claim about a method is supported if all parts "
    "are, not supported if one part is, and undecided otherwise. If a part is missing, the others can refute the claim "
    "but not support it, and one training run decides nothing about a method. C3, C4, C7 and C8 have margins or bands "
    "of their own. docs/statistics.md tells when each threshold was set."
)

SUPPORTED, NOT_SUPPORTED, UNDECIDED, NO_DATA = "supported", "not supported", "undecided", "no data"
ONE_SEED = "one seed: undecided about the method"
ONE_RUN = "this run, not the method"  # scope of an interval

Series = Mapping[str, pd.DataFrame]  # arm → [T, S], index: step
Window = tuple[float, float, float]  # weight, from and to as shares of the run


@dataclass(frozen=True)
class Part:
    """One statistic of a claim.

    interval: in shares (unit "pp" or "%": shown times 100) or in nats. verdict: SUPPORTED, NOT_SUPPORTED or UNDECIDED.
    basis: the data behind it, such as "3 seeds, 128 problems, n = 512".
    """

    name: str
    interval: Interval
    unit: str
    verdict: str
    basis: str = ""

    @property
    def one_run(self) -> bool:
        """True if the interval describes the given runs, not the method."""
        return self.interval.num_seeds < 2


@dataclass(frozen=True)
class Verdict:
    """Verdict on one claim. Effect and interval are those of the deciding part."""

    claim: str
    title: str
    verdict: str
    parts: tuple[Part, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: tuple[Part, ...] = ()  # the same statistics on single benchmarks

    @property
    def deciding(self) -> Part | None:
        """The first part with the claim's verdict, those over several seeds first; without one, the first part.

        For a claim with verdict ONE_SEED: the first part that is not supported, else the first that is undecided.
        """
        wanted = [NOT_SUPPORTED, UNDECIDED] if self.verdict == ONE_SEED else [self.verdict]
        parts = sorted(self.parts, key=lambda part: part.one_run)
        found = [part for word in wanted for part in parts if part.verdict == word]
        return next(iter([*found, *self.parts]), None)

    @property
    def effect(self) -> float:
        """The deciding part's estimate; NaN without parts."""
        return self.deciding.interval.estimate if self.deciding else np.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The deciding part's interval; NaN without parts."""
        return (self.deciding.interval.lo, self.deciding.interval.hi) if self.deciding else (np.nan, np.nan)

    @property
    def scope(self) -> str:
        """The scopes of the parts' intervals, with the smallest number of seeds."""
        scopes = "; ".join(dict.fromkeys(part.interval.scope for part in self.parts))
        counts = [part.interval.num_seeds for part in self.parts if not part.one_run]
        if not counts:
            return scopes
        few = f", fewer than {FEW_SEEDS}: read with care" if min(counts) < FEW_SEEDS else ""
        return f"{scopes} ({min(counts)} seeds{few})"

    @property
    def text(self) -> str:
        """The parts with their intervals and verdicts, or the missing data."""
        if self.verdict == NO_DATA:
            return f"no data: needs {', '.join(self.missing) or 'an evaluation that can be judged'}"
        return "; ".join(map(describe, self.parts))

    @property
    def would_change(self) -> str:
        """The data that would change the verdict, in one line."""
        if self.verdict == NO_DATA:
            return "runs of the missing arms"
        if self.verdict == ONE_SEED:
            return "two or more seeds of every arm (better five), since one run does not describe the method"
        if self.verdict == SUPPORTED:
            return "further seeds, or another benchmark or model, on which a part's interval reaches zero"
        if self.verdict == NOT_SUPPORTED:
            return "further seeds, or another benchmark or model, on which no part's interval excludes the claim"
        num_open = sum(part.verdict == UNDECIDED or part.one_run for part in self.parts)
        lacking = [f"the missing data: {', '.join(self.missing)}"] if self.missing else []
        more = " or problems" if any("problems" in part.interval.scope for part in self.parts) else ""
        to_decide = [f"more seeds{more}, to decide {num_open} of {len(self.parts)} parts"] if num_open else []
        return "; ".join([*lacking, *to_decide])


def describe(part: Part) -> str:
    """Return a part with its interval, basis and verdict.

    If the interval only excludes relevant effects, the text names that reason. For an undecided part it names the
    effect for which such an experiment has 80 % power.
    """
    interval = part.interval
    by_size = part.verdict == NOT_SUPPORTED and interval.lo <= 0 <= interval.hi
    verdict = f"{part.verdict}: the interval excludes every relevant effect" if by_size else part.verdict
    if part.verdict == UNDECIDED and np.isfinite(interval.detectable):
        verdict += f": such an experiment has 80 % power for an effect of {format_size(interval.detectable, part.unit)}"
    scope = "these checkpoints: " if part.one_run else ""
    basis = f", {part.basis}" if part.basis else ""
    return f"{part.name}: {format_interval(part)}{basis} ({scope}{verdict})"


def format_interval(part: Part) -> str:
    """Return text such as `+3.2 pp [+1.0, +5.4]`, `30.0 % [6.7, 65.2]` or `+0.051 nats [+0.010, +0.092]`.

    A nonzero bound that would be printed as zero gets further digits.
    """
    if np.isnan(part.interval.estimate):
        return f"no value ({part.interval.method})"
    form = {"pp": "+.1f", "%": ".1f"}.get(part.unit, "+.3f")
    scale = 100 if part.unit in ("pp", "%") else 1
    estimate, lo, hi = (scale * x for x in (part.interval.estimate, part.interval.lo, part.interval.hi))
    if np.isnan(lo):
        method = part.interval.method
        bounds = f"no interval: {missing_reason(method)}" if method.startswith("none") else "no interval"
    else:
        bounds = f"[{_format_nonzero(lo, form)}, {_format_nonzero(hi, form)}]"
    return f"{_format_nonzero(estimate, form)} {part.unit} {bounds}"


def format_size(size: float, unit: str) -> str:
    """Return an effect's size in its unit: `3.2 pp`, `0.051 nats`."""
    return f"{100 * size:.1f} {unit}" if unit in ("pp", "%") else f"{size:.3f} {unit}"


def _format_nonzero(value: float, form: str) -> str:
    """Return a number in a format, with more digits if a nonzero number would be printed as zero."""
    if value == 0.0:
        return format(0.0, form)
    stem = form[: form.index(".")]
    kinds = (form, *(f"{stem}.{digits}f" for digits in range(2, 7)), f"{stem}.0e")
    return next(text for text in (format(value, kind) for kind in kinds) if float(text) != 0.0)


def sign_verdict(interval: Interval, direction: int, *, relevant: float, threshold: float = 0.0) -> str:
    """Return the verdict on the claim that direction · effect lies above a threshold.

    direction: +1 or −1. relevant: the smallest effect in the claimed direction that matters.
    """
    lo, hi = sorted((direction * interval.lo, direction * interval.hi))
    if np.isnan(lo):
        return UNDECIDED
    if lo > threshold:
        return SUPPORTED
    if hi >= relevant:
        return UNDECIDED
    by_size = hi >= 0.0
    num_moved = interval.num_above if direction > 0 else interval.num_below
    return UNDECIDED if by_size and num_moved == 0 else NOT_SUPPORTED


def plateau_verdict(interval: Interval, margin: float) -> str:
    """Return the verdict on equivalence: supported inside ±margin, not supported entirely outside."""
    if -margin < interval.lo and interval.hi < margin:
        return SUPPORTED
    return NOT_SUPPORTED if interval.lo > margin or interval.hi < -margin else UNDECIDED


def window_difference(a: pd.DataFrame, b: pd.DataFrame, windows: Sequence[Window]) -> Interval:
    """Return window_interval of a − b at their common steps: paired by common seeds, Welch's without two of them.

    With one seed on a side: their common seed, else the first of each, which describes those two runs.
    """
    shared = a.columns.intersection(b.columns)
    if len(shared) < 2 and min(a.shape[1], b.shape[1]) > 1:
        steps = a.dropna().index.intersection(b.dropna().index)
        return _over_seeds([a.loc[steps], -b.loc[steps]], windows)
    if shared.empty:
        a, b = a.iloc[:, :1], b.iloc[:, :1].set_axis(a.columns[:1], axis=1)
        shared = a.columns
    return window_interval((a[shared] - b[shared]).dropna(), windows)


def window_interval(series: pd.DataFrame, windows: Sequence[Window]) -> Interval:
    """Return Σ weight · mean over a window (from, to: shares of the run); NaN below MIN_STEPS steps."""
    num_steps, num_seeds = series.shape
    if num_steps < MIN_STEPS:
        scope = ONE_RUN if num_seeds == 1 else METHOD
        return Interval(np.nan, np.nan, np.nan, f"needs {MIN_STEPS} steps, has {num_steps}", scope, num_seeds)
    if num_seeds == 1:
        weights_T = _weights(num_steps, windows)
        return Interval(
            *block_interval(series.to_numpy(dtype=float)[:, 0], weights_T), "moving blocks over steps", ONE_RUN
        )
    return _over_seeds([series], windows)


def _over_seeds(groups: Sequence[pd.DataFrame], windows: Sequence[Window]) -> Interval:
    """Return the sum of the groups' window means over seeds: Student's t, Welch's for two groups."""
    values = [_weights(len(group), windows) @ group.to_numpy(dtype=float) for group in groups]
    num_seeds = min(group.shape[1] for group in groups)
    if len(values[0]) < 2 or len(groups[0]) < MIN_STEPS:
        reason = f"needs {MIN_STEPS} shared steps, has {len(groups[0])}"
        return Interval(np.nan, np.nan, np.nan, reason, METHOD, num_seeds)
    bounds = t_interval(values[0]) if len(values) == 1 else welch_interval(values)
    method = "t over seeds" if len(values) == 1 else "Welch's t over seeds"
    return Interval(*bounds, method, METHOD, num_seeds)


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
    """Return the claim's verdict from its parts by the rule of this module, with the data it lacks."""
    verdicts = {part.verdict for part in parts if not part.one_run}
    missing = tuple(dict.fromkeys(missing))
    if not parts:
        verdict = NO_DATA
    elif not verdicts:
        verdict = ONE_SEED
    elif NOT_SUPPORTED in verdicts:
        verdict = NOT_SUPPORTED
    else:
        complete = not missing and not any(part.one_run for part in parts)
        verdict = SUPPORTED if verdicts == {SUPPORTED} and complete else UNDECIDED
    lacking = [f"some parts lack data: needs {', '.join(missing)}"] if parts and missing else []
    return Verdict(claim, title, verdict, tuple(parts), missing, (*lacking, *notes), tuple(details))
