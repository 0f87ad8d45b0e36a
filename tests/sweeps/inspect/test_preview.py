"""The preview of a launch names what differs between the configurations of one arm."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_lab import Lab

from agrae_lab import runs
from sweeps.__main__ import main

STUDY = """\
question: Does the number of steps matter?
axes: {grid: {train.num_steps: [2, 3]}}
"""


@pytest.mark.parametrize("kind", ["experiment", "study"])
def test_a_plan_tells_the_configurations_of_an_arm_apart(
    lab: Lab, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    words = ["plain", "train.num_steps=2,3"]
    if kind == "study":
        (study := tmp_path / "steps.yaml").write_text(STUDY)
        words = [str(study)]
    argv = ["plan", *words, f"root={lab.root}"]
    assert main(argv, config_dir=lab.conf, train_module="fake_train", preload=()) == 0
    out = capfd.readouterr().out
    assert lab.sweep(*words) == 0
    folders = {run.config["train"]["num_steps"]: run.path.parent.name for run in map(runs.read_run, run_dirs(lab.root))}
    for steps in (2, 3):
        assert f"ok num_steps={steps} ({folders[steps].rpartition('-')[2]})" in out


def run_dirs(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("*/seed-*/config.yaml"))
