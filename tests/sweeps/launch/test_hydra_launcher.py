"""Hydra's launcher and sweeper: found by Hydra's plugin scan in every kind of installation, and working."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fake_train import steps
from sweep_lab import Lab, environment

from tests import forked

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "sweeps" / "plugins"

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
    config = config.replace(
        "  - _self_\n", "  - _self_\n  - override hydra/launcher: agrae\n  - override hydra/sweeper: agrae\n"
    )
    (lab.conf / "config.yaml").write_text(config + HYDRA)
    shutil.copytree(ROOT / "conf" / "hydra", lab.conf / "hydra")
    work = tmp_path / "work"
    work.mkdir()
    (work / "app.py").write_text(APPLICATION.format(plugins=str(PLUGINS), conf=str(lab.conf)))
    return work


def _multirun(
    application: Path, lab: Lab, *overrides: str, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`path`: of packages that are to be taken before those of this environment."""
    argv = [sys.executable, "app.py", "-m", *overrides, f"root={lab.root}"]
    env = environment()
    if path is not None:
        env["PYTHONPATH"] += f"{os.pathsep}{path}"
    return subprocess.run(argv, cwd=application, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_multirun_is_parallel_isolated_and_resumable(application: Path, lab: Lab) -> None:
    lab.add_experiment("two", arm="ok,sigkill")
    words = ("+experiment=two", "seed=0,1")
    output = _multirun(application, lab, *words)
    assert output.returncode == 1, output.stderr
    assert lab.statuses() == {"ok 0": "done", "ok 1": "done", "sigkill 0": "failed", "sigkill 1": "failed"}
    assert "Traceback" not in output.stderr
    again = _multirun(application, lab, *words, "arm=ok")  # takes the place of the experiment's axis
    assert again.returncode == 0, again.stderr
    assert all(len(steps(run.path)) == 2 for name, run in lab.runs().items() if name.startswith("ok"))
    assert sorted(path.name for path in application.iterdir()) == ["app.py"]  # no outputs/, no multirun/, no logs


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.num_steps=1,0", "train.num_steps=0 root="),
        pytest.param(
            *("train.num_step=1,2", "no key 'train.num_step'; did you mean 'train.num_steps'?"), marks=pytest.mark.slow
        ),
        ("seed=interval(0,1)", "has no finite list of values"),
    ],
)
def test_a_mistake_is_told_in_one_sentence_and_nothing_is_written(
    application: Path, lab: Lab, override: str, sentence: str
) -> None:
    output = _multirun(application, lab, override)
    assert output.returncode == 2, output.stderr
    fault, end = output.stderr.splitlines()[-2:]
    assert sentence in fault
    assert end == "nothing was started"
    assert "Traceback" not in output.stderr
    assert not lab.root.exists()
    assert sorted(path.name for path in application.iterdir()) == ["app.py"]


INFO = ["-m", "agrae_lab.train", "--info", "plugins"]


def test_an_editable_install_has_the_plugins(tmp_path: Path) -> None:
    output = forked.run(*INFO, cwd=tmp_path)
    assert output.returncode == 0, output.stderr
    _check_plugins(output.stdout)


def _check_plugins(listed: str) -> None:
    assert "AgraeLauncher" in listed
    assert "AgraeSweeper" in listed


@pytest.mark.slow
def test_the_coming_version_of_hydra(application: Path, lab: Lab, tmp_path: Path) -> None:
    """1.4 is not released yet; its release candidate is taken for this test alone."""
    packages = tmp_path / "packages"
    install = ["-m", "pip", "install", "--quiet", "--pre", f"--target={packages}", "hydra-core>=1.4.0rc3,<1.5"]
    output = subprocess.run([sys.executable, *install], capture_output=True, text=True, check=False)
    if output.returncode != 0:
        pytest.skip(f"hydra-core 1.4 cannot be installed here: {output.stderr.strip().splitlines()[-1]}")
    lab.add_experiment("two", arm="ok,sigkill")
    words = ("+experiment=two", "seed=0,1")
    output = _multirun(application, lab, *words, path=packages)
    assert output.returncode == 1, output.stderr
    assert lab.statuses() == {"ok 0": "done", "ok 1": "done", "sigkill 0": "failed", "sigkill 1": "failed"}
    bad = _multirun(application, lab, "train.num_step=1,2", path=packages)
    assert bad.returncode == 2, bad.stderr
    assert "no key 'train.num_step'; did you mean 'train.num_steps'?" in bad.stderr
