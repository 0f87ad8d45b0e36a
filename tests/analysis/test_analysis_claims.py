"""Each claim on data where it is true, false and undecided."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.claims import c1, c2, c3, c5, c8, judge
from analysis.curves import Evaluations
from analysis.frames import load_study
from analysis.stats import Interval
from analysis.verdicts import (
    NO_DATA,
    NOT_SUPPORTED,
    SUPPORTED,
    UNDECIDED,
    Verdict,
    difference_series,
    plateau_verdict,
    sign_verdict,
    window_interval,
)

NUM_SAMPLES = 512
STEPS = 60


def model(seed: int, *, solvable: float, p: float, problems: int = 150) -> np.ndarray:
    """Counts of a model that solves a share of the problems, each with probability p a sample."""
    rng = np.random.default_rng([1, seed])
    p_P = np.where(np.arange(problems) < solvable * problems, p, 0.0)
    return rng.binomial(NUM_SAMPLES, p_P)


def evaluate(problems: int = 150, **arms: tuple[float, float]) -> list[Evaluations]:
    correct = {
        arm: model(i, solvable=solvable, p=p, problems=problems)[None]
        for i, (arm, (solvable, p)) in enumerate(arms.items())
    }
    seeds = {arm: (0,) for arm in arms if arm != "base"}
    return [Evaluations("bench", NUM_SAMPLES, 1.0, 1.0, correct, seeds)]


def series(*points: float, seeds: int = 1, noise: float = 0.01, key: int = 0) -> pd.DataFrame:
    """[T, S]: a broken line through evenly spaced points, with noise."""
    line = np.interp(np.linspace(0, 1, STEPS), np.linspace(0, 1, len(points)), points)
    values = line[:, None] + np.random.default_rng([2, key]).normal(0, noise, (STEPS, seeds))
    return pd.DataFrame(values, index=np.arange(1, STEPS + 1), columns=[str(i) for i in range(seeds)])


def check(verdict: Verdict, expected: str) -> None:
    assert verdict.verdict == expected, verdict.text
    assert verdict.text
    assert verdict.would_change
    if expected != NO_DATA:
        assert verdict.deciding is not None
        assert verdict.effect == pytest.approx(verdict.deciding.interval.estimate, nan_ok=True)
        assert verdict.speaks_of


@pytest.mark.parametrize(
    ("base", "grpo", "problems", "expected"),
    [
        ((0.9, 0.05), (0.6, 0.5), 150, SUPPORTED),  # sharper but narrower
        ((0.6, 0.05), (0.9, 0.5), 150, NOT_SUPPORTED),  # sharper and broader: above the base at every k
        ((0.7, 0.05), (0.6, 0.5), 12, UNDECIDED),  # one problem fewer of twelve
    ],
)
def test_c1(base: tuple, grpo: tuple, problems: int, expected: str) -> None:
    check(c1(evaluate(problems, base=base, grpo=grpo)), expected)


GRPO_ENTROPY = series(1.2, 0.6, 0.3, key=1)
ND_ENTROPY = series(1.2, 1.3, 1.5, key=2)


@pytest.mark.parametrize(
    ("positive", "entropy", "expected"),
    [
        ((0.4, 0.6), series(1.2, 0.2, 0.05, key=3), SUPPORTED),
        ((0.4, 0.6), series(1.2, 1.3, 1.4, key=3), NOT_SUPPORTED),  # entropy rises
        ((0.9, 0.6), series(1.2, 0.2, 0.05, key=3), NOT_SUPPORTED),  # best at large k
        ((0.4, 0.6), series(1.2, 0.6, 0.3, noise=0.3, key=3), UNDECIDED),  # not told apart from GRPO
    ],
)
def test_c2(positive: tuple, entropy: pd.DataFrame, expected: str) -> None:
    evaluations = evaluate(grpo=(0.6, 0.5), negative_dominant=(0.8, 0.3), positive_dominant=positive)
    entropies = {"grpo": GRPO_ENTROPY, "negative_dominant": ND_ENTROPY, "positive_dominant": entropy}
    check(c2(evaluations, entropies), expected)


@pytest.mark.parametrize(
    ("negative", "entropy", "expected"),
    [
        ((0.9, 0.3), ND_ENTROPY, SUPPORTED),
        ((0.9, 0.3), series(1.2, 0.8, 0.5), NOT_SUPPORTED),  # entropy falls
        ((0.5, 0.3), ND_ENTROPY, NOT_SUPPORTED),  # loses the base's Pass@256
        ((0.9, 0.3), series(1.2, 1.21, noise=0.2), UNDECIDED),
    ],
)
def test_c3(negative: tuple, entropy: pd.DataFrame, expected: str) -> None:
    evaluations = evaluate(base=(0.9, 0.1), grpo=(0.6, 0.5), negative_dominant=negative)
    check(c3(evaluations, {"negative_dominant": entropy}), expected)


@pytest.mark.parametrize(
    ("easy", "hard", "expected"),
    [
        (series(0.2, 0.6, 0.55, 0.5, key=1), series(0.2, 0.3, 0.5, 0.7, key=2), SUPPORTED),
        (series(0.2, 0.25, 0.3, 0.5, key=1), series(0.2, 0.3, 0.5, 0.7, key=2), NOT_SUPPORTED),
        (series(0.2, 0.6, 0.55, 0.5, key=1), series(0.2, 0.3, 0.5, 0.62, noise=0.2, key=2), UNDECIDED),
    ],
)
def test_c5(easy: pd.DataFrame, hard: pd.DataFrame, expected: str) -> None:
    check(c5({"grpo": series(0.2, 0.4, 0.5, 0.52), "easy_focused": easy, "hard_focused": hard}), expected)


@pytest.mark.parametrize(
    ("a_grae", "expected"),
    [
        (series(1.2, 0.8, 0.78, 0.78, 0.78, 0.78, 0.78), SUPPORTED),
        (series(1.2, 0.9, 0.6, 0.3, 0.1), NOT_SUPPORTED),  # no plateau
        (series(1.2, 0.8, 0.78, 0.78, 0.78, 0.78, 0.78, noise=0.25), UNDECIDED),
    ],
)
def test_c8(a_grae: pd.DataFrame, expected: str) -> None:
    check(c8({"grpo": series(1.2, 0.9, 0.6, 0.3), "a_grae": a_grae}), expected)


def test_several_seeds_speak_of_the_method() -> None:
    plateau = series(1.2, 0.8, 0.78, 0.78, 0.78, 0.78, 0.78, seeds=3, key=1)
    verdict = c8({"grpo": series(1.2, 0.9, 0.6, 0.3, seeds=3), "a_grae": plateau})
    assert verdict.verdict == SUPPORTED
    assert verdict.speaks_of == "the method (its training seeds) (3 seeds, fewer than 5: read with care)"
    assert "one run" not in verdict.would_change


def test_missing_arms_are_named() -> None:
    check(c1([]), NO_DATA)
    assert c1([]).text == "no data: needs a finished evaluation of grpo, a finished evaluation of base"
    assert "needs a finished run of a_grae" in c8({"grpo": GRPO_ENTROPY}).text
    unfinished = evaluate(base=(0.9, 0.1), grpo=(0.6, 0.5))[0]
    unfinished = Evaluations(**{**unfinished.__dict__, "unfinished": frozenset({"grpo"})})
    check(c1([unfinished]), NO_DATA)


@pytest.mark.parametrize("length", [1, 8, 29])
def test_a_short_run_is_undecided(length: int) -> None:
    short = {arm: frame.head(length) for arm, frame in (("grpo", GRPO_ENTROPY), ("a_grae", GRPO_ENTROPY))}
    check(c8(short), UNDECIDED)
    assert f"no value (needs 30 steps, has {length})" in c8(short).text
    pair = {arm: pd.concat([frame, frame.set_axis(["1"], axis=1)], axis=1) for arm, frame in short.items()}
    check(c8(pair), UNDECIDED)


def test_what_a_benchmark_lacks_is_noted() -> None:
    both = [*evaluate(base=(0.9, 0.05), grpo=(0.6, 0.5)), *evaluate(grpo=(0.6, 0.5))]
    verdict = c1(both)
    assert len(verdict.parts) == 3
    assert "bench: not judged, needs finished evaluations of base" in verdict.notes
    single = evaluate(base=(0.9, 0.05), grpo=(0.6, 0.5))[0]
    one_sample = {arm: counts.clip(max=1) for arm, counts in single.correct.items()}
    verdict = c1([Evaluations("bench", 1, 1.0, 1.0, one_sample, single.seeds)])
    assert verdict.verdict == NO_DATA
    assert verdict.notes == ("bench: not judged, needs more than one sample a problem",)


def interval(lo: float, hi: float) -> Interval:
    return Interval((lo + hi) / 2, lo, hi, "", "")


@pytest.mark.parametrize(
    ("lo", "hi", "expected"),
    [
        (0.001, 0.2, SUPPORTED),
        (-0.2, -0.001, NOT_SUPPORTED),
        (-0.005, 0.005, NOT_SUPPORTED),  # no effect of 0.01 or more
        (-0.005, 0.02, UNDECIDED),
        (np.nan, np.nan, UNDECIDED),
    ],
)
def test_the_rule_for_a_part(lo: float, hi: float, expected: str) -> None:
    assert sign_verdict(interval(lo, hi), +1, relevant=0.01) == expected
    assert sign_verdict(interval(-hi, -lo), -1, relevant=0.01) == expected


def test_the_rule_for_a_plateau() -> None:
    assert plateau_verdict(interval(-0.05, 0.05), 0.1) == SUPPORTED
    assert plateau_verdict(interval(-0.5, -0.2), 0.1) == NOT_SUPPORTED
    assert plateau_verdict(interval(-0.5, 0.05), 0.1) == UNDECIDED
    assert plateau_verdict(interval(np.nan, np.nan), 0.1) == UNDECIDED


def test_differences_pair_the_same_seeds() -> None:
    a, b = series(1.0, 2.0, seeds=3), series(0.0, 1.0, seeds=2, key=1)
    assert list(difference_series(a, b).columns) == ["0", "1"]
    other = b.set_axis(["7", "8"], axis=1)
    assert difference_series(a, other).shape == (STEPS, 1)


def test_window_statistic_of_several_seeds_is_a_t_interval_of_per_seed_values() -> None:
    frame = series(0.0, 1.0, seeds=4)
    values = frame.iloc[-15:].mean() - frame.iloc[:15].mean()
    ours = window_interval(frame, [(1.0, 0.75, 1.0), (-1.0, 0.0, 0.25)])
    assert ours.estimate == pytest.approx(values.mean())
    assert (ours.hi - ours.lo) / 2 == pytest.approx(3.182446 * values.std() / 2, rel=1e-6)  # t(0.975, 3 df)


def test_judging_a_root_uses_finished_runs_alone(new_root: Callable) -> None:
    from agrae_lab.runs import Experiment

    root = new_root(num_problems=20, num_samples=16)
    runs = [root.run("grpo"), root.run("a_grae", status="failed", steps=20)]
    study = load_study(root.path, Experiment("x", "?", tuple(run.key for run in runs)))
    by_claim = {verdict.claim: verdict for verdict in judge(study)}
    assert list(by_claim) == ["C1", "C2", "C3", "C5", "C8"]
    assert by_claim["C1"].verdict != NO_DATA
    assert by_claim["C8"].text == "no data: needs a finished run of a_grae"
