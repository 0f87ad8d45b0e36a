"""The headline answers the study's question, and agrees with the figure and the table beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from analysis_lab import BENCHMARK, Root

from agrae_lab.runs import Comparison, Experiment
from analysis.__main__ import evaluate
from analysis.estimates.answers import answers, question_ks
from analysis.figures import gain
from analysis.io.study import Study, load_study
from analysis.presentation.render import Rendered
from analysis.report.headline import headline, points, skipped
from analysis.report.result import Result
from analysis.tables import answer as table_answer
from analysis.tables import comparisons


def study_of(root: Root, seeds: dict[str, int], comparison: Comparison | None = None) -> Study:
    runs = [root.run(arm, seed) for arm, number in seeds.items() for seed in range(number)]
    experiment = Experiment("e", "Which is better?", tuple(run.key for run in runs), {}, comparison)
    experiment.write(root.path)
    return load_study(root.path, Experiment.read(root.path / "experiments" / "e.json"))


def told(study: Study) -> list[str]:
    return headline(Result(study, answers=answers(study)))


@pytest.fixture(scope="module")
def three_seeds(tmp_path_factory: pytest.TempPathFactory) -> Study:
    root = Root(tmp_path_factory.mktemp("three"), num_samples=64)
    return study_of(root, {"grpo": 3, "a_grae": 3, "negative_dominant": 1})


def test_figure_table_and_headline_have_the_same_numbers(three_seeds: Study) -> None:
    drawn = gain.table(three_seeds).set_index(["arm", "k"])
    written = table_answer.table(three_seeds).set_index(["arm", "k"])
    declared = comparisons.table(three_seeds).query("part == 'pairs' and reference == 'grpo'").set_index(["arm", "k"])
    columns = ["estimate", "lo", "hi"]
    found = answers(three_seeds)
    assert [answer.arm for answer in found] == ["negative_dominant", "a_grae"]
    for answer, sentence in zip(found, told(three_seeds), strict=True):
        for one in answer.differences:
            place = (answer.arm, one.k)
            mine = [one.interval.estimate, one.interval.lo, one.interval.hi]
            np.testing.assert_array_equal(written.loc[place, columns].to_numpy(float), mine)
            np.testing.assert_allclose(drawn.loc[place, columns].to_numpy(float), mine, rtol=1e-12)
            if place in declared.index:
                np.testing.assert_allclose(declared.loc[place, columns].to_numpy(float), mine, rtol=1e-12)
            assert f"at k = {one.k}: {points(one.interval)}" in sentence


def test_one_seed_says_nothing_of_the_method(three_seeds: Study) -> None:
    sentence = told(three_seeds)[0]
    assert sentence.startswith("Negative-Dominant − GRPO at k = 1: ")
    assert sentence.endswith("; 1 seed, 40 problems: nothing can be said of the method.")
    assert "more seed" not in sentence  # one seed shows no spread


def test_several_seeds_say_better_worse_or_what_is_needed(three_seeds: Study) -> None:
    (answer,) = [one for one in answers(three_seeds) if one.arm == "a_grae"]
    sentence = told(three_seeds)[1]
    assert "; 3 seeds, 40 problems: " in sentence
    for one in answer.differences:
        assert one.word in ("better", "worse", "alike", "undecided")
        is_decided = one.interval.lo > 0 or one.interval.hi < 0
        assert (one.word in ("better", "worse")) == is_decided
        assert (one.needed is not None) == (one.word == "undecided")
    if any(one.needed for one in answer.differences):
        assert "pp on these problems" in sentence


def test_a_larger_smallest_effect_needs_fewer_seeds(three_seeds: Study) -> None:
    needed = []
    for effect in ("1pp", "4pp"):
        study = replace(three_seeds, comparison=Comparison(candidates=("a_grae",), smallest_effect=effect))
        needed.append([one.needed for answer in answers(study) for one in answer.differences])
    small, large = ([x for x in values if x is not None] for values in needed)
    assert small
    assert not large or max(large) < max(small)


def test_the_study_names_reference_candidates_and_metrics(tmp_path: Path) -> None:
    comparison = Comparison("a_grae", ("negative_dominant",), ("pass@2", "pass@4", "pass@8"))
    study = study_of(Root(tmp_path, num_samples=16), {"grpo": 1, "a_grae": 1, "negative_dominant": 1}, comparison)
    (sentence,) = told(study)
    assert sentence.startswith("Negative-Dominant − A-GRAE at k = 2: ")
    assert all(f"at k = {k}: " in sentence for k in (4, 8))
    assert set(gain.table(study)["panel"]) == {"Negative-Dominant − A-GRAE"}
    family = comparisons.table(study).query("part == 'family'")
    assert set(family["reference"]) == {"a_grae"}


def test_the_base_model_can_be_the_reference(tmp_path: Path) -> None:
    study = study_of(Root(tmp_path, num_samples=16), {"grpo": 1}, Comparison("base"))
    (sentence,) = told(study)
    assert sentence.startswith("GRPO − Base model at k = 1: ")


def test_a_reference_without_runs_is_named(tmp_path: Path) -> None:
    study = study_of(Root(tmp_path, num_samples=16), {"a_grae": 1})
    assert told(study) == ["No comparison with GRPO, which has no run here."]


def test_k_follows_n() -> None:
    assert question_ks(512, Comparison()) == [1, 16, 256]
    assert question_ks(64, Comparison()) == [1, 16]
    assert question_ks(16, Comparison()) == [1, 8]
    assert question_ks(4, Comparison()) == [1, 2]
    assert question_ks(2, Comparison()) == question_ks(1, Comparison()) == [1]
    assert question_ks(64, Comparison(metrics=("pass@3", "pass@128"))) == [3]


def test_a_question_beyond_n_is_named(tmp_path: Path) -> None:
    comparison = Comparison(metrics=("pass@16", "pass@64"))
    study = study_of(Root(tmp_path, num_problems=8, num_samples=8, num_steps=3), {"grpo": 1, "a_grae": 1}, comparison)
    told = headline(evaluate(study))
    assert told == [f"No answer on {BENCHMARK}: Pass@16 needs 16 samples of each problem, and there are 8."]


def test_everything_skipped_is_one_line() -> None:
    rendered = [Rendered("a", "?", reason="no data yet"), Rendered("b", "?"), Rendered("c", "?", reason="no data yet"),
                Rendered("d", "?", reason="too few steps")]  # fmt: skip
    assert skipped(rendered) == "Skipped: a, c (no data yet); d (too few steps)."
    assert skipped(rendered[1:2]) == ""


def test_several_benchmarks_are_named(three_seeds: Study) -> None:
    (first, *_) = answers(three_seeds)
    both = [first, replace(first, benchmark="aime")]
    sentences = headline(Result(three_seeds, answers=both))
    assert f"GRPO on {BENCHMARK}, at k = 1: " in sentences[0]
    assert "GRPO on aime, at k = 1: " in sentences[1]
