"""The recipes of docs/architecture.md: one new file adds an estimator, a task, a figure, a table, an experiment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("agrae_lab", "sweeps", "analysis", "conf")
SMALL = (
    *("train.num_steps=1", "train.num_prompts=4", "train.num_generations=2", "train.num_minibatches=1"),
    *("train.validate_every=0", "evaluation.num_samples=2", "evaluation.batch_size=64", "hardware.device=cpu"),
)

ESTIMATOR = '''
"""Twice the centred reward."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred


@link("base", "twice")
@dataclass(frozen=True)
class Twice(Link):
    """A = 2 (r − p)."""

    LAWS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "sign_preserving", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        return 2 * centred(rewards_PG)
'''
TASK = '''
"""Countdown under another name."""

from agrae_lab.tasks.text.countdown import Countdown


class Numbers(Countdown):
    """The same problems."""

    name = "numbers"


TASK = Numbers()
'''
FIGURE = '''
"""Learning rate against step."""

import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.step_series import series_table
from analysis.figures._steps import describe_steps, draw_steps, summarize_steps
from analysis.io.study import Study

NAME = "learning_rate"
QUESTION = "How does the learning rate move?"
PAPER = ""


def table(study: Study) -> pd.DataFrame:
    return series_table(study, "learning_rate").assign(panel="")


def caption(table: pd.DataFrame) -> str:
    return f"Learning rate of the optimizer. {summarize_steps(table)}"


def details(table: pd.DataFrame) -> list[str]:
    return describe_steps(table)


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    draw_steps(table, ax)
    return ax
'''
TABLE = '''
"""Seeds of every arm."""

import pandas as pd

from analysis.io.study import Study
from analysis.presentation.table_layout import Block, Cell, Layout, Row

NAME = "table_seeds"
QUESTION = "How many seeds has each arm?"
PAPER = ""


def table(study: Study) -> pd.DataFrame:
    counts = pd.Series([run.arm for run in study.runs]).value_counts()
    return pd.DataFrame({"arm": counts.index, "seeds": counts.to_numpy()})


def layout(table: pd.DataFrame) -> Layout:
    rows = tuple(Row(str(arm), (Cell(str(seeds)),)) for arm, seeds in zip(table["arm"], table["seeds"], strict=True))
    return Layout("Seeds.", ("", "seeds"), (Block("", rows),))
'''
EXPERIMENT = """
# @package _global_
# python -m agrae_lab.train -m +experiment=my_question
experiment:
  name: my_question
  question: Does my estimator beat GRPO at equal update mass?
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      advantage: grpo,twice
"""
NEW_FILES = {
    "agrae_lab/advantages/base/twice.py": ESTIMATOR,
    "agrae_lab/tasks/text/numbers.py": TASK,
    "analysis/figures/learning_rate.py": FIGURE,
    "analysis/tables/seeds_of_arms.py": TABLE,
    "conf/experiment/my_question.yaml": EXPERIMENT,
}


# `python -m agrae_lab.advantages` with `configs`, alone and with `check`; then the task
FIRST_USE = """
from agrae_lab.advantages.__main__ import main
from agrae_lab.tasks import load_task, task_names

for words in (["configs"], [], ["check", "agrae_lab.advantages.base.twice:Twice"]):
    assert main(words) == 0, words
assert "numbers" in task_names()
print("task", load_task("numbers").name)
"""
# `python -m analysis` for one figure and one table of all that it finds
DRAW = """
from pathlib import Path
from agrae_lab.runs import list_experiments
from analysis import figures, tables
from analysis.io.study import load_study
from analysis.presentation.render import render, render_table

(experiment,) = list_experiments(Path("runs"))
study, folder = load_study(Path("runs"), experiment), Path("runs/figures/my_question")
folder.mkdir(parents=True)
for module in figures.discover():
    if module.NAME == "learning_rate":
        render(module, study, folder)
for module in tables.discover():
    if module.NAME == "table_seeds":
        render_table(module, study, folder)
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the packages with one new file for each recipe; what it says of them, and a call of a module there."""
    copy = tmp_path_factory.mktemp("extended")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in NEW_FILES.items():
        (copy / name).write_text(text.lstrip("\n"))

    def call(*words: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
        ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=env, cwd=copy)
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
        return ended.stdout

    return call("-c", FIRST_USE), call, copy


def test_an_estimator_is_one_file(extended):
    said, _, copy = extended
    assert (copy / "conf" / "advantage" / "twice.yaml").is_file()
    listed, checked = said.partition("agrae_lab.advantages.base.twice:Twice: ")[::2]
    assert any(line.startswith("twice ") for line in listed.splitlines())
    assert "zero_sum" in checked


def test_a_task_is_one_file(extended):
    assert extended[0].endswith("task numbers\n")


def test_an_experiment_a_figure_and_a_table_are_one_file_each(extended):
    _, call, copy = extended
    short = ("advantage=twice", "evaluation.benchmarks.countdown_test.limit=8")
    call("-m", "sweeps", "run", "my_question", "root=runs", *SMALL, *short)
    call("-c", DRAW)
    made = {path.name for path in (copy / "runs" / "figures" / "my_question").iterdir()}
    assert {"learning_rate.svg", "learning_rate.csv", "table_seeds.csv", "table_seeds.md"} <= made


def test_the_page_names_every_recipe():
    page = (ROOT / "docs" / "architecture.md").read_text()
    for folder in ("agrae_lab/advantages/", "agrae_lab/tasks/", "analysis/figures/", "analysis/tables/"):
        assert folder in page
