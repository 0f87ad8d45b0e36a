"""The warning, before runs start, of compared arms that differ in more than one factor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_lab import Lab

from agrae_lab import runs
from agrae_lab.runs import Comparison
from sweeps.__main__ import main
from sweeps.planning.factors import warning_of_runs, warning_of_settings
from tests.training.conftest import compose_config


def planned(*rows: list[str]) -> list[runs.Run]:
    configs = [compose_config(*row) for row in rows]
    return [runs.Run(runs.run_dir_for(config), config) for config in configs]


def test_arms_that_differ_in_one_factor_are_no_warning() -> None:
    one = [["advantage=a_grae"], ["loss=gspo"], ["advantage=a_grae", "advantage/match=l1"], ["task.reward=random"]]
    one += [["train.overlong_share=0.2", "train.overlong_weight=0.5"]]  # the weight has no effect by itself
    assert warning_of_runs(planned([], *one, ["seed=1"]), None) is None


def test_two_factors_are_named_once_with_their_arms() -> None:
    both = ["advantage=a_grae", "train.learning_rate=2e-3"]
    sentence = warning_of_runs(planned([], both, [*both, "seed=1"], ["advantage=a_grae", "loss=sapo"]), None)
    assert sentence is not None
    assert sentence.startswith(
        "more than one factor tells arms from grpo: a_grae in advantage and train.learning_rate; a_grae+sapo in "
        "advantage and loss. "
    )
    assert sentence.count("a_grae in") == 1


@pytest.mark.parametrize(
    ("row", "factors"),
    [
        (["loss=dapo", "task.reward=inverted"], "loss and task.reward"),
        (["advantage=dr_grpo", "train.temperature=0.9"], "advantage and train.temperature"),
        (
            ["train.num_steps=9", "train.num_minibatches=4", "loss.delta=4"],
            "loss and train.num_steps and train.num_min",
        ),
        (["model.lora={rank: 4, alpha: 8}", "loss.delta=4"], "model and loss"),
    ],
)
def test_every_kind_of_factor(row: list[str], factors: str) -> None:
    sentence = warning_of_runs(planned([], [*row, "arm=other"]), None)
    assert all(factor in str(sentence).partition(". ")[0] for factor in factors.split(" and "))
    assert "other in " in str(sentence)


def test_what_decides_no_weights_is_no_factor() -> None:
    free = ["evaluation.num_samples=64", "train.validate_every=4", "train.checkpoint_every=16", "root=elsewhere"]
    assert warning_of_runs(planned([], ["advantage=a_grae", *free]), None) is None


def test_the_nearest_configuration_of_the_reference_counts() -> None:
    rates = [f"train.learning_rate={rate}" for rate in (1e-3, 2e-3)]
    grid = [[rate, advantage] for rate in rates for advantage in ("advantage=grpo", "advantage=a_grae")]
    assert warning_of_runs(planned(*grid), None) is None


def test_the_comparison_says_what_is_compared() -> None:
    both = ["advantage=a_grae", "loss=dapo"]
    found = planned([], both, ["loss=dapo"])
    assert "a_grae+dapo in" in str(warning_of_runs(found, None))
    assert warning_of_runs(found, Comparison("grpo+dapo", ("a_grae+dapo",))) is None
    assert warning_of_runs(found, Comparison("grpo", ("grpo+dapo",))) is None
    assert warning_of_runs(found, Comparison("base")) is None  # no training


def test_many_arms_are_counted() -> None:
    losses = ["dapo", "gspo", "sapo", "cispo", "vespo"]
    sentence = str(warning_of_runs(planned([], *(["advantage=a_grae", f"loss={loss}"] for loss in losses)), None))
    assert "a_grae+dapo, a_grae+gspo, a_grae+sapo and 2 more in advantage and loss" in sentence


def test_arms_of_a_protocol_are_given_by_their_settings() -> None:
    arms: dict[str, dict[str, Any]] = {"grpo": {"advantage": "grpo"}, "ours": {"advantage": "a_grae"}}
    assert warning_of_settings(arms) is None
    arms["ours"] |= {"advantage/match": "l1"}  # the same factor
    assert warning_of_settings(arms) is None
    arms["ours"] |= {"train.learning_rate": 1e-3}
    assert "ours in advantage and train.learning_rate" in str(warning_of_settings(arms))


STUDY = """\
reference: ok
axes:
  cells: [{arm: ok}, {arm: die_late, train.num_steps: 3, train.step_seconds: 0.001}]
"""


def test_plan_and_launch_say_it_once(lab: Lab, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "two.yaml"
    study.write_text(STUDY)
    config = lab.conf / "config.yaml"
    keys = "question: null, reference: null, candidates: null, metrics: null, smallest_effect: null"
    config.write_text(config.read_text().replace("question: null", keys))
    for command, done in (("plan", False), ("run", False), ("run", True)):
        argv = [command, str(study), f"root={lab.root}"]
        assert main(argv, config_dir=lab.conf, train_module="fake_train", preload=()) == 0
        said = capfd.readouterr().out.count("warning: more than one factor tells arms from ok: die_late in train.")
        assert said == (0 if done else 1)  # a finished study has nothing left to launch
