"""The figure of a grid of settings: each candidate against the reference under the same setting."""

from dataclasses import replace

import pytest
from analysis_lab import BENCHMARK, Root, description

from agrae_lab.runs import Comparison, list_experiments
from analysis.__main__ import evaluate
from analysis.estimates.answers import answers
from analysis.figures import find, settings
from analysis.io.study import by_setting, load_study
from analysis.presentation.render import Rendered, render
from analysis.report.headline import headline, points
from analysis.report.result import Result
from analysis.tables import answer as table_answer


def study_of(root, rates, arms=("grpo", "hard_focused"), seeds=(0, 1, 2)):
    def run(arm, seed, rate):
        train = root.config(arm, seed)["train"] | {"learning_rate": rate}
        return root.run(arm, seed, train=train)

    root.experiment("x", [run(arm, seed, rate) for rate in rates for arm in arms for seed in seeds])
    return load_study(root.path, list_experiments(root.path)[0])


@pytest.fixture
def root(tmp_path):
    return Root(tmp_path / "runs", num_problems=20, num_samples=32)


def test_each_setting_is_a_study_of_its_own(root, tmp_path):
    study = study_of(root, [1e-4, 1e-3])
    table = find("settings").table(study)
    assert list(table["setting"].unique()) == ["learning_rate 0.0001", "learning_rate 0.001"]
    for setting, part in by_setting(study).items():
        (answer,) = answers(part)
        rows = table[table["setting"] == setting]
        assert list(rows["k"]) == [difference.k for difference in answer.differences]
        assert list(rows["lo"]) == [difference.interval.lo for difference in answer.differences]
    assert set(table["seeds"]) == {3}
    assert "2 settings; seeds per arm and setting: 3." in description(settings, table)
    assert render(settings, study, tmp_path).reason == ""
    assert (tmp_path / "settings.svg").is_file()


def test_headline_and_table_answer_under_each_setting(root):
    study = study_of(root, [1e-4, 1e-3])
    found = answers(study)
    assert [(one.arm, one.setting) for one in found] == [
        ("hard_focused", f"learning_rate {rate}") for rate in (0.0001, 0.001)
    ]
    (sentence,) = headline(Result(study, answers=found))
    assert sentence.startswith("Hard-Focused − GRPO under 2 settings: at k = 1 from ")
    for one in found:
        assert f"{points(one.differences[0].interval)} ({one.setting})" in sentence
    assert sentence.endswith("; 3 seeds each, 20 problems.")
    (title, other) = [block.title for block in table_answer.layout(table_answer.table(study)).blocks]
    assert (title, other) == tuple(f"countdown_test, {one.setting} (20 problems, n = 32)" for one in found)
    drawn = Rendered("settings", "", "", "", "")
    assert Result(study, figures=[Rendered("gain", "", "", "", "no data yet"), drawn]).lead_figures == [drawn]


def test_one_shared_setting_is_named_in_the_sentence(root):
    study = study_of(root, [1e-4, 1e-3])
    kept = [run for run in study.runs if run.arm == "grpo" or run.config["train"]["learning_rate"] == 1e-3]
    study = replace(study, runs=tuple(kept))
    (sentence,) = headline(Result(study, answers=answers(study)))
    assert sentence.startswith("Hard-Focused − GRPO under learning_rate 0.001, at k = 1: ")


def test_a_reference_in_several_configurations_of_its_own_is_not_compared(root):
    study = study_of(root, [1e-4])
    other = root.run("grpo", 0, engine="other", train=study.runs[0].config["train"])
    study = replace(study, runs=(*study.runs, other))
    (sentence,) = headline(Result(study, answers=answers(study)))
    assert sentence.startswith("No comparison of Hard-Focused with GRPO, which has several configurations here, ")


def test_one_seed_a_setting_decides_nothing_about_the_method(root):
    study = study_of(root, [1e-4, 1e-3], seeds=(0,))
    (sentence,) = headline(Result(study, answers=answers(study)))
    assert sentence.endswith("; 1 seed each, 20 problems; nothing can be said of the method under 2.")
    assert not any(f"{word} under" in sentence for word in ("better", "worse", "undecided", "apart"))


def test_a_candidate_without_a_shared_setting_is_named_beside_the_others(root):
    study = study_of(root, [1e-4, 1e-3])
    alone = root.run("a_grae", 0, train=study.runs[0].config["train"] | {"learning_rate": 1.0})
    study = replace(study, runs=(*study.runs, alone))
    compared, lacking = headline(Result(study, answers=answers(study)))
    assert compared.startswith("Hard-Focused − GRPO under 2 settings: ")
    assert lacking.startswith("No comparison of A-GRAE with GRPO, ")


def test_an_answer_that_n_does_not_allow_is_not_laid_on_the_settings(root):
    study = study_of(root, [1e-4, 1e-3], seeds=(0,))
    study = replace(study, comparison=Comparison(metrics=("pass@64",)))
    assert headline(evaluate(study)) == [
        f"No answer on {BENCHMARK}: Pass@64 needs 64 samples of each problem, and there are 32."
    ]


def test_arms_that_share_no_setting_are_not_compared(root):
    rate_of = {"grpo": 1e-4, "hard_focused": 1e-3}
    runs = [
        root.run(arm, seed, train=root.config(arm, seed)["train"] | {"learning_rate": rate})
        for arm, rate in rate_of.items()
        for seed in (0, 1)
    ]
    root.experiment("x", runs)
    assert settings.table(load_study(root.path, list_experiments(root.path)[0])).empty


def test_a_single_setting_has_no_such_figure(root):
    assert settings.table(study_of(root, [1e-4])).empty
