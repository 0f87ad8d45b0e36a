"""Coverage and type I error of the analysis' intervals, simulated at the sizes of real benchmarks.

Problems are of very different difficulty: a quarter is never solved, a sixth always, the rate of the others follows
Beta(0.35, 0.7). Arms differ on each problem by their own logit shift of deviation 0.6. Every table says for each cell
how often a 95 % interval holds the truth, how often an effect is found where there is none, and how often there is an
interval at all. `python -m benchmarks coverage` prints all tables (about 20 minutes on one core); the environment
variable EXPERIMENTS sets the number of simulated experiments of a cell (1,000).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.estimates.passk_curves import bounded_share
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import CHECKPOINTS, METHOD, SEEDS, Contrast, Evaluations
from analysis.statistics.intervals import LEVEL, Interval

SPREAD = 0.6  # of an arm's own logit shift on a problem
SHIFTS = {"null": (0.0, 1.0), "shift of all problems": (0.7, 1.0), "shift of few problems": (2.5, 0.15)}


@dataclass
class Cell:
    """Counts of one cell of a table."""

    experiments: int = 0
    intervals: int = 0
    covered: int = 0
    found: int = 0
    contradictions: int = 0  # an interval that excludes 0 beside p > 0.05, or the other way round
    widths: list[float] = field(default_factory=list)

    def add(self, interval: Interval, truth: float) -> None:
        self.experiments += 1
        if np.isnan(interval.lo):
            return
        self.intervals += 1
        self.covered += interval.lo <= truth <= interval.hi
        excludes = interval.lo > 0 or interval.hi < 0
        self.found += excludes
        if not np.isnan(interval.p_value):
            self.contradictions += excludes != (interval.p_value <= 1 - LEVEL)
        self.widths.append(interval.hi - interval.lo)

    @property
    def coverage(self) -> float:
        return self.covered / self.intervals if self.intervals else np.nan


def draw_logits(rng: np.random.Generator, num_problems: int) -> tuple[np.ndarray, np.ndarray]:
    """Return [P] logits of the success rate, and [P]: −1 if no sample ever succeeds, +1 if all do, else 0."""
    kind_P = rng.choice([-1, 1, 0], num_problems, p=[0.25, 0.15, 0.6])
    rate_P = np.clip(rng.beta(0.35, 0.7, num_problems), 1e-9, 1 - 1e-9)
    return np.log(rate_P / (1 - rate_P)), kind_P


def rates(logits: np.ndarray, kind_P: np.ndarray) -> np.ndarray:
    """Return success rates of logits [..., P]."""
    return np.where(kind_P == 0, 1 / (1 + np.exp(-logits)), kind_P > 0)


def draw_arms(rng: np.random.Generator, num_problems: int, case: str) -> tuple[np.ndarray, np.ndarray]:
    """Return [P], [P]: success rates of an arm with the case's shift, and of its reference."""
    logit_P, kind_P = draw_logits(rng, num_problems)
    shift, share = SHIFTS[case]
    shift_P = shift * (rng.random(num_problems) < share)
    own_AP = rng.normal(0.0, SPREAD, (2, num_problems))
    return rates(logit_P + shift_P + own_AP[0], kind_P), rates(logit_P + own_AP[1], kind_P)


def pass_at(rate: np.ndarray, k: int) -> np.ndarray:
    return 1 - (1 - rate) ** k


def true_differences(draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]], ks: Sequence[int]) -> dict:
    """Return k → difference of expected Pass@k over the population of `draw`."""
    arms = [draw(np.random.default_rng([99, i])) for i in range(20)]
    return {k: float(np.mean([pass_at(a, k).mean() - pass_at(b, k).mean() for a, b in arms])) for k in ks}


def evaluations(correct: Mapping[str, np.ndarray], num_samples: int, seeds: Mapping[str, Sequence[int]]) -> Evaluations:
    """Return the evaluations of one benchmark from counts [S, P]."""
    numbers = {arm: tuple(seeds[arm]) for arm in correct if arm != "base"}
    return Evaluations("simulated", num_samples, 1.0, 1.0, correct, numbers)


def over_problems(
    num_problems: int, num_samples: int, case: str, ks: Sequence[int], num_experiments: int
) -> dict[int, Cell]:
    """Simulate one checkpoint each of two arms, with new problems in every experiment."""
    truth = dict.fromkeys(ks, 0.0)
    if case != "null":
        truth = true_differences(lambda rng: draw_arms(rng, 50_000, case), ks)
    cells = {k: Cell() for k in ks}
    contrasts: list[Contrast] = [{"arm": {k: 1.0}, "grpo": {k: -1.0}} for k in ks]
    for i in range(num_experiments):
        rng = np.random.default_rng([1, num_problems, num_samples, i])
        arm_P, reference_P = draw_arms(rng, num_problems, case)
        counts = {name: rng.binomial(num_samples, p)[None] for name, p in (("arm", arm_P), ("grpo", reference_P))}
        one = evaluations(counts, num_samples, {"arm": [0], "grpo": [0]})
        for k, interval in zip(ks, contrast_intervals(one, contrasts, bands=False), strict=True):
            cells[k].add(interval, truth[k])
    return cells


def over_levels(num_problems: int, num_samples: int, ks: Sequence[int], num_experiments: int) -> dict[int, Cell]:
    """Simulate Pass@k of one checkpoint."""
    draws = [draw_arms(np.random.default_rng([98, i]), 50_000, "null")[0] for i in range(20)]
    truth = {k: float(np.mean([pass_at(p, k).mean() for p in draws])) for k in ks}
    cells = {k: Cell() for k in ks}
    for i in range(num_experiments):
        rng = np.random.default_rng([2, num_problems, i])
        counts = rng.binomial(num_samples, draw_arms(rng, num_problems, "null")[0])[None]
        one = evaluations({"base": counts}, num_samples, {})
        for k, interval in zip(ks, contrast_intervals(one, [{"base": {k: 1.0}} for k in ks], bands=False), strict=True):
            cells[k].add(bounded_share(interval, num_problems), truth[k])
    return cells


@dataclass(frozen=True)
class Runs:
    """Training runs of two arms: seed numbers, and how seeds differ. Arms of one seed share the random stream."""

    seeds: tuple[range, range]
    seed_shift: float  # deviation of a seed's shift of all problems, logits
    own: float = 0.4  # deviation of a seed's own shift of each problem
    coupled: float = 0.6  # correlation of two arms' runs of one seed, of shifts and samples alike


def draw_runs(
    rng: np.random.Generator, logit_AP: np.ndarray, kind_P: np.ndarray, runs: Runs
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return [S, P], [S, P]: success rates of both arms' runs for all seeds of either; and these seeds."""
    numbers = sorted({*runs.seeds[0], *runs.seeds[1]})
    shape = (len(numbers), logit_AP.shape[1])
    common_S1, common_SP = rng.normal(size=(len(numbers), 1)), rng.normal(size=shape)
    shared, alone = np.sqrt(runs.coupled), np.sqrt(1 - runs.coupled)
    found = []
    for logit_P in logit_AP:
        shift_S1 = runs.seed_shift * (shared * common_S1 + alone * rng.normal(size=common_S1.shape))
        own_SP = runs.own * (shared * common_SP + alone * rng.normal(size=shape))
        found.append(rates(logit_P + shift_S1 + own_SP, kind_P))
    return found[0], found[1], numbers


def draw_counts(
    rng: np.random.Generator, ours_SP: np.ndarray, theirs_SP: np.ndarray, num_samples: int, coupled: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of correct samples of both arms; a share `coupled` of the problems has one stream for both.

    With one stream, the sample that succeeds at the lower rate succeeds at the higher rate too.
    """
    low_SP, high_SP = np.minimum(ours_SP, theirs_SP), np.maximum(ours_SP, theirs_SP)
    first_SP = rng.binomial(num_samples, high_SP)
    below_SP = rng.binomial(first_SP, np.divide(low_SP, high_SP, out=np.ones_like(low_SP), where=high_SP > 0))
    alone_SP = rng.binomial(num_samples, low_SP)
    second_SP = np.where(rng.random(low_SP.shape) < coupled, below_SP, alone_SP)
    higher_SP = ours_SP >= theirs_SP
    return np.where(higher_SP, first_SP, second_SP), np.where(higher_SP, second_SP, first_SP)


def over_seeds(
    num_problems: int, runs: Runs, scope: str, shift: float, ks: Sequence[int], num_experiments: int, n: int = 256
) -> dict[int, Cell]:
    """Simulate several seeds of two arms. SEEDS: fixed problems; METHOD: new problems in every experiment."""
    fixed = np.random.default_rng([3, num_problems])
    logit_P, kind_P = draw_logits(fixed, num_problems)
    own_AP = fixed.normal(0.0, SPREAD, (2, num_problems))
    contrasts: list[Contrast] = [{"arm": {k: 1.0}, "grpo": {k: -1.0}} for k in ks]
    cells = {k: Cell() for k in ks}
    truth = _true_over_seeds(logit_P, kind_P, own_AP, runs, scope, shift, ks)
    for i in range(num_experiments):
        rng = np.random.default_rng([4, num_problems, len(runs.seeds[0]), i])
        if scope == METHOD:
            logit_P, kind_P = draw_logits(rng, num_problems)
            own_AP = rng.normal(0.0, SPREAD, (2, num_problems))
        *true, numbers = draw_runs(rng, logit_P + own_AP + [[shift], [0.0]], kind_P, runs)
        counts = draw_counts(rng, *true, n, runs.coupled)
        rows = [[numbers.index(seed) for seed in own] for own in runs.seeds]
        named = {name: c[own] for name, c, own in zip(("arm", "grpo"), counts, rows, strict=True)}
        one = evaluations(named, n, dict(zip(("arm", "grpo"), runs.seeds, strict=True)))
        for k, interval in zip(ks, contrast_intervals(one, contrasts, scope=scope, bands=False), strict=True):
            cells[k].add(interval, truth[k])
    return cells


def _true_over_seeds(
    logit_P: np.ndarray, kind_P: np.ndarray, own_AP: np.ndarray, runs: Runs, scope: str, shift: float, ks: Sequence[int]
) -> dict[int, float]:
    """Return the expected difference over seeds, and over problems too in scope METHOD."""
    if scope == METHOD and shift == 0:
        return dict.fromkeys(ks, 0.0)
    many = Runs((range(200), range(200)), runs.seed_shift, runs.own, runs.coupled)
    sums = dict.fromkeys(ks, 0.0)
    rounds = 40 if scope == METHOD else 100
    for i in range(rounds):
        rng = np.random.default_rng([5, i])
        if scope == METHOD:
            logit_P, kind_P = draw_logits(rng, 1000)
            own_AP = rng.normal(0.0, SPREAD, (2, 1000))
        ours, theirs, _ = draw_runs(rng, logit_P + own_AP + [[shift], [0.0]], kind_P, many)
        for k in ks:
            sums[k] += float(pass_at(ours, k).mean() - pass_at(theirs, k).mean()) / rounds
    return sums


def worst(cells: Sequence[Cell]) -> str:
    """Return the range of coverage over cells with enough intervals."""
    known = [cell.coverage for cell in cells if cell.intervals >= 100]
    return f"{100 * min(known):.1f}–{100 * max(known):.1f} %" if known else "no intervals"


def table(title: str, rows: Iterator[tuple[str, dict[int, Cell], bool]]) -> None:
    """Print a row for each setting, a column for each k, and the range of coverage."""
    print(f"\n{title}\n{'':44}" + "coverage (found where null is true | share with an interval), by k")
    everything: list[Cell] = []
    for name, cells, null in rows:
        shown = []
        for k, cell in cells.items():
            kept = cell.intervals / cell.experiments
            found = f"{100 * cell.found / cell.intervals:.1f}" if null and cell.intervals else ""
            rate = f"{100 * cell.coverage:.1f}" if cell.intervals >= 100 else "–"
            shown.append(f"k={k}: {rate} ({found}|{100 * kept:.0f})")
        print(f"{name:44}" + "  ".join(shown), flush=True)
        everything += cells.values()
    contradictions = sum(cell.contradictions for cell in everything)
    print(f"range of coverage: {worst(everything)}; intervals that contradict their p-value: {contradictions}")


def _problem_rows(num_experiments: int) -> Iterator[tuple[str, dict[int, Cell], bool]]:
    for case in SHIFTS:
        for num_samples in (256, 512):
            for num_problems in (30, 40, 128, 500):
                ks = [1, 8, 64, num_samples // 2, num_samples]
                cells = over_problems(num_problems, num_samples, case, ks, num_experiments)
                yield f"{case}, n = {num_samples}, P = {num_problems}", cells, case == "null"


def _level_rows(num_experiments: int) -> Iterator[tuple[str, dict[int, Cell], bool]]:
    for num_problems in (30, 40, 128, 500):
        yield (
            f"P = {num_problems}, n = 256",
            over_levels(num_problems, 256, [1, 8, 64, 128, 256], num_experiments),
            False,
        )


def _seed_rows(scope: str, num_experiments: int) -> Iterator[tuple[str, dict[int, Cell], bool]]:
    same = [((range(s), range(s)), f"{s} seeds, paired") for s in (2, 3, 5, 10)]
    apart = [
        ((range(s), range(100, 100 + t)), f"{s} against {t} other seeds") for s, t in ((3, 3), (5, 5), (3, 10), (2, 5))
    ]
    for seeds, name in [*same, ((range(3), range(10)), "3 against 10 seeds, 3 shared"), *apart]:
        for seed_shift in (0.0, 0.5):
            for num_problems in (40,) if scope == SEEDS else (40, 500):
                for shift in (0.0, 0.7):
                    runs = Runs(seeds, seed_shift)
                    cells = over_seeds(num_problems, runs, scope, shift, [1, 64], num_experiments)
                    # In scope SEEDS the arms differ on the fixed problems, so no effect is zero.
                    null = shift == 0 and scope == METHOD
                    yield f"{name}, σ = {seed_shift}, P = {num_problems}, shift {shift}", cells, null


def main() -> None:
    num_experiments = int(os.environ.get("EXPERIMENTS", "1000"))
    print(f"{num_experiments} experiments a cell; nominal coverage {100 * LEVEL:.0f} %")
    table(f"Differences of two arms, scope: {CHECKPOINTS}", _problem_rows(num_experiments))
    table("Pass@k of one arm", _level_rows(num_experiments))
    table(f"Differences of two arms, scope: {SEEDS}", _seed_rows(SEEDS, num_experiments // 2))
    table(f"Differences of two arms, scope: {METHOD}", _seed_rows(METHOD, num_experiments // 2))
