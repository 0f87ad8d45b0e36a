"""The Hydra launcher: found by Hydra's plugin scan, and works through a real @hydra.main application."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fake_train import steps
from sweep_lab import Lab, environment

import sweeps

APPLICATION = """\
import sys
sys.path.append({plugins!r})
import hydra

@hydra.main(version_base="1.3", config_path={conf!r}, config_name="config")
def main(cfg):
    raise AssertionError("the launcher executes runs through the train module, not through the task function")

if __name__ == "__main__":
    main()
"""

HYDRA = """
hydra:
  output_subdir: null
  run: {dir: .}
  sweep: {dir: "${root}", subdir: .}
  launcher: {train_module: fake_train, preload: [], slots: 2}
"""


@pytest.fixture
def application(lab: Lab, tmp_path: Path) -> Path:
    config = (lab.conf / "config.yaml").read_text()
    config = config.replace("  - _self_\n", "  - _self_\n  - override hydra/launcher: agrae\n")
    (lab.conf / "config.yaml").write_text(config + HYDRA)
    shipped = Path(sweeps.__file__).parents[1] / "conf" / "hydra" / "launcher" / "agrae.yaml"
    (lab.conf / "hydra" / "launcher").mkdir(parents=True)
    (lab.conf / "hydra" / "launcher" / "agrae.yaml").write_text(shipped.read_text())
    work = tmp_path / "work"
    work.mkdir()
    plugins = str(Path(sweeps.__file__).parent / "plugins")
    (work / "app.py").write_text(APPLICATION.format(plugins=plugins, conf=str(lab.conf)))
    return work


def _multirun(application: Path, lab: Lab, *overrides: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "app.py", "-m", *overrides, f"root={lab.root}"]
    return subprocess.run(
        argv, cwd=application, env=environment(), capture_output=True, text=True, timeout=40, check=False
    )


def test_a_multirun_is_parallel_isolated_and_resumable(application: Path, lab: Lab) -> None:
    lab.add_experiment("two", arm="ok,sigkill")
    words = ("+experiment=two", "seed=0,1")
    told = _multirun(application, lab, *words)
    assert told.returncode == 1, told.stderr
    assert lab.statuses() == {"ok 0": "done", "ok 1": "done", "sigkill 0": "failed", "sigkill 1": "failed"}
    assert "Traceback" not in told.stderr
    again = _multirun(application, lab, *words, "arm=ok")
    assert again.returncode == 0, again.stderr
    assert all(len(steps(run.path)) == 2 for name, run in lab.runs().items() if name.startswith("ok"))
    assert sorted(path.name for path in application.iterdir()) == ["app.py"]  # no outputs/, no multirun/, no logs


def test_a_bad_job_starts_nothing(application: Path, lab: Lab) -> None:
    told = _multirun(application, lab, "train.num_steps=1,0")
    assert told.returncode == 2, told.stderr
    assert "train.num_steps=0" in told.stderr
    assert "takes at least 1 step" in told.stderr
    assert lab.statuses() == {}
