"""Studies under a shaped reward: it is named in every caption, closed forms for 0/1 rewards are not held against it;
and table 4 stands in all formats beside the published numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_lab import BENCHMARK, Root, description
from html_lab import Document

from agrae_lab.runs import Run, list_experiments, update_meta
from agrae_lab.tasks import rewards
from analysis import figures, tables
from analysis.__main__ import evaluate
from analysis.figures import find, mass_vs_p
from analysis.io.configurations import group_by_configuration
from analysis.io.study import Study, View, load_study
from analysis.presentation import captions
from analysis.presentation.captions import describe_reward
from analysis.presentation.render import TABLE_ENDINGS, render, render_table
from analysis.presentation.style import label
from analysis.report import html
from analysis.report.html.completions import Sample
from analysis.report.markdown import summary
from analysis.tables import domains, update_mass

MODEL = "Qwen2.5-VL-3B-Instruct"
SETS = {"geo3k": "in", "mathverse": "out", "mathvision": "out"}
CODE = {"task": {"name": "geo3k", "reward": "code"}}
SENTENCE = (
    "Reward in training: 0.9·accuracy + 0.1·format (the authors' code). Pass@k, p, ω and what is called correct are of "
    "accuracy alone."
)


def study_of(root: Root, runs: list[Run], **view) -> Study:
    root.experiment("x", runs)
    return replace(load_study(root.path, list_experiments(root.path)[0]), view=View(**view))


def table4_run(root: Root, arm: str, seed: int = 0, **changes) -> Run:
    """A run that has been evaluated on geometry in and out of domain, as has the base model."""
    benchmarks = {name: {"task": name, "domain": domain} for name, domain in SETS.items()}
    evaluation = {"num_samples": root.num_samples, "benchmarks": benchmarks}
    run = root.run(arm, seed, evaluation=evaluation, **{**CODE, **changes})
    path = run.samples_path(BENCHMARK)
    path.unlink()
    path.parent.rmdir()
    base = {name: f"base/0a1b2c3d/{name}/samples.parquet" for name in SETS}
    update_meta(run.path, base_eval=base)
    for i, name in enumerate(SETS):
        root.samples(arm, seed + 10 * i, run.samples_path(name))
        root.samples("base", i, root.path / base[name])
    return replace(run, meta={**run.meta, "base_eval": base})


@pytest.fixture(scope="module")
def table4(tmp_path_factory: pytest.TempPathFactory) -> Study:
    root = Root(tmp_path_factory.mktemp("table4"), num_problems=30, num_samples=16)
    return study_of(root, [table4_run(root, arm, seed) for arm in ("grpo", "a_grae") for seed in (0, 1)])


def test_the_words_are_the_trainers_numbers() -> None:
    assert captions.REWARDS.keys() == {*rewards.REWARDS, *rewards.CONTROLS}
    for name, weights in rewards.REWARDS.items():
        said = {
            part: float(weight or 1)
            for weight, part in re.findall(r"(?:([\d.]+)·)?(accuracy|format)", captions.REWARDS[name])
        }
        assert said == weights


@pytest.mark.parametrize(("share", "shown"), [(0.125, "12.5%"), (0.004, "0.4%"), (0.2, "20%")])
def test_a_share_is_not_rounded_to_another(tmp_path: Path, share: float, shown: str) -> None:
    root = Root(tmp_path, num_problems=10, num_samples=8, num_steps=3)
    train = root.config("grpo", 0)["train"]
    words = describe_reward([root.run("grpo", 0, train={**train, "overlong_share": share})])
    assert f"penalty of the last {shown} of the tokens" in words


def test_an_overlong_penalty_is_part_of_the_reward(tmp_path: Path) -> None:
    root = Root(tmp_path, num_problems=10, num_samples=8, num_steps=3)
    train = root.config("grpo", 0)["train"]
    changes = {"train": {**train, "overlong_share": 0.2, "overlong_weight": 0.5}}
    run = root.run("grpo", 0, **changes)
    assert describe_reward([run]).startswith(
        "Reward in training: accuracy + 0.5·(soft overlong penalty of the last 20% of the tokens). Pass@k, p, ω"
    )
    study = study_of(root, [run])
    assert set(mass_vs_p.table(study)["kind"]) == {"measured"}  # closed forms are of rewards 0 and 1
    assert update_mass.table(study)["closed_form"].isna().all()


def test_table_4_has_pass_at_1_with_intervals_by_domain_beside_the_published_numbers(
    table4: Study, tmp_path: Path
) -> None:
    seen = replace(table4, view=View(published=MODEL))
    made = render_table(domains, seen, tmp_path)
    assert made.layout is not None
    assert made.layout.spans == (("in domain", 1), ("out of domain", 2))
    assert made.layout.head == ("", "geo3k", "mathverse", "mathvision")
    csv = pd.read_csv(tmp_path / "table_domains.csv")
    ours = csv[csv["source"] == "recorded"].set_index(["arm", "benchmark"])
    assert set(csv["k"]) == {1}
    for run in table4.runs:
        for name in SETS:
            frames = [pd.read_parquet(r.samples_path(name)) for r in table4.arms[run.arm]]
            shares = [frame.loc[frame["decoding"] == "sample", "correct"].mean() for frame in frames]
            row = ours.loc[(run.arm, name)]
            assert row["estimate"] == pytest.approx(np.mean(shares))
            assert row["lo"] < row["estimate"] < row["hi"]
            assert (row["domain"], row["seeds"], row["n"]) == (SETS[name], 2, 16)
    assert ours.loc[("base", "geo3k"), "estimate"] > 0
    theirs = csv[csv["source"] == "published"].set_index(["arm", "benchmark"])["estimate"]
    assert (theirs["grpo", "geo3k"], theirs["a_grae+dr_grpo+dr_grpo", "mathverse"]) == (0.435, 0.384)
    assert len(theirs) == 7 * 3
    rows = [(row.name, [cell.text for cell in row.cells]) for row in made.layout.blocks[0].rows]
    at = [name for name, _ in rows].index("A-GRAE")
    assert rows[at + 1] == ("published", ["45.7", "36.8", "24.0"])
    for ending in TABLE_ENDINGS:
        assert (tmp_path / f"table_domains.{ending}").stat().st_size > 0
    text = (tmp_path / "table_domains.md").read_text()
    for words in (
        "in domain",
        "out of domain",
        SENTENCE,
        "36.8",
        "Qwen2.5-VL-3B-Instruct (Geo3K, MathVerse, MathVision)",
    ):
        assert words in text
    latex = (tmp_path / "table_domains.tex").read_text()
    for words in ("in domain", r"0.9\ensuremath{\cdot}accuracy + 0.1\ensuremath{\cdot}format", "36.8"):
        assert words in latex


def test_the_medical_half_finds_its_published_numbers(new_root: Callable) -> None:
    root = new_root(num_problems=6, num_samples=4)
    sets = {"medical_mri": "in", "medical_ct": "out", "medical_xray": "out"}
    evaluation = {"num_samples": 4, "benchmarks": {name: {"domain": domain} for name, domain in sets.items()}}
    run = root.run("grpo", evaluation=evaluation)
    for name in sets:
        root.samples("grpo", 0, run.samples_path(name))
    table = domains.table(study_of(root, [run], published=MODEL))
    theirs = table[table["source"] == "published"].set_index(["arm", "benchmark"])["estimate"]
    assert [theirs["grpo", name] for name in sets] == [0.872, 0.717, 0.632]
    assert len(theirs) == 7 * 3


def test_the_reward_stands_in_the_details_of_every_figure_and_table(table4: Study, tmp_path: Path) -> None:
    made = [
        render(module, table4, tmp_path, formats=()) for module in (mass_vs_p, find("omega"), find("correct_counts"))
    ]
    made += [render_table(module, table4, tmp_path) for module in tables.discover()]
    shown = [outcome for outcome in made if not outcome.reason]
    assert {outcome.name for outcome in shown} >= {
        "mass_vs_p",
        "omega",
        "correct_counts",
        "table_domains",
        "table_main",
    }
    for outcome in shown:
        assert outcome.details.count(SENTENCE) == 1
        assert SENTENCE in (tmp_path / f"{outcome.name}.md").read_text()
    result = evaluate(table4)
    result.figures, result.tables = shown[:3], shown[3:]
    assert SENTENCE in result.remarks
    assert SENTENCE in summary(result)
    page = Document(html.report_page(result, Sample(), tmp_path))
    assert page.text("figcaption").count(SENTENCE) == 3
    assert page.text("section").count(SENTENCE) == len(shown) + 1


def test_the_reward_is_described_in_one_place_alone() -> None:
    """So that a module that is added cannot forget it."""
    for module in (*figures.discover(), *tables.discover()):
        assert "describe_reward" not in vars(module)


def test_arms_under_different_rewards_are_told_apart(new_root: Callable) -> None:
    root = new_root(num_problems=4, num_samples=4)
    runs = [
        root.run("grpo"),
        root.run("a_grae", task={"name": "geo3k", "reward": "paper"}),
        root.run("a_grae", 1, task={"name": "geo3k", "reward": "paper"}),
        root.run("hard_focused", task={"name": "geo3k", "reward": "accuracy"}),
    ]
    assert describe_reward(runs) == (
        "Reward in training: accuracy in GRPO, Hard-Focused; 0.1·accuracy + 0.9·format (the paper's text) in A-GRAE. "
        "Pass@k, p, ω and what is called correct are of accuracy alone."
    )
    assert describe_reward(runs[1:3]).startswith("Reward in training: 0.1·accuracy + 0.9·format (the paper's text). ")
    assert describe_reward([runs[0], runs[3]]) == ""
    same = [runs[0], root.run("grpo", **CODE)]
    shown = [label(name) for name in group_by_configuration(same)]
    assert shown[0] != shown[1]
    assert f"accuracy in {shown[0]}; 0.9·accuracy + 0.1·format (the authors' code) in {shown[1]}." in describe_reward(
        same
    )


def test_rewards_of_0_and_1_add_nothing_to_a_caption(demo_root, tmp_path: Path) -> None:
    study = load_study(demo_root.path, next(e for e in list_experiments(demo_root.path) if e.name == "a_grae"))
    omega = find("omega")
    drawn = render(omega, study, tmp_path)
    assert f"{drawn.caption} {drawn.details}" == description(omega, omega.table(study))


def test_closed_forms_for_rewards_of_0_and_1_are_not_held_against_shaped_ones(new_root: Callable) -> None:
    root = new_root(num_problems=4, num_samples=4)
    study = study_of(root, [root.run("grpo"), root.run("a_grae", **CODE)])
    measured = update_mass.table(study).set_index(["arm", "quantity"])
    assert measured["estimate"].notna().all()
    assert measured["closed_form"].isna().to_dict() == {
        ("grpo", "ΣA"): False, ("grpo", "Σ|A|"): False, ("a_grae", "ΣA"): True, ("a_grae", "Σ|A|"): True
    }  # fmt: skip
    assert measured.loc[("a_grae", "ΣA"), "formula"] == ""
    assert "–: no closed form is known (A-GRAE)." in update_mass.layout(update_mass.table(study)).notes
    drawn = mass_vs_p.table(study)
    assert set(drawn.loc[drawn["kind"] == "theory", "arm"]) == {"grpo"}
    assert "No closed form: A-GRAE." in description(mass_vs_p, drawn)
