"""The grid is Hydra's own, with an experiment's axes as its ground."""

from __future__ import annotations

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from sweep_lab import Lab

from sweeps.spec.compose import config_dir
from sweeps.spec.experiments import expand, experiment_cells


@pytest.mark.parametrize(
    "overrides",
    [
        ["a=1,2", "b=x,y,z"],
        ["a=range(0,3)", "b=7"],
        ["a=range(1,2,step=0.25)", "+c.d=choice(1,2)"],
        ["experiment=glob(*)", "a='x,y',z"],
        ["a=sort(3,1,2)"],
        ["a=[1,2],[3]", "b={x:1},{x:2}"],
        ["a=1,2", "a=3"],
    ],
)
def test_expansion_equals_hydras(lab: Lab, overrides: list[str]) -> None:
    lab.add_experiment("other")
    with config_dir(lab.conf):
        parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(overrides)
        (hydras,) = BasicSweeper.split_arguments(parsed, max_batch_size=None)
        assert expand(overrides) == hydras


def test_a_deletion_is_no_axis(lab: Lab) -> None:
    with config_dir(lab.conf):
        assert expand(["~seed", "a=1,2"]) == [["~seed", "a=1"], ["~seed", "a=2"]]


def test_the_command_line_takes_the_place_of_an_experiments_axis(lab: Lab) -> None:
    lab.add_experiment("two_axes", arm="ok,raise", **{"train.num_steps": "range(1,3)"})
    with config_dir(lab.conf):
        cells = experiment_cells(["two_axes", "plain"], ["train.num_steps=5,6", "seed=1"])
        labels = [cell.label for cell in cells]
        configs = [cell.compose() for cell in cells]
    assert labels == [
        "two_axes arm=ok train.num_steps=5",
        "two_axes arm=ok train.num_steps=6",
        "two_axes arm=raise train.num_steps=5",
        "two_axes arm=raise train.num_steps=6",
        "plain train.num_steps=5",
        "plain train.num_steps=6",
    ]
    assert [(c.arm, c.train.num_steps, c.experiment.name) for c in configs[3:5]] == [
        ("raise", 6, "two_axes"),
        ("ok", 5, "plain"),
    ]
