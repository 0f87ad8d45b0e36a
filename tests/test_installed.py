"""An installation used from a folder of the user's own, also one that has analysis/, conf/ and sweeps/ itself."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from sweeps.engines import job

ROOT = Path(__file__).resolve().parents[1]
SMALL = (
    *("train.num_steps=2", "train.num_prompts=2", "train.num_generations=2", "train.num_minibatches=1"),
    *("train.validate_every=0", "evaluation.num_samples=2", "evaluation.batch_size=64", "hardware.device=cpu"),
    "evaluation.benchmarks.countdown_test.limit=4",
)
ESTIMATOR = '''
from dataclasses import dataclass
from agrae_lab.advantages.statistics import centred


@dataclass(frozen=True)
class MyEstimator:
    """A = r − p."""

    LAWS = frozenset({"zero_on_ties", "zero_sum"})

    def __call__(self, rewards_PG, context):
        return centred(rewards_PG)
'''
EXPERIMENT = """
# @package _global_
experiment: {name: mine, question: "Is mine better?", reference: grpo}
hydra:
  mode: MULTIRUN
  sweeper: {params: {advantage: "grpo,my_file:MyEstimator"}}
"""


@pytest.fixture
def folder(tmp_path):
    """A user's project, whose packages of the same names end each process that imports one."""
    for name in ("analysis", "conf", "sweeps"):
        package = tmp_path / "mine" / name
        package.mkdir(parents=True)
        for file in ("__init__.py", "__main__.py"):
            (package / file).write_text(f"raise SystemExit('the user’s {name}/ was imported')\n")
    (tmp_path / "mine" / "conf" / "config.yaml").write_text("nonsense: true\n")
    (tmp_path / "mine" / "my_file.py").write_text(ESTIMATOR)
    experiments = tmp_path / "mine" / "my_conf" / "experiment"
    experiments.mkdir(parents=True)
    (experiments / "mine.yaml").write_text(EXPERIMENT.lstrip())
    return tmp_path / "mine"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The files of a wheel."""
    work = tmp_path_factory.mktemp("wheel")
    for name in ("agrae_lab", "analysis", "conf", "sweeps"):
        shutil.copytree(ROOT / name, work / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, work / "source")  # a copy, since building leaves its traces beside the sources
    build = ("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir=.", "./source")
    subprocess.run([sys.executable, *build], check=True, cwd=work, stdout=subprocess.DEVNULL)
    (built,) = work.glob("agrae_lab-*.whl")
    zipfile.ZipFile(built).extractall(work / "installed")
    return work / "installed"


def call(*words, packages=ROOT, cwd):
    """Return the output of a command that must succeed; python -m has the working directory first on the path."""
    env = {**os.environ, "PYTHONPATH": str(packages), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    return ended.stdout


def test_the_packages_beside_agrae_lab_are_taken(folder):
    code = "import agrae_lab, analysis, sweeps.planning; print(analysis.__file__, sweeps.planning.__file__)"
    found = call("-c", code, cwd=folder).split()
    assert found == [str(ROOT / "analysis" / "__init__.py"), str(ROOT / "sweeps" / "planning" / "__init__.py")]


def test_agrae_lab_alone_leaves_other_packages_of_these_names(folder, tmp_path):
    (tmp_path / "alone" / "agrae_lab").mkdir(parents=True)
    shutil.copy(ROOT / "agrae_lab" / "__init__.py", tmp_path / "alone" / "agrae_lab")
    (folder / "analysis" / "__init__.py").write_text("MINE = True\n")
    code = "import agrae_lab, analysis; print(analysis.MINE)"
    assert call("-c", code, packages=tmp_path / "alone", cwd=folder) == "True\n"


def test_a_light_command_starts_in_a_folder_with_packages_of_these_names(folder):
    plan = ("-m", "agrae_lab", "sweep", "plan", "mine", "--config-dir", "my_conf", "root=runs")
    assert "my_estimator" in call(*plan, cwd=folder)


def test_a_job_of_a_cluster_starts_in_a_folder_with_packages_of_these_names(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    process = job.start(job.Job(str(folder / "no_run"), "agrae_lab.train", (), 1, 0, None))
    assert job.wait(process) == 1  # `communicate` would close the input, which asks the job to stop
    assert "agrae_lab.runs" in capfd.readouterr().err  # it came as far as looking for the run


@pytest.mark.slow
def test_a_wheel_trains_sweeps_compares_and_draws_there(installed, folder):
    def lab(*words):
        return call("-m", "agrae_lab", *words, packages=installed, cwd=folder)

    assert "grpo seed 0: done" in lab("train", "root=runs/one", *SMALL)
    assert "my_estimator" in lab("sweep", "plan", "mine", "--config-dir", "my_conf", "root=runs/own", *SMALL)
    lab("train", "-m", "--config-dir", "my_conf", "+experiment=mine", "root=runs/own", *SMALL)
    out = lab("compare", "my_file:MyEstimator", "--against", "grpo", "--seeds", "2", "root=runs/own", *SMALL)
    assert "MyEstimator" in out or "my_estimator" in out
    assert "all claims: runs/own/figures/summary.md" in out
    assert "report.html" in lab("analyze", "runs=runs/own")
    assert list(folder.glob("runs/own/figures/my_estimator_vs_grpo-*/report.html"))


@pytest.mark.slow
def test_a_wheel_has_the_plugins_and_all_configs(installed, tmp_path):
    def ask(*words):
        return call("-m", "agrae_lab.train", *words, packages=installed, cwd=tmp_path)

    listed = ask("--info", "plugins")
    assert "AgraeLauncher" in listed
    assert "AgraeSweeper" in listed
    choices = yaml.safe_load(ask("--cfg", "hydra"))["hydra"]["runtime"]["choices"]
    assert (choices["hydra/launcher"], choices["hydra/sweeper"]) == ("agrae", "agrae")
    for name, suffix in (("conf", "*.yaml"), ("sweeps/studies", "*.yaml"), ("analysis/published", "*")):
        here, there = (
            {str(path.relative_to(top)) for path in (top / name).rglob(suffix) if "__pycache__" not in path.parts}
            for top in (ROOT, installed)
        )
        assert here == there
