"""Tables of the other statistics, from run directories: their numbers by a second route, and what they say without."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_lab import BENCHMARK, Root
from latex_lab import set_in_latex
from scipy import stats as scipy_stats

from agrae_lab.runs import Run
from analysis.estimates.aggregates import ITSELF, TOO_FEW
from analysis.estimates.evaluated import half_k
from analysis.estimates.pairwise import compare
from analysis.estimates.passk_curves import collect, curve_table
from analysis.io.study import Study
from analysis.presentation.render import render_table
from analysis.presentation.table_layout import Layout
from analysis.statistics.evaluations import Evaluations
from analysis.statistics.intervals import t_interval
from analysis.tables import aggregates, comparisons, discover, metrics
from analysis.tables._evaluated import p_cell

MODULES = (metrics, comparisons, aggregates)
OTHER = "other_test"
ARMS = ("grpo", "positive_dominant", "a_grae")


def study_of(*runs: Run) -> Study:
    return Study("x", "?", runs)


def both(num_samples: int) -> dict:
    """A config of runs that are evaluated on two benchmarks."""
    return {"evaluation": {"num_samples": num_samples, "benchmarks": {BENCHMARK: {}, OTHER: {}}}}


@pytest.fixture(scope="module")
def one_seed(tmp_path_factory: pytest.TempPathFactory) -> Study:
    root = Root(tmp_path_factory.mktemp("one"), num_problems=30, num_samples=10)
    return study_of(*(root.run(arm) for arm in ARMS))


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two benchmarks; three seeds of GRPO, four of A-GRAE, one of Positive-Dominant."""
    root = Root(tmp_path_factory.mktemp("seeds"), num_problems=30, num_samples=10)
    wanted = [("grpo", 3), ("a_grae", 4), ("positive_dominant", 1)]
    runs = [root.run(arm, seed, **both(10)) for arm, num_seeds in wanted for seed in range(num_seeds)]
    for run in runs:
        root.samples(run.arm, run.seed + 10, run.samples_path(OTHER))
    return study_of(*runs)


def counts(study: Study, benchmark: str = BENCHMARK) -> Evaluations:
    found = collect(study, benchmark)
    assert found is not None
    return found


def shown(layout: Layout, block: int = 0) -> dict[str, tuple]:
    return {row.name: row.cells for row in layout.blocks[block].rows}


def share_of_draws(n: int, c: int, k: int, least: int) -> float:
    """Of all subsets of k of n samples, the share with at least so many of the c correct ones."""
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    return sum(sum(subset) >= least for subset in subsets) / len(subsets)


def test_the_modules_are_found_and_are_none_of_the_papers() -> None:
    assert set(MODULES) <= set(discover())
    assert all(module.PAPER == "" and module.QUESTION.endswith("?") for module in MODULES)


def test_k_is_at_most_half_of_n() -> None:
    assert [half_k(n) for n in (1, 2, 3, 4, 10, 64, 512, 2000)] == [1, 1, 1, 2, 4, 32, 256, 256]
    assert [half_k(n, 16) for n in (8, 31, 32, 512)] == [4, 8, 16, 16]


def test_metrics_are_those_of_all_draws(one_seed: Study) -> None:
    """n = 10, so k = 4: subsets of 4 samples are enumerated; the area is the trapezoids over k = 1, 2, 4."""
    table = metrics.table(one_seed).set_index(["arm", "metric"])
    assert set(table["k"]) == {4}
    for arm, correct_SP in counts(one_seed).correct.items():
        at_least = {i: np.mean([share_of_draws(10, c, 4, i) for c in correct_SP[0]]) for i in (2, 3, 4)}
        passk = [np.mean([share_of_draws(10, c, k, 1) for c in correct_SP[0]]) for k in (1, 2, 4)]
        expected = {
            "area": (passk[0] / 2 + passk[1] + passk[2] / 2) / 2,
            "pass^k": at_least[4],
            "G-Pass@k, τ = 0.5": at_least[2],
            "mG-Pass@k": 2 / 4 * (at_least[3] + at_least[4]),
        }
        assert list(expected) == list(metrics.METRICS)
        for metric, value in expected.items():
            row = table.loc[(arm, metric)]
            assert row["estimate"] == pytest.approx(value, abs=1e-12)
            assert row["lo"] < row["estimate"] < row["hi"]
            who = "the base model" if arm == "base" else "these checkpoints"
            assert row["scope"] == f"{who} on problems like these"


def test_metrics_over_seeds_are_students(seeds: Study) -> None:
    table = metrics.table(seeds).set_index(["benchmark", "arm", "metric"])
    correct_SP = counts(seeds, OTHER).correct["a_grae"]
    per_seed = np.vectorize(lambda c: share_of_draws(10, int(c), 4, 4))(correct_SP).mean(axis=1)
    row = table.loc[(OTHER, "a_grae", "pass^k")]
    estimate, lo, hi = t_interval(per_seed)
    assert row["estimate"] == pytest.approx(estimate)
    assert max(row["lo"], 1e-9) < max(lo, 2e-9) < hi < row["hi"]  # over problems too
    assert (row["seeds"], row["method"]) == (4, "t over seeds and over problems")


def test_metrics_as_readers_see_them(one_seed: Study) -> None:
    table = metrics.table(one_seed)
    layout = metrics.layout(table)
    assert layout.head == ("", "area", "pass^k", "G-Pass@k, τ = 0.5", "mG-Pass@k")
    assert [block.title for block in layout.blocks] == [
        f"{BENCHMARK} (30 problems, n = 10; area from k = 1 to 4, the others at k = 4)"
    ]
    cells = shown(layout)
    assert list(cells) == ["Base model", "GRPO", "Positive-Dominant", "A-GRAE"]
    row = table.set_index(["arm", "metric"]).loc[("grpo", "mG-Pass@k")]
    assert (cells["GRPO"][3].text, cells["GRPO"][3].interval) == (
        f"{100 * row['estimate']:.1f}",
        f"[{100 * row['lo']:.1f}, {100 * row['hi']:.1f}]",
    )
    for source in ("2406.12045", "2412.13147"):
        assert any(source in note for note in layout.notes)


def test_metrics_need_four_samples(new_root: Callable[..., Root]) -> None:
    root = new_root(num_problems=6, num_samples=3)
    few = root.run("grpo", **both(3))
    assert metrics.table(study_of(few)).empty
    root.num_samples = 8
    root.samples("grpo", 0, few.samples_path(OTHER))
    table = metrics.table(study_of(few))
    assert set(table.loc[table["benchmark"] == BENCHMARK, "note"]) == {"n < 4"}
    layout = metrics.layout(table)
    assert {cell.text for cell in shown(layout)["GRPO"]} == {"–"}
    assert layout.notes[-1] == f"–, n < 4: no k above 1 is at most n/2 ({BENCHMARK})."


def holm_by_hand(p_values: list[float]) -> list[float]:
    """Holm's definition: of the i-th smallest of m, the largest (m − j + 1) p_j for j ≤ i, at most 1."""
    order = sorted(p_values)
    steps = [(len(order) - j) * p for j, p in enumerate(order)]
    return [min(1.0, max(steps[: order.index(p) + 1])) for p in p_values]


def bh_by_hand(p_values: list[float]) -> list[float]:
    """Benjamini and Hochberg's: the smallest m/j · p_j for all p_j that are as large."""
    order = sorted(p_values)
    return [min(len(order) / (j + 1) * q for j, q in enumerate(order) if q >= p) for p in p_values]


def test_the_family_is_every_arm_against_grpo_corrected_as_one(one_seed: Study) -> None:
    """n = 10: k = 1 and 4. Differences and p of checkpoints are those of SciPy's paired t over problems."""
    table = comparisons.table(one_seed)
    family = table[table["part"] == "family"]
    assert family[["arm", "reference", "k"]].to_numpy().tolist() == [
        ["positive_dominant", "grpo", 1],
        ["positive_dominant", "grpo", 4],
        ["a_grae", "grpo", 1],
        ["a_grae", "grpo", 4],
    ]
    assert set(family["family_scope"]) == {"checkpoints"}
    assert set(family["family"]) == {"Holm over 2 arms × 2 k against grpo, scope checkpoints"}
    correct = {arm: correct_SP[0] for arm, correct_SP in counts(one_seed).correct.items()}
    for row in family.itertuples():
        ours, theirs = ([share_of_draws(10, c, row.k, 1) for c in correct[arm]] for arm in (row.arm, row.reference))
        assert row.estimate == pytest.approx(np.mean(ours) - np.mean(theirs))
        statistic = scipy_stats.ttest_rel(ours, theirs).statistic
        assert scipy_stats.norm.sf(abs(statistic)) * 2 <= row.p_value <= scipy_stats.t.sf(abs(statistic), 1) * 2
        assert row.p_value == compare(counts(one_seed), row.arm, row.reference, row.k).p_value
    assert family["p_holm"].tolist() == pytest.approx(holm_by_hand(family["p_value"].tolist()))
    assert (family["p_holm"] >= family["p_value"]).all()
    assert family["p_bh"].isna().all()


def test_all_pairs_at_these_k_are_explored(one_seed: Study) -> None:
    table = comparisons.table(one_seed)
    pairs = table[table["part"] == "pairs"]
    readers = ("base", *ARMS)
    expected = {(arm, reference, k) for reference, arm in combinations(readers, 2) for k in (1, 4)}
    assert set(zip(pairs["arm"], pairs["reference"], pairs["k"], strict=True)) == expected
    assert len(pairs) == len(expected) == 12
    assert pairs["p_bh"].tolist() == pytest.approx(bh_by_hand(pairs["p_value"].tolist()))
    assert pairs["p_holm"].isna().all()
    own = [table[table["part"] == part].set_index(["arm", "reference", "k"]) for part in ("family", "pairs")]
    columns = ["estimate", "lo", "hi", "p_value"]  # one draw of problems serves both
    pd.testing.assert_frame_equal(own[0][columns], own[1].loc[own[0].index, columns])


def test_the_claim_is_of_methods_where_all_have_seeds(seeds: Study) -> None:
    table = comparisons.table(seeds)
    assert set(table.loc[table["part"] == "family", "family_scope"]) == {"checkpoints"}  # Positive-Dominant has one
    several = study_of(*(run for run in seeds.runs if run.arm != "positive_dominant"))
    table = comparisons.table(several)
    family = table[(table["part"] == "family") & (table["benchmark"] == BENCHMARK)].set_index("k")
    assert set(family["family_scope"]) == {"method"}
    correct = counts(several).correct
    expected = correct["a_grae"][:3].mean() / 10 - correct["grpo"].mean() / 10  # four seeds and three: three pairs
    assert family.loc[1, "estimate"] == pytest.approx(expected)
    assert (family.loc[1, "seeds"], family.loc[1, "reference_seeds"]) == (4, 3)
    assert set(family["caution"]) == {"3 seeds, fewer than 5: read with care"}
    title = comparisons.layout(table).blocks[0].title
    assert title == (f"{BENCHMARK}, declared family (largest k = 4; scope: method; Holm over 1 arm × 2 k against GRPO)")


def test_comparisons_as_readers_see_them(one_seed: Study) -> None:
    table = comparisons.table(one_seed)
    layout = comparisons.layout(table)
    assert layout.spans == (("k = 1", 3), ("largest k ≤ n/2", 3))
    assert [block.title for block in layout.blocks] == [
        f"{BENCHMARK}, declared family (largest k = 4; scope: checkpoints; Holm over 2 arms × 2 k against GRPO)",
        f"{BENCHMARK}, exploration: all pairs (Benjamini–Hochberg over 12 comparisons)",
    ]
    assert list(shown(layout)) == ["Positive-Dominant − GRPO", "A-GRAE − GRPO"]
    row = table[(table["part"] == "family") & (table["arm"] == "a_grae") & (table["k"] == 4)].iloc[0]
    texts = [cell.text for cell in shown(layout)["A-GRAE − GRPO"][3:]]
    difference = f"{100 * row['estimate']:.1f}".replace("-", "−")
    assert texts == [difference, p_cell(row["p_value"]).text, p_cell(row["p_holm"]).text]
    assert "Seeds: 1 each" in layout.notes[0]
    assert any(note.startswith("Exploration: all pairs") for note in layout.notes)
    assert [p_cell(p).text for p in (0.0314, 0.001, 0.00004, float("nan"))] == ["0.031", "0.001", "4e−05", "–"]


def test_without_grpo_the_base_model_is_the_reference(new_root: Callable[..., Root]) -> None:
    root = new_root(num_problems=12, num_samples=2)
    table = comparisons.table(study_of(root.run("a_grae"), root.run("hard_focused")))
    family = table[table["part"] == "family"]
    assert family[["arm", "reference", "k"]].to_numpy().tolist() == [["hard_focused", "base", 1], ["a_grae", "base", 1]]
    layout = comparisons.layout(table)
    assert layout.spans == (("k = 1", 3),)
    assert layout.blocks[0].title == (
        f"{BENCHMARK}, declared family (scope: checkpoints; Holm over 2 arms × 1 k against Base model)"
    )


def test_grpo_alone_has_no_family(new_root: Callable[..., Root]) -> None:
    root = new_root(num_problems=12, num_samples=8)
    run = root.run("grpo")
    table = comparisons.table(study_of(run))
    assert set(table["part"]) == {"pairs"}
    assert (
        f"No declared family, since there are no two arms to compare: {BENCHMARK}." in comparisons.layout(table).notes
    )
    shutil.rmtree(root.path / "base")
    assert comparisons.table(study_of(run)).empty


def test_a_benchmark_without_a_second_k_says_so(new_root: Callable[..., Root]) -> None:
    root = new_root(num_problems=12, num_samples=2)
    runs = [root.run(arm, **both(2)) for arm in ("grpo", "a_grae")]
    root.num_samples = 8
    for run in runs:
        root.samples(run.arm, 0, run.samples_path(OTHER))
    layout = comparisons.layout(comparisons.table(study_of(*runs)))
    assert [cell.text for cell in shown(layout)["A-GRAE − GRPO"][3:]] == ["–", "–", "–"]
    assert f"–, n < 4: no k above 1 is at most n/2 ({BENCHMARK})." in layout.notes


def scores(study: Study, arm: str, k: int) -> np.ndarray:
    """[S, M]: from the main curves' rows of single seeds."""
    columns = []
    for benchmark in (BENCHMARK, OTHER):
        rows = curve_table(counts(study, benchmark))
        own = rows[(rows["arm"] == arm) & (rows["k"] == k) & (rows["method"] == "")]
        columns.append(own.sort_values("seed")["estimate"].to_numpy())
    return np.array(columns).T


def test_aggregates_are_of_whole_seeds(seeds: Study) -> None:
    table = aggregates.table(seeds).set_index(["arm", "quantity", "k"]).sort_index()
    for k in (1, 4):
        ours, theirs = scores(seeds, "a_grae", k), scores(seeds, "grpo", k)
        assert ours.shape == (4, 2)
        row = table.loc[("a_grae", "interquartile mean", k)]
        assert row["estimate"] == pytest.approx(np.sort(ours.ravel())[2:-2].mean())  # of 8 cells the middle 4
        assert row["lo"] < row["estimate"] < row["hi"]
        wins = [(a > b) + (a == b) / 2 for m in (0, 1) for a in ours[:, m] for b in theirs[:, m]]
        row = table.loc[("a_grae", "probability of improvement", k)]
        assert row["estimate"] == pytest.approx(np.mean(wins))
        assert (row["reference"], row["caution"]) == ("grpo", "3 seeds, fewer than 5: read with care")
    assert table.loc[("positive_dominant", "interquartile mean", 1), "note"] == TOO_FEW
    assert table.loc[("grpo", "probability of improvement", 1), "note"] == ITSELF
    assert set(table.loc["a_grae", "seeds"]) == {4}
    assert "base" not in table.index.get_level_values("arm")


def test_aggregates_as_readers_see_them(seeds: Study) -> None:
    table = aggregates.table(seeds)
    layout = aggregates.layout(table)
    assert layout.spans == (("Pass@1", 2), ("Pass@4", 2))
    assert layout.head == ("", "interquartile mean", "above GRPO", "interquartile mean", "above GRPO")
    assert layout.blocks[0].title == f"over {BENCHMARK} (n = 10), {OTHER} (n = 10)"
    cells = shown(layout)
    assert list(cells) == ["GRPO", "Positive-Dominant", "A-GRAE"]
    assert [cell.text for cell in cells["Positive-Dominant"]] == ["–"] * 4
    assert (cells["GRPO"][1].text, cells["GRPO"][0].interval != "") == ("–", True)
    assert "Seeds evaluated on all benchmarks: GRPO 3, Positive-Dominant 1, A-GRAE 4." in layout.caption
    for note in (
        "Fewer than 5 seeds: read intervals with care.",
        "–, fewer than two seeds on all benchmarks: Positive-Dominant.",
    ):
        assert note in layout.notes


def test_aggregates_mark_an_arm_without_a_finished_run(new_root: Callable[..., Root]) -> None:
    root = new_root(num_problems=20, num_samples=4)
    runs = [root.run("grpo", seed) for seed in (0, 1)]
    for seed in (0, 1):
        cut_off = root.run("a_grae", seed, status="interrupted")
        root.samples("a_grae", seed, cut_off.samples_path(BENCHMARK))
        runs.append(cut_off)
    table = aggregates.table(study_of(*runs))
    assert dict(zip(table["arm"], table["unfinished"], strict=True)) == {"grpo": False, "a_grae": True}
    assert list(shown(aggregates.layout(table))) == ["GRPO", "A-GRAE (unfinished)"]


def test_five_seeds_need_no_caution_and_no_grpo_is_no_comparison(new_root: Callable[..., Root]) -> None:
    root = new_root(num_problems=20, num_samples=2)
    runs = [root.run("a_grae", seed) for seed in range(5)]
    table = aggregates.table(study_of(*runs, root.run("grpo")))
    assert set(table["caution"]) == {""}
    assert set(table["k"]) == {1}
    above = table[table["quantity"] == "probability of improvement"].set_index("arm")
    assert above.loc["a_grae", "note"] == "GRPO has fewer than two seeds on all benchmarks"
    assert np.isnan(above.loc["a_grae", "estimate"])
    notes = aggregates.layout(table).notes
    assert "–: no comparison, GRPO has fewer than two seeds on all benchmarks." in notes
    assert not any("read intervals with care" in note for note in notes)


def test_seeds_that_lack_a_benchmark_are_said_to(new_root: Callable[..., Root]) -> None:
    root = new_root(num_problems=12, num_samples=4)
    runs = [root.run("grpo", seed, **both(4)) for seed in (0, 1)]
    root.samples("grpo", 0, runs[0].samples_path(OTHER))
    table = aggregates.table(study_of(*runs))
    assert set(table["note"]) == {TOO_FEW}
    assert {cell.text for cell in shown(aggregates.layout(table))["GRPO"]} == {"–"}


def test_nothing_where_there_is_nothing(one_seed: Study, new_root: Callable[..., Root], tmp_path: Path) -> None:
    root = new_root(num_problems=5, num_samples=4)
    waiting = study_of(root.run("grpo", status="running"))
    for module in MODULES:
        assert render_table(module, waiting, tmp_path / "none").reason == "no data yet"
    assert render_table(aggregates, one_seed, tmp_path / "none").reason == "no data yet"
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_they_fit_the_page(seeds: Study, tmp_path: Path) -> None:
    texts = []
    for module in MODULES:
        render_table(module, seeds, tmp_path)
        texts.append((tmp_path / f"{module.NAME}.tex").read_text(encoding="utf-8"))
    assert "U+" not in "".join(texts)
    assert "Overfull" not in set_in_latex(tmp_path, *texts)
