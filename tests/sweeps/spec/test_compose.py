"""Cells composed from what they share are the configs that Hydra composes for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

import agrae_lab.train  # noqa: F401 - registers the advantage groups
from sweeps.errors import PlanError
from sweeps.spec.axes import override
from sweeps.spec.compose import CONFIG_DIR, Composer, compose, config_dir
from sweeps.spec.experiments import expand, experiment_cells, multirun_points

BASE = ["world=nano", "train.num_steps=50", "+extra={a: 1, b: [1, 2]}", "~tracking.name", "advantage=a_grae"]

CELLS: list[dict[str, Any]] = [
    {},
    {"seed": 3},
    {"advantage": "grpo", "train.learning_rate": 2e-4, "seed": 1},
    {"train.learning_rate": 2e-4, "advantage": "negative_dominant", "advantage/match": "l1"},
    {"advantage/group": "scale_positive", "advantage.group.beta": 0.5, "train.num_steps": 7},
    {"advantage.flavor": "official", "loss": "dapo", "loss.clip_low": 0.1},
    {"loss": {"clip_low": 0.3}, "loss.clip_high": 0.4},
    {"extra.b": [3], "extra": {"a": None}},
    {"extra": {"a": 2}, "extra.a": 5},
    {"arm": "${world}_${seed}", "task.train_file": None, "model.path": "it's, [a]\\path"},
    {"evaluation.benchmarks": {"countdown_test": {"limit": 4}}},
    {"train": {"num_steps": 3}, "experiment.question": "a=b, c?"},
]


@pytest.fixture
def conf() -> Iterator[None]:
    with config_dir(CONFIG_DIR):
        yield


@pytest.fixture(scope="module")
def composer() -> Composer:
    """One for all cells: what one of them does must not reach the next."""
    return Composer(BASE)


def test_cells_are_what_hydra_composes(conf: None, composer: Composer) -> None:
    wholes = [hydra.compose("config", [*BASE, *(override(*pair) for pair in cell.items())]) for cell in CELLS]
    for i in (*range(len(CELLS)), *reversed(range(len(CELLS)))):
        ours, whole = composer.compose(CELLS[i]), wholes[i]
        assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(whole), CELLS[i]
        assert ours == whole
        assert OmegaConf.to_container(ours, resolve=True) == OmegaConf.to_container(whole, resolve=True)
        assert OmegaConf.is_struct(ours)


@pytest.mark.parametrize(
    "cell",
    [
        {"train.num_step": 3},
        {"advantge": "grpo"},
        {"evaluation.benchmarks": {"other": {"task": "countdown"}}},
    ],
)
def test_what_hydra_refuses_is_refused_alike(conf: None, composer: Composer, cell: dict[str, Any]) -> None:
    with pytest.raises((ValueError, OmegaConfBaseException)) as whole:
        compose([*BASE, *(override(*pair) for pair in cell.items())])
    with pytest.raises((ValueError, OmegaConfBaseException)) as ours:
        composer.compose(cell)
    assert str(ours.value) == str(whole.value)


def test_a_key_that_only_some_choices_have_is_known_there_alone(conf: None, composer: Composer) -> None:
    assert composer.compose({"advantage": "positive_dominant", "advantage.group.beta": 3}).advantage.group.beta == 3
    with pytest.raises(ValueError, match=r"no key 'advantage\.group\.beta'; did you mean"):
        composer.compose({"advantage": "grpo", "advantage.group.beta": 3})


def test_a_yaml_edited_later_does_not_reach_what_is_composed(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("a: 1\nb: 2\n")
    with config_dir(tmp_path):
        composer = Composer([])
        before = composer.compose({"b": 3})
        config.write_text("a: 9\nb: 2\n")
        assert composer.compose({"b": 4}).a == before.a == 1


@pytest.mark.parametrize(
    ("base", "settings"),
    [
        ([], {"advantage.base": {"_target_": "mine:Mine", "tau": 0.1}}),
        (["advantage.base={_target_: 'mine:Mine', tau: 0.1}"], {}),
        (["advantage.base._target_=mine:Mine"], {"advantage.base.tau": 0.1}),
        (["advantage.base._target_=mine:Mine", "advantage.base.tau=0.1"], {}),
    ],
)
def test_a_link_of_ones_own_with_its_fields_means_the_same_everywhere(base: list[str], settings: dict) -> None:
    with config_dir(CONFIG_DIR):
        link = OmegaConf.to_container(Composer(base).compose(settings))["advantage"]["base"]
    assert (link["_target_"], link["tau"]) == ("mine:Mine", 0.1)
    if "_target_" in str(settings) or "{" in str(base):
        assert set(link) == {"_target_", "tau"}  # nothing of the link before


def test_dictionaries_for_one_key_are_merged_in_a_sweep_as_in_a_single_run() -> None:
    with config_dir(CONFIG_DIR):
        (one, other) = expand(["model.lora={rank: 4}", "model.lora={alpha: 8}", "seed=0,1"])
    assert one == ["model.lora={rank: 4}", "model.lora={alpha: 8}", "seed=0"]
    assert other[-1] == "seed=1"


def test_several_experiments_of_a_multirun_are_the_union_of_their_arms() -> None:
    with config_dir(CONFIG_DIR):
        points = multirun_points([], ["+experiment=group_symmetry,a_grae", "seed=3"])
        alone = [
            point
            for name in ("group_symmetry", "a_grae")
            for point in multirun_points([], [f"+experiment={name}", "seed=3"])
        ]
        names = ("group_symmetry", "a_grae")
        cells = [cell for name in names for cell in experiment_cells([name], ["seed=3"])]
        with pytest.raises(PlanError, match="there is no experiment 'a_gra'"):
            multirun_points([], ["+experiment=group_symmetry,a_gra"])
    assert len(alone) == 2  # without axes, which Hydra hands over
    assert len(points) == len(cells) > len(alone)
    of_a_grae = [point for point in points if "+experiment=a_grae" in point]
    assert 0 < len(of_a_grae) < len(points)
    assert all("seed=3" in point for point in points)
