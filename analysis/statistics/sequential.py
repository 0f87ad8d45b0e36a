"""Sequential comparison of two arms over training seeds: seeds are added in looks until the answer is clear.

The data are the differences of a metric, candidate − reference, paired by seed. At look k, with n_k seeds, t_k = mean /
(s / √n_k) is held against a critical value c_k. They are chosen so that a true difference of zero is called different
at any look with probability α at most: α (n_k / n_K)² is spent up to look k (Lan and DeMets 1983, Biometrika 70; the
power family of Kim and DeMets 1987). mean ± c_k s / √n_k is then a repeated confidence interval: all looks' intervals
hold the true difference at once with probability 1 − α (Jennison and Turnbull 1989).

The critical values are quantiles of simulated paths of t, not of normal ones, since with three seeds s is hardly known.
The paths are of differences with skewness 1 (a shifted gamma law): t rejects more often under skewness, and with the
quantiles of normal differences 7 % of such studies would be false. For several comparisons, Bonferroni: each one has α
divided by their number. Holm would reject a little more, but its intervals do not match its decisions.

Shapes: S seeds of one comparison, K looks, D simulated studies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from analysis.statistics.spread import varies

BETTER = "better"
WORSE = "worse"
SMALLER = "smaller than the smallest effect of interest"
OPEN = "open"  # the next look decides
UNDECIDED = "undecided: the budget ends"

FEWEST_SEEDS = 3
_NUM_PATHS = 400_000
_NUM_BATCHES = 8  # of paths, which would take a gigabyte at once
_FEWEST_PATHS = 40  # behind a critical value; with fewer, the look spends nothing and leaves it to the next
_GAMMA_SHAPE = 4.0  # skewness 2 / √shape = 1
_SEED = 20261126


@dataclass(frozen=True)
class Rule:
    """Stopping rule of a study, declared before its first look.

    looks: numbers of seeds at which the study looks, increasing.
    smallest_effect: smallest difference of interest, in the metric's own unit (0.01 is one point of Pass@k).
    alpha: chance that any comparison of the study is called different without being so.
    num_comparisons: candidates × metrics.

    Raises:
        ValueError: a value outside its range, or so small an alpha for the comparisons that the last look cannot
            call any difference different.
    """

    looks: tuple[int, ...]
    smallest_effect: float
    alpha: float = 0.05
    num_comparisons: int = 1

    def __post_init__(self) -> None:
        if not self.looks or list(self.looks) != sorted(set(self.looks)) or self.looks[0] < FEWEST_SEEDS:
            raise ValueError(
                f"looks must be increasing numbers of seeds from {FEWEST_SEEDS}, such as [3, 5, 8], got "
                f"{list(self.looks)}"
            )
        if not self.smallest_effect > 0:
            raise ValueError(f"smallest_effect must be above 0, got {self.smallest_effect}")
        if not 0.001 <= self.alpha <= 0.2:
            raise ValueError(f"alpha must lie between 0.001 and 0.2, got {self.alpha}")
        if self.num_comparisons < 1:
            raise ValueError(f"num_comparisons must be 1 or more, got {self.num_comparisons}")
        if not _numbers_to_reject(self.looks, self.alpha / self.num_comparisons)[-1]:
            raise ValueError(
                f"alpha = {self.alpha:g} for {self.num_comparisons} comparisons leaves the last of the looks "
                f"{list(self.looks)} too little error to call any difference different; raise alpha, compare less, or "
                "leave out a look"
            )

    @property
    def critical_values(self) -> tuple[float, ...]:
        """Return the critical value of |t| at each look, [K]."""
        return critical_values(self.looks, self.alpha / self.num_comparisons)


@dataclass(frozen=True)
class Judgement:
    """One comparison at one look: the mean difference with its repeated confidence interval, and the decision."""

    num_seeds: int
    estimate: float
    lo: float
    hi: float
    decision: str


def judge(differences_S: Sequence[float] | np.ndarray, rule: Rule) -> Judgement:
    """Return the decision on the differences of the seeds so far.

    An interval within ± smallest_effect decides for SMALLER, even where it excludes 0. Without any spread between
    seeds the interval is infinite, since nothing is known of the next seed.

    Raises:
        ValueError: the number of seeds is none of the rule's looks, or a difference is not finite.
    """
    differences_S = np.asarray(differences_S, dtype=float)
    num_seeds = len(differences_S)
    if num_seeds not in rule.looks:
        raise ValueError(f"{num_seeds} seeds are none of the declared looks {list(rule.looks)}")
    if not np.isfinite(differences_S).all():
        raise ValueError(f"differences must be finite, got {differences_S.tolist()}")
    (mean,), (error,) = means_and_errors(differences_S[None])
    critical = rule.critical_values[rule.looks.index(num_seeds)]
    half = critical * float(error) if varies(differences_S) else np.inf
    lo, hi = float(mean) - half, float(mean) + half
    return Judgement(num_seeds, float(mean), lo, hi, decide(lo, hi, rule, is_last=num_seeds == rule.looks[-1]))


def decide(lo: float, hi: float, rule: Rule, *, is_last: bool) -> str:
    """Return the decision that an interval allows."""
    if -rule.smallest_effect < lo and hi < rule.smallest_effect:
        return SMALLER
    if lo > 0 or hi < 0:
        return BETTER if lo > 0 else WORSE
    return UNDECIDED if is_last else OPEN


def describe(candidate: str, reference: str, metric: str, judged: Judgement) -> str:
    """Return the sentence of a comparison of Pass@k, `pass@<k>/<benchmark>`, in points."""
    k, _, benchmark = metric.removeprefix("pass@").partition("/")
    bounds = f"[{_points(judged.lo)}, {_points(judged.hi)}]"
    return (
        f"{candidate} − {reference} at k = {k} on {benchmark}: {_points(judged.estimate)} pp {bounds} "
        f"after {judged.num_seeds} seeds: {judged.decision}."
    )


def describe_look(look: Mapping[str, Any], reference: str, *, label: Callable[[str], str] = str) -> Iterator[str]:
    """Yield the sentence of each comparison of a look, as looks.json has it (agrae_lab/runs/protocols.py).

    Args:
        label: arm → its displayed name.
    """
    for comparison in look["comparisons"]:
        candidate = label(comparison["candidate"])
        if comparison["estimate"] is None:
            yield f"{candidate} − {label(reference)}, {comparison['metric']}: {comparison['decision']}."
            continue
        lo, hi = (-np.inf, np.inf) if comparison["lo"] is None else (comparison["lo"], comparison["hi"])
        judged = Judgement(look["num_seeds"], comparison["estimate"], lo, hi, comparison["decision"])
        yield describe(candidate, label(reference), comparison["metric"], judged)


def decided(look: Mapping[str, Any]) -> dict[str, Any]:
    """Return the look with the comparisons that it has decided."""
    return {**look, "comparisons": [comparison for comparison in look["comparisons"] if comparison["decision"] != OPEN]}


def _points(share: float) -> str:
    """Return a share in points with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−").replace("inf", "∞")


def means_and_errors(differences_DS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean difference of each study and its standard error, [D], [D]."""
    num_seeds = differences_DS.shape[1]
    return differences_DS.mean(axis=1), differences_DS.std(axis=1, ddof=1) / np.sqrt(num_seeds)


def spent(share: float, level: float) -> float:
    """Return the error spent when this share of the seeds is seen, of `level` in all: level · share²."""
    return level * share**2


@lru_cache(maxsize=64)
def critical_values(looks: tuple[int, ...], level: float, *, skewed: bool = True) -> tuple[float, ...]:
    """Return the critical value of |t| at each look, for one comparison at error `level` over all looks, [K].

    A look with too little error to spend has an infinite value, and leaves its error to the next look. The last look
    has no next one: `Rule` refuses looks and a level that leave it none.

    Args:
        skewed: the differences have skewness 1; False: they are normal, for comparison.
    """
    t_DK = _simulate_t(looks, skewed)
    is_open_D = np.ones(len(t_DK), dtype=bool)
    values = []
    for look, num_to_reject in enumerate(_numbers_to_reject(looks, level)):
        if not num_to_reject:
            values.append(np.inf)
            continue
        open_t = t_DK[is_open_D, look]
        values.append(float(np.partition(open_t, -num_to_reject - 1)[-num_to_reject - 1]))
        is_open_D &= t_DK[:, look] <= values[-1]
    return tuple(values)


def _numbers_to_reject(looks: Sequence[int], level: float) -> list[int]:
    """Return the number of simulated paths that each look newly rejects, [K]; 0 where it has too little to spend."""
    numbers: list[int] = []
    for num_seeds in looks:
        due = round(spent(num_seeds / looks[-1], level) * _NUM_PATHS) - sum(numbers)
        numbers.append(due if due >= _FEWEST_PATHS else 0)
    return numbers


@lru_cache(maxsize=4)
def _simulate_t(looks: tuple[int, ...], skewed: bool) -> np.ndarray:
    """Return |t| at each look of studies without an effect, [D, K]."""
    rng = np.random.default_rng(_SEED)
    shape = (_NUM_PATHS // _NUM_BATCHES, looks[-1])
    batches = []
    for _ in range(_NUM_BATCHES):
        differences_DS = rng.standard_gamma(_GAMMA_SHAPE, shape) - _GAMMA_SHAPE if skewed else rng.normal(size=shape)
        at_looks = [means_and_errors(differences_DS[:, :num_seeds]) for num_seeds in looks]
        batches.append(np.stack([np.abs(mean_D / error_D) for mean_D, error_D in at_looks], axis=1))
    return np.concatenate(batches)
