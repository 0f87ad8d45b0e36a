"""Simulated error rates, power and numbers of seeds of the stopping rule for studies (statistics/sequential.py).

    python -m analysis.simulation sequential [looks=3,5,8,12,16] [alpha=0.05] [experiments=20000]

Differences between paired seeds have mean 0 (or the effect) and standard deviation 1, in laws from normal to strongly
skewed. Four rules are compared: the project's, the same spending with critical values of normal differences, an
always-valid confidence sequence, and one t test after the last look's number of seeds.

Shapes: S seeds, K looks, D simulated studies, C comparisons of one study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy import stats as scipy_stats

from analysis.statistics.sequential import Rule, critical_values, means_and_errors

Law = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

NUM_EXPERIMENTS = 20_000  # an error of 5 % is then known to ±0.3 points
NUM_COMPARISONS = 4  # candidates of the family, which share one reference
EFFECTS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # in standard deviations of the differences
SMALLEST_EFFECTS = (1.0, 1.5, 2.0)

# Differences with mean 0 and standard deviation 1. Two arms whose seeds follow one law have symmetric differences,
# however skewed the law is.
LAWS: Mapping[str, Law] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy tails (t with 3 df)": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),
    "both arms log-normal": lambda rng, shape: (rng.lognormal(size=shape) - rng.lognormal(size=shape)) / 3.06,
    "one seed in five collapses, in both arms": lambda rng, shape: (
        (_collapses(rng, shape) - _collapses(rng, shape)) / np.sqrt(2)
    ),
    "one arm exponential, the other normal": lambda rng, shape: (
        (rng.standard_exponential(shape) - 1 - rng.standard_normal(shape)) / np.sqrt(2)
    ),
    "skewness 1 (gamma)": lambda rng, shape: (rng.standard_gamma(4.0, shape) - 4) / 2,
}
# Beyond the rule's level: one arm alone has all the noise.
STRONG_SKEW: Mapping[str, Law] = {
    "skewness 2 (exponential)": lambda rng, shape: rng.standard_exponential(shape) - 1,
    "one seed in five collapses, in one arm": lambda rng, shape: _collapses(rng, shape),
}


def _collapses(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return normal scores, of which one in five is five deviations lower, scaled to mean 0, standard deviation 1."""
    return (rng.standard_normal(shape) - 5 * (rng.random(shape) < 0.2) + 1) / np.sqrt(5)


@dataclass(frozen=True)
class Design:
    """Rule of one column: numbers of seeds of its looks, and the critical value of |t| at each."""

    looks: tuple[int, ...]
    critical_K: np.ndarray

    def rejections(self, differences_DS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the sign of the difference that each study finds, 0 for none, and its number of seeds, [D], [D]."""
        t_DK = np.stack([np.divide(*means_and_errors(differences_DS[:, :n])) for n in self.looks], axis=1)
        rejects_DK = np.abs(t_DK) > self.critical_K
        found_D = rejects_DK.any(axis=1)
        last_D = np.where(found_D, rejects_DK.argmax(axis=1), len(self.looks) - 1)
        signs_D = np.where(found_D, np.sign(t_DK[np.arange(len(t_DK)), last_D]), 0.0)
        return signs_D, np.asarray(self.looks)[last_D]


def designs(looks: tuple[int, ...], alpha: float) -> dict[str, Design]:
    """Return the compared rules by name."""
    return {
        "this rule": Design(looks, np.array(critical_values(looks, alpha))),
        "normal t-paths": Design(looks, np.array(critical_values(looks, alpha, skewed=False))),
        "confidence sequence": Design(looks, np.array([sequence_critical_value(n, alpha) for n in looks])),
        "fixed design": Design(looks[-1:], scipy_stats.t.ppf([1 - alpha / 2], looks[-1] - 1)),
    }


def sequence_critical_value(num_seeds: int, alpha: float) -> float:
    """Return the critical value of |t| of an always-valid t test with a normal mixture of effects of one deviation.

    The Bayes factor √r ((1 + t²/ν) / (1 + r t²/ν))^(n/2), r = 1 / (n + 1), ν = n − 1, is an e-process under normal
    differences (Wang and Ramdas 2025, arXiv 2310.03722). The test rejects where it reaches 1/α. The value is infinite
    where no t is enough.
    """
    ratio, df = 1 / (num_seeds + 1), num_seeds - 1

    def excess(t: float) -> float:
        log_factor = np.log1p(t * t / df) - np.log1p(ratio * t * t / df)
        return float(0.5 * np.log(ratio) + num_seeds / 2 * log_factor + np.log(alpha))

    largest = 1e6
    return float(optimize.brentq(excess, 0.0, largest)) if excess(largest) > 0 else np.inf


def error_rates(looks: tuple[int, ...], alpha: float, *, num_experiments: int, seed: int = 0) -> dict[str, list[float]]:
    """Return law → share of studies without an effect that call the arms different, for each of `designs`."""
    rates = {}
    for number, (name, law) in enumerate({**LAWS, **STRONG_SKEW}.items()):
        differences_DS = law(np.random.default_rng([seed, number]), (num_experiments, looks[-1]))
        rates[name] = [float((one.rejections(differences_DS)[0] != 0).mean()) for one in designs(looks, alpha).values()]
    return rates


def power(
    looks: tuple[int, ...], alpha: float, *, num_experiments: int, seed: int = 0
) -> dict[float, list[tuple[float, float]]]:
    """Return effect → (share that finds it in its direction, mean number of seeds), for each of `designs`."""
    results = {}
    for number, effect in enumerate(EFFECTS):
        noise_DS = np.random.default_rng([seed, 100, number]).standard_normal((num_experiments, looks[-1]))
        results[effect] = [
            (float((signs_D > 0).mean()), float(num_seeds_D.mean()))
            for signs_D, num_seeds_D in (one.rejections(effect + noise_DS) for one in designs(looks, alpha).values())
        ]
    return results


def family_error(looks: tuple[int, ...], alpha: float, *, num_experiments: int, seed: int = 0) -> dict[str, float]:
    """Return law → share of studies of several candidates and no effect that call any candidate different.

    The candidates share their reference, so that their differences are correlated.
    """
    rates = {}
    design = Design(looks, np.array(Rule(looks, 1.0, alpha, NUM_COMPARISONS).critical_values))
    for number, (name, law) in enumerate(LAWS.items()):
        rng = np.random.default_rng([seed, 200, number])
        scores_CDS = law(rng, (NUM_COMPARISONS, num_experiments, looks[-1]))
        reference_DS = rng.permutation(law(rng, (num_experiments, looks[-1])), axis=1)
        found_CD = [design.rejections(scores_DS - reference_DS)[0] != 0 for scores_DS in scores_CDS]
        rates[name] = float(np.any(found_CD, axis=0).mean())
    return rates


def equivalence(
    looks: tuple[int, ...], alpha: float, *, num_experiments: int, seed: int = 0
) -> dict[float, tuple[float, float, float]]:
    """Return smallest effect → share called smaller at effect 0, their mean number of seeds, share at that effect."""
    critical_K = np.array(critical_values(looks, alpha))
    results = {}
    for number, smallest in enumerate(SMALLEST_EFFECTS):
        rng = np.random.default_rng([seed, 300, number])
        noise_DS = rng.standard_normal((num_experiments, looks[-1]))
        at_zero, num_seeds = _called_smaller(noise_DS, looks, critical_K, smallest)
        at_smallest, _ = _called_smaller(smallest + noise_DS, looks, critical_K, smallest)
        results[smallest] = (at_zero, num_seeds, at_smallest)
    return results


def _called_smaller(
    differences_DS: np.ndarray, looks: Sequence[int], critical_K: np.ndarray, smallest: float
) -> tuple[float, float]:
    """Return the share of studies whose interval lies within ± smallest at some look, and their mean seeds."""
    parts = [means_and_errors(differences_DS[:, :n]) for n in looks]
    ends_DK = np.stack(
        [np.abs(mean_D) + critical * error_D for (mean_D, error_D), critical in zip(parts, critical_K, strict=True)],
        axis=1,
    )
    within_DK = ends_DK < smallest
    found_D = within_DK.any(axis=1)
    last_D = np.where(found_D, within_DK.argmax(axis=1), len(looks) - 1)
    return float(found_D.mean()), float(np.asarray(looks)[last_D].mean())


def report(looks: tuple[int, ...], alpha: float, *, num_experiments: int) -> Iterator[str]:
    """Yield the lines of all tables, in Markdown."""
    names = list(designs(looks, alpha))
    yield f"looks at {', '.join(map(str, looks))} seeds, alpha {alpha:g}, {num_experiments} experiments a cell"
    yield "critical values of |t|: " + ", ".join(f"{c:.2f}" for c in designs(looks, alpha)["this rule"].critical_K)
    yield from _table(["no effect: called different", *names], [
        [law, *(f"{100 * rate:.1f} %" for rate in rates)]
        for law, rates in error_rates(looks, alpha, num_experiments=num_experiments).items()
    ])  # fmt: skip
    yield from _table(["effect (deviations): found, mean seeds", *names], [
        [f"{effect:g}", *(f"{100 * share:.0f} %, {num_seeds:.1f}" for share, num_seeds in cells)]
        for effect, cells in power(looks, alpha, num_experiments=num_experiments).items()
    ])  # fmt: skip
    yield from _table([f"{NUM_COMPARISONS} candidates, no effect", "any called different"], [
        [law, f"{100 * rate:.1f} %"]
        for law, rate in family_error(looks, alpha, num_experiments=num_experiments).items()
    ])  # fmt: skip
    yield from _table(["smallest effect (deviations)", "called smaller at 0", "mean seeds", "called smaller at it"], [
        [f"{smallest:g}", f"{100 * at_zero:.0f} %", f"{num_seeds:.1f}", f"{100 * at_it:.1f} %"]
        for smallest, (at_zero, num_seeds, at_it) in equivalence(looks, alpha, num_experiments=num_experiments).items()
    ])  # fmt: skip


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ""
    for cells in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(cells) + " |"
