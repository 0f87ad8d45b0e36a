"""Each claim on data where it is true, false and undecided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agrae_lab.runs import Run
from analysis.claims import c1, c2, c3, c4, c5, c6, c7, c8, judge
from analysis.claims._parts import basis
from analysis.claims.improvement import Pair, a_grae_pairs
from analysis.claims.verdicts import (
    NO_DATA,
    NOT_SUPPORTED,
    ONE_SEED,
    SUPPORTED,
    UNDECIDED,
    Part,
    Verdict,
    conclude,
    plateau_verdict,
    sign_verdict,
    window_difference,
    window_interval,
)
from analysis.io.study import Study, load_study
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import Evaluations
from analysis.statistics.intervals import Interval
from analysis.statistics.passk import pass_at_k

NUM_SAMPLES = 512
STEPS = 60


def model(seed: int, *, solvable: float, p: float, problems: int = 150) -> np.ndarray:
    """Counts of a model that solves a share of the problems, each with probability p a sample."""
    rng = np.random.default_rng([1, seed])
    p_P = np.where(np.arange(problems) < solvable * problems, p, 0.0)
    return rng.binomial(NUM_SAMPLES, p_P)


def evaluate(problems: int = 150, *, seeds: int = 5, **arms: tuple[float, float]) -> list[Evaluations]:
    correct = {
        arm: np.stack(
            [
                model(100 * seed + i, solvable=solvable, p=p, problems=problems)
                for seed in range(1 if arm == "base" else seeds)
            ]
        )
        for i, (arm, (solvable, p)) in enumerate(arms.items())
    }
    numbers = {arm: tuple(range(seeds)) for arm in arms if arm != "base"}
    return [Evaluations("bench", NUM_SAMPLES, 1.0, 1.0, correct, numbers)]


def series(*points: float, seeds: int = 5, noise: float = 0.01, key: int = 0) -> pd.DataFrame:
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
        assert verdict.scope


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
        ((0.97, 0.3), ND_ENTROPY, SUPPORTED),
        ((0.9, 0.3), series(1.2, 0.8, 0.5), NOT_SUPPORTED),  # entropy falls
        ((0.9, 0.3), ND_ENTROPY, UNDECIDED),  # solves what the base solves: no problem differs
        ((0.5, 0.3), ND_ENTROPY, NOT_SUPPORTED),  # loses the base's Pass@256
        ((0.9, 0.3), series(1.2, 1.21, noise=0.2), UNDECIDED),
    ],
)
def test_c3(negative: tuple, entropy: pd.DataFrame, expected: str) -> None:
    evaluations = evaluate(base=(0.9, 0.1), grpo=(0.6, 0.5), negative_dominant=negative)
    check(c3(evaluations, {"negative_dominant": entropy}), expected)


def collapses(**arms: tuple[int, int]) -> pd.DataFrame:
    """Arm → so many collapsed runs of so many."""
    rows = [
        {"arm": arm, "seed": seed, "status": "done", "steps": 140, "observable": True, "collapsed": seed < collapsed,
         "step": 84, "sign": "fully unsolved prompts", "before": 0.06, "after": 0.31}
        for arm, (collapsed, runs) in arms.items()
        for seed in range(runs)
    ]  # fmt: skip
    columns = ["arm", "seed", "status", "steps", "observable", "collapsed", "step", "sign", "before", "after"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(
    ("negative", "group_only", "expected"),
    [
        ((12, 20), (0, 20), SUPPORTED),
        ((3, 10), (0, 10), UNDECIDED),  # the paper's own counts
        ((0, 80), (0, 80), NOT_SUPPORTED),  # surely fewer than one run in twenty
        ((12, 20), (9, 20), NOT_SUPPORTED),  # the group level collapses, too
        ((1, 1), (0, 1), ONE_SEED),
        ((1, 1), (0, 20), UNDECIDED),
    ],
)
def test_c4(negative: tuple, group_only: tuple, expected: str) -> None:
    check(c4(collapses(negative_dominant=negative, a_grae_group_only=group_only)), expected)


def test_two_seeds_speak_of_the_method_and_one_does_not() -> None:
    one, two = (Part("x", Interval(0.1, 0.05, 0.15, "t", "", num), "pp", SUPPORTED) for num in (1, 2))
    assert (one.one_run, two.one_run) == (True, False)


def test_c4_of_the_paper_s_counts_says_which_part_is_open() -> None:
    verdict = c4(collapses(negative_dominant=(3, 10), a_grae_group_only=(0, 10)))
    assert [part.verdict for part in verdict.parts] == [SUPPORTED, UNDECIDED, UNDECIDED]
    assert "Negative-Dominant: 3 of 10 runs collapsed, claimed > 5 %: 30.0 % [6.7, 65.2]" in verdict.text
    assert "claimed > 0: +30.0 pp [-4.0, +65.0]" in verdict.text
    assert "Negative-Dominant, seed 2: collapsed at step 84 (fully unsolved prompts 6.0 % → 31.0 %)" in verdict.notes
    assert verdict.notes[0].startswith("Collapse: ")


def test_c4_counts_ended_runs_and_names_what_is_missing() -> None:
    table = collapses(negative_dominant=(1, 3))
    verdict = c4(table.assign(status=["running", "diverged", "done"]))
    assert verdict.parts[0].interval.num_seeds == 2
    assert verdict.parts[0].interval.estimate == 0
    assert verdict.missing == ("an ended run (done or diverged) of a_grae_group_only",)
    assert any("no outcome separates" in note for note in verdict.notes)
    check(c4(collapses()), NO_DATA)
    short = c4(collapses(a_grae_group_only=(0, 13)).assign(observable=False))  # no run is stable for being short
    assert (short.verdict, short.missing) == (
        NO_DATA, ("an ended run (done or diverged) of negative_dominant", "a longer run of a_grae_group_only")
    )  # fmt: skip
    some = c4(collapses(a_grae_group_only=(0, 13)).assign(observable=[False, *[True] * 12]))
    assert some.parts[0].name.startswith("A-GRAE (group level only): 0 of 12 runs collapsed")
    assert any(note.startswith("1 ended run left out") for note in some.notes)
    uneven = table.assign(steps=[140, 140, 70])
    assert any("70 to 140 steps" in note for note in c4(uneven).notes)


def focused(hard_on_hard: float, easy_on_hard: float, hard_on_easy: float, easy_on_easy: float) -> Evaluations:
    """Base, Hard-Focused and Easy-Focused on a benchmark whose first half is hard for the base."""
    rng = np.random.default_rng(3)
    rates = {"base": (0.05, 0.6), "hard_focused": (hard_on_hard, hard_on_easy)}
    rates["easy_focused"] = (easy_on_hard, easy_on_easy)
    seeds = tuple(range(5))
    counts = {
        arm: rng.binomial(64, np.repeat(pair, 100), size=(1 if arm == "base" else len(seeds), 200))
        for arm, pair in rates.items()
    }
    return Evaluations("bench", 64, 1.0, 1.0, counts, {"hard_focused": seeds, "easy_focused": seeds})


EASY_EARLY, HARD_LATE = series(0.2, 0.6, 0.55, 0.5, key=1), series(0.2, 0.3, 0.5, 0.7, key=2)
EACH_ON_ITS_OWN = focused(0.3, 0.2, 0.7, 0.8)


@pytest.mark.parametrize(
    ("easy", "hard", "test", "expected"),
    [
        (EASY_EARLY, HARD_LATE, EACH_ON_ITS_OWN, SUPPORTED),
        (EASY_EARLY, HARD_LATE, focused(0.3, 0.2, 0.8, 0.7), NOT_SUPPORTED),  # Hard wins on easy problems too
        (EASY_EARLY, HARD_LATE, focused(0.3, 0.2, 0.75, 0.75), UNDECIDED),
        (series(0.2, 0.25, 0.3, 0.5, key=1), HARD_LATE, EACH_ON_ITS_OWN, NOT_SUPPORTED),
        (series(0.2, 0.3, 0.5, 0.7, key=1), EASY_EARLY, EACH_ON_ITS_OWN, NOT_SUPPORTED),
        (
            series(0.2, 0.6, 0.55, 0.5, noise=0.3, key=1),
            series(0.2, 0.3, 0.5, 0.7, noise=0.3, key=2),
            EACH_ON_ITS_OWN,
            UNDECIDED,
        ),
    ],
)
def test_c5(easy: pd.DataFrame, hard: pd.DataFrame, test: Evaluations, expected: str) -> None:
    shares = {"grpo": series(0.2, 0.4, 0.5, 0.6, key=4), "easy_focused": easy, "hard_focused": hard}
    check(c5([test], shares), expected)


def test_c5_halves_a_single_benchmark_and_takes_the_extremes_of_several() -> None:
    shares = {"grpo": series(0.2, 0.4, 0.5, 0.6), "easy_focused": EASY_EARLY, "hard_focused": HARD_LATE}
    verdict = c5([EACH_ON_ITS_OWN], shares)
    assert verdict.notes[0].startswith("hard and easy test: bench halved by the base's success rate, 100 and 100")
    assert [part.name.split(":")[0] for part in verdict.parts[4:]] == ["bench, harder half", "bench, easier half"]
    counts = (EACH_ON_ITS_OWN.correct["hard_focused"] - EACH_ON_ITS_OWN.correct["easy_focused"]).mean(axis=0)
    assert verdict.parts[4].interval.estimate == pytest.approx(counts[:100].mean() / 64)
    assert verdict.parts[5].interval.estimate == pytest.approx(-counts[100:].mean() / 64)
    names = ("middle", "hard", "easy")
    chosen = {name: np.arange(200)[part] for name, part in zip(names, (slice(50, 150), slice(90), slice(120, 200)),
                                                              strict=True)}  # fmt: skip
    several = [
        replace(EACH_ON_ITS_OWN, benchmark=name,
                correct={arm: c[:, chosen[name]] for arm, c in EACH_ON_ITS_OWN.correct.items()})
        for name in names
    ]  # fmt: skip
    for some in (several, several[1:]):
        verdict = c5(some, shares)
        assert [part.name.split(":")[0] for part in verdict.parts[4:]] == ["hard", "easy"]
        assert "the benchmarks hard and easy, by the base's Pass@1" in verdict.notes[0]


def test_c5_with_ties_and_with_nothing_to_split() -> None:
    shares = {"grpo": series(0.2, 0.4, 0.5, 0.6), "easy_focused": EASY_EARLY, "hard_focused": HARD_LATE}
    base = np.r_[np.zeros(150), np.full(50, 20)].astype(int)[None]  # three quarters are never solved
    tied = replace(EACH_ON_ITS_OWN, correct={**EACH_ON_ITS_OWN.correct, "base": base})
    assert "150 and 50 problems" in c5([tied], shares).notes[0]
    alike = replace(EACH_ON_ITS_OWN, correct={**EACH_ON_ITS_OWN.correct, "base": 0 * base})
    verdict = c5([alike], shares)
    assert verdict.verdict == UNDECIDED  # its first half is supported
    assert verdict.missing == ("a base model that solves some problems of bench more often than others",)
    assert "the missing data: a base model" in verdict.would_change
    without_base = replace(EACH_ON_ITS_OWN, correct={a: c for a, c in EACH_ON_ITS_OWN.correct.items() if a != "base"})
    assert c5([without_base], shares).missing == ("a finished evaluation of base",)
    assert c5([], {}).verdict == NO_DATA


# share of problems that can be solved, chance a sample: larger shares raise Pass@K, larger chances Pass@1
PARTS = {"grpo": (0.6, 0.5), "a_grae_sample_only": (0.6, 0.65), "a_grae_group_only": (0.75, 0.4)}


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        ({**PARTS, "a_grae": (0.8, 0.6)}, SUPPORTED),
        ({**PARTS, "a_grae": (0.6, 0.5)}, NOT_SUPPORTED),  # no better than GRPO
        ({**PARTS, "a_grae": (0.8, 0.6), "a_grae_sample_only": (0.75, 0.4)}, NOT_SUPPORTED),  # the parts' roles turned
        ({**PARTS, "a_grae": (0.62, 0.52)}, NOT_SUPPORTED),  # better than GRPO, not than its parts
    ],
)
def test_c6(arms: dict, expected: str) -> None:
    check(c6(evaluate(**arms)), expected)


def test_c6_is_undecided_on_few_problems_and_needs_all_parts() -> None:
    check(c6(evaluate(problems=10, **{**PARTS, "a_grae": (0.8, 0.6)})), UNDECIDED)
    without = c6(evaluate(grpo=(0.6, 0.5), a_grae=(0.8, 0.6)))
    assert without.missing == (
        "a finished evaluation of a_grae_sample_only",
        "a finished evaluation of a_grae_group_only",
    )


def test_c6_weighs_both_ends_alike() -> None:
    verdict = c6(evaluate(**{**PARTS, "a_grae": (0.8, 0.6)}))
    evaluations = evaluate(**{**PARTS, "a_grae": (0.8, 0.6)})[0]
    both = {
        arm: (c / NUM_SAMPLES).mean() / 2 + pass_at_k(c.ravel(), NUM_SAMPLES, (256,)).mean() / 2
        for arm, c in evaluations.correct.items()
    }
    assert verdict.parts[-1].interval.estimate == pytest.approx(both["a_grae"] - both["grpo"])


PAIRS = [Pair(method, f"a_grae+{method}", method) for method in ("GRPO", "DAPO", "Dr.GRPO")]


def pairs_evaluated(*gains: float) -> list[Evaluations]:
    """Each method beside itself with A-GRAE, which solves a larger share of the problems, by `gain`."""
    arms: dict[str, tuple[float, float]] = {}
    for pair, gain in zip(PAIRS, gains, strict=False):
        arms[pair.reference] = (0.6, 0.3)
        arms[pair.arm] = (0.6 + gain, 0.3)
    return evaluate(**arms)


def test_c7_supported_needs_all_three_methods() -> None:
    check(c7(pairs_evaluated(0.2, 0.2, 0.2), PAIRS), SUPPORTED)
    two = c7(pairs_evaluated(0.2, 0.2), PAIRS)
    assert two.verdict == UNDECIDED
    assert two.missing == ("finished evaluations of Dr.GRPO with and without A-GRAE",)
    assert two.deciding is not None
    assert two.deciding.verdict == SUPPORTED
    assert "some parts lack data" in two.notes[0]


def test_c7_is_refuted_by_one_method() -> None:
    check(c7(pairs_evaluated(0.2, 0.2, -0.1), PAIRS), NOT_SUPPORTED)
    check(c7(pairs_evaluated(-0.1), PAIRS), NOT_SUPPORTED)
    check(c7([], []), NO_DATA)


def test_c7_at_nearly_every_k_lets_one_k_fail() -> None:
    """A-GRAE solves twice as many problems, each more rarely: as good at k = 1, or worse there and at k = 2."""
    pair = PAIRS[0]
    one = c7(evaluate(**{pair.reference: (0.45, 0.9), pair.arm: (0.9, 0.45)}), [pair]).parts[0]
    assert one.verdict == SUPPORTED
    assert one.name.endswith("at every k but 1, claimed > 0; decided at k = 2")
    two = c7(evaluate(**{pair.reference: (0.45, 0.9), pair.arm: (0.9, 0.2)}), [pair]).parts[0]
    assert two.verdict == NOT_SUPPORTED
    assert two.name.endswith("decided at k = 2")
    few = c7(evaluate(problems=10, **{pair.reference: (0.6, 0.5), pair.arm: (0.7, 0.5)}), [pair]).parts[0]
    assert few.verdict == UNDECIDED


def test_c7_uses_the_band_over_all_k() -> None:
    evaluations = pairs_evaluated(0.2)
    part = c7(evaluations, PAIRS[:1]).parts[0]
    k = int(part.name.rsplit(" ", 1)[1])
    pointwise = contrast_intervals(evaluations[0], [{PAIRS[0].arm: {k: 1.0}, PAIRS[0].reference: {k: -1.0}}])[0]
    assert part.interval.estimate == pytest.approx(pointwise.estimate)
    assert part.interval.lo < pointwise.lo
    assert part.interval.hi >= pointwise.hi - 1e-6
    assert "over k" in part.interval.method


def config(sample: str = "none", group: str = "none", *, base: str = "grpo", loss: str = "grpo", match: str = "none",
           rate: float = 1e-4) -> dict:  # fmt: skip
    slots = {"sample": {"name": sample}, "group": {"name": group}, "match": {"name": match}, "token": {"name": "none"}}
    return {"advantage": {"base": {"name": base, "ddof": 0}, **slots}, "loss": {"name": loss},
            "train": {"learning_rate": rate}, "seed": 0}  # fmt: skip


def arms_of(**configs: dict) -> Study:
    runs = [Run(Path(f"{arm}-0/seed-0"), {**settings, "arm": arm}) for arm, settings in configs.items()]
    return Study("x", "?", tuple(runs))


def test_pairs_are_told_by_their_configs_not_their_names() -> None:
    both = {"sample": "dynamic", "group": "attenuate"}
    study = arms_of(
        mine=config(**both),
        plain=config(),
        part=config("dynamic"),
        matched=config(**both, match="l1"),
        dapo=config(loss="dapo"),
        dapo_plus=config(**both, loss="dapo"),
        half=config(base="dr_grpo"),  # Dr.GRPO's advantage under GRPO's loss is not Dr.GRPO
        half_plus=config(**both, base="dr_grpo"),
        dr=config(base="dr_grpo", loss="dr_grpo"),
        dr_plus=config(**both, base="dr_grpo", loss="dr_grpo"),
        rloo=config(base="rloo"),
        rloo_plus=config(**both, base="rloo"),
    )
    assert set(a_grae_pairs(study)) == {
        Pair("GRPO", "mine", "plain"),
        Pair("DAPO", "dapo_plus", "dapo"),
        Pair("Dr.GRPO", "dr_plus", "dr"),
    }


def test_pairs_differ_in_a_grae_alone_and_the_plainest_is_taken() -> None:
    both = {"sample": "dynamic", "group": "attenuate"}
    assert a_grae_pairs(arms_of(a_grae=config(**both, rate=2e-4), grpo=config())) == []
    several = {"a_grae": config(**both), "a_grae+alpha=0.5": config(**both), "grpo": config()}
    assert a_grae_pairs(arms_of(**several)) == [Pair("GRPO", "a_grae", "grpo")]
    one, other = (Run(Path(f"a_grae-{i}/seed-0"), {**config(**both), "arm": "a_grae"}) for i in range(2))
    assert a_grae_pairs(Study("x", "?", (one, other, *arms_of(grpo=config()).runs))) == []


@pytest.mark.parametrize(
    ("a_grae", "expected"),
    [
        (series(1.2, 0.8, 0.78, 0.78, 0.78, 0.78, 0.78), SUPPORTED),
        (series(1.2, 0.9, 0.6, 0.3, 0.1), NOT_SUPPORTED),  # no plateau
        (series(1.2, 0.8, 0.78, 0.78, 0.78, 0.78, 0.78, noise=0.25), UNDECIDED),
    ],
)
def test_c8(a_grae: pd.DataFrame, expected: str) -> None:
    check(c8({"grpo": series(1.2, 0.9, 0.6, 0.3, key=9), "a_grae": a_grae}), expected)


def test_the_plateau_of_too_few_steps_has_its_margin_in_words() -> None:
    short = series(1.2, 0.9, 0.6)[:20]
    verdict = c8({"grpo": short, "a_grae": short})
    assert "claimed within ±5 % of the first third's mean" in verdict.text
    assert "nan" not in verdict.text


def test_a_refuted_claim_asks_for_no_seeds_to_decide_what_is_decided() -> None:
    verdict = c8({"grpo": series(1.2, 0.9, 0.6, 0.3, key=9), "a_grae": series(1.2, 0.9, 0.6, 0.3, 0.1)})
    assert verdict.verdict == NOT_SUPPORTED
    assert "to decide" not in verdict.would_change
    assert "excludes the claim" in verdict.would_change


def test_a_part_of_one_run_decides_nothing_beside_one_of_several() -> None:
    one = Part("one run", replace(interval(-0.6, -0.4), num_seeds=1), "pp", NOT_SUPPORTED)
    five = Part("five seeds", replace(interval(-0.2, -0.05), num_seeds=5), "pp", NOT_SUPPORTED)
    verdict = conclude("C0", "?", [one, five], [], [])
    assert (verdict.verdict, verdict.deciding) == (NOT_SUPPORTED, five)
    assert conclude("C0", "?", [one], [], []).deciding == one  # of single runs there is no other
    known, still_open = replace(five, verdict=SUPPORTED), replace(one, verdict=UNDECIDED)
    verdict = conclude("C0", "?", [known, still_open], [], [])
    assert (verdict.verdict, verdict.deciding) == (UNDECIDED, still_open)  # the single run leaves the claim open


def test_several_seeds_speak_of_the_method() -> None:
    plateau = series(1.2, 0.8, 0.78, 0.78, 0.78, 0.78, 0.78, seeds=3, key=1)
    verdict = c8({"grpo": series(1.2, 0.9, 0.6, 0.3, seeds=3), "a_grae": plateau})
    assert verdict.verdict == SUPPORTED
    assert verdict.scope == "the method (its training seeds) (3 seeds, fewer than 5: read with care)"
    assert "one run" not in verdict.would_change


def test_the_basis_names_the_numbers_of_samples_of_all_benchmarks() -> None:
    one, other = (evaluate(problems, grpo=(0.8, 0.3)) for problems in (10, 20))
    strata = (one[0], replace(other[0], num_samples=one[0].num_samples + 4))
    least = one[0].num_samples
    assert basis(strata, replace(interval(0, 1), num_seeds=3)) == f"3 seeds, 30 problems, n = {least} to {least + 4}"


def test_what_one_seed_needs_is_said_in_a_sentence() -> None:
    verdict = c4(collapses(negative_dominant=(0, 1), a_grae_group_only=(0, 1)))
    assert verdict.would_change.startswith("two or more seeds of every arm (better five)")


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
    check(c8({arm: frame.iloc[:, :1] for arm, frame in short.items()}), ONE_SEED)


def test_what_a_benchmark_lacks_is_noted() -> None:
    both = [*evaluate(base=(0.9, 0.05), grpo=(0.6, 0.5)), *evaluate(grpo=(0.6, 0.5))]
    verdict = c1(both)
    assert len(verdict.parts) == 3
    assert "bench: not judged, needs finished evaluations of base" in verdict.notes
    single = evaluate(base=(0.9, 0.05), grpo=(0.6, 0.5))[0]
    one_sample = {arm: counts.clip(max=1) for arm, counts in single.correct.items()}
    verdict = c1([Evaluations("bench", 1, 1.0, 1.0, one_sample, single.seeds)])
    assert verdict.verdict == NO_DATA
    assert verdict.notes == ("bench: not judged, needs more than one sample per problem",)


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
    whole = [(1.0, 0.0, 1.0)]
    paired = window_difference(a, b, whole)
    assert (paired.num_seeds, paired.method) == (2, "t over seeds")
    assert paired.estimate == pytest.approx((a[["0", "1"]] - b).to_numpy().mean())
    other = b.set_axis(["7", "8"], axis=1)
    apart = window_difference(a, other, whole)
    assert (apart.num_seeds, apart.method) == (2, "Welch's t over seeds")
    assert apart.estimate == pytest.approx(a.to_numpy().mean() - b.to_numpy().mean())
    assert window_difference(a.iloc[:, :1], other.iloc[:, :1], whole).num_seeds == 1
    overlapping = b.set_axis([*a.columns[-1:], *other.columns[1:]], axis=1)  # one seed in common allows no pairing
    assert window_difference(a, overlapping, whole) == apart


def test_too_few_steps_leave_the_scope_as_it_is() -> None:
    whole, short = [(1.0, 0.0, 1.0)], series(1.0, 2.0, seeds=3).iloc[:10]
    apart = window_difference(short, short.set_axis(["7", "8", "9"], axis=1), whole)
    for several in (window_interval(short, whole), window_difference(short, short, whole), apart):
        assert (np.isnan(several.lo), several.num_seeds) == (True, 3)
        assert several.scope == "the method (its training seeds)"
    assert window_interval(short.iloc[:, :1], whole).scope == "this run, not the method"


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
    assert list(by_claim) == [f"C{i}" for i in range(1, 9)]
    assert by_claim["C1"].verdict != NO_DATA
    assert by_claim["C8"].text == "no data: needs a finished run of a_grae"
