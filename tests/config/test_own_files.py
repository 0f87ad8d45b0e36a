"""Estimators and tasks in files of the user, methods, and the match link that changes nothing."""

from __future__ import annotations

import json
import statistics
import sys

import pytest

from agrae_lab import advantages, runs
from agrae_lab.advantages.external import load_class
from agrae_lab.config import ConfigError, freeze
from sweeps.__main__ import main as sweeps
from sweeps.spec.compose import CONFIG_DIR, compose, config_dir
from sweeps.spec.experiments import experiment_cells
from tests import forked

SMALL = [
    *("train.num_steps=1", "train.num_prompts=4", "train.num_generations=4", "train.validate_every=0"),
    *("evaluation.num_samples=4", "evaluation.batch_size=64", "hardware.device=cpu"),
]
ESTIMATOR = '''
from dataclasses import dataclass


@dataclass(frozen=True)
class MyEstimator:
    """A = r − mean(r)   (mine)."""

    tau: float = 0.5

    def __call__(self, rewards_PG, context):
        return self.tau * (rewards_PG - rewards_PG.mean(dim=1, keepdim=True))


@dataclass(frozen=True)
class MySample(MyEstimator):
    """A = τ A   (mine)."""

    SLOT = "sample"

    def __call__(self, advantages, rewards_PG, context):
        return self.tau * advantages


@dataclass(frozen=True)
class GRPO(MyEstimator):
    """A = r   (mine)."""
'''
BOUNDED = '''
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from agrae_lab.advantages.estimator import Link
from agrae_lab.advantages.settings import above


@dataclass(frozen=True)
class Bounded(Link):
    """A = τ r   (mine)."""

    tau: Annotated[float, above({})] = 5.0

    def __call__(self, rewards_PG, context):
        return self.tau * rewards_PG
'''
TASK = '''
from agrae_lab.tasks import Verdict
from agrae_lab.tasks.base import Task


class Digits(Task):
    """Repeat a digit."""

    name = "digits"
    columns = ("digit",)
    components = ()

    def problems(self, split):
        return [{"digit": str(i)} for i in range(10 if split == "train" else 5)]

    def prompt(self, problem):
        return f"{problem['digit']}="

    def verify(self, completion, problem):
        correct = completion[:1] == problem["digit"]
        return Verdict(correct, float(correct))


TASK = Digits()


class Clash(Digits):
    name = "countdown"

    def problems(self, split):
        return []


CLASH = Clash()


class Silent(Task):
    name, columns, components = "silent", ("digit",), ()
    prompt, verify = Digits.prompt, Digits.verify


SILENT = Silent()
NO_TASK = "text"
'''
OWN_TASK = (
    *("task._target_=my_task:TASK", "evaluation.benchmarks.countdown_test=null", "train.validate_on=null"),
    "+evaluation.benchmarks.digits_test={task: digits}",
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(ESTIMATOR)
    (tmp_path / "my_task.py").write_text(TASK)


def frozen(*words):
    with config_dir(CONFIG_DIR):
        return freeze(compose([*SMALL, *words]))


@pytest.mark.parametrize(
    ("words", "arm"),
    [
        (["advantage=mine.py:MyEstimator"], "my_estimator"),
        (["advantage=mine.py:MyEstimator", "advantage.base.tau=2"], "my_estimator+tau=2.0"),
        (["advantage=mine.py:MyEstimator", "advantage/match=l1", "loss=dapo"], "my_estimator+l1+dapo"),
        (["advantage=mine.py:MySample"], "my_sample"),
        (["advantage=mine.py:GRPO"], "grpo+own"),
        (["advantage=grpo", "advantage/match=l1"], "grpo"),
        (["advantage=grpo", "advantage/match=l2", "advantage.flavor=official"], "grpo+official"),
        (["advantage=grpo", "advantage/match=l1", "advantage.base.ddof=1"], "grpo+l1+ddof=1"),
        (["advantage=dr_grpo", "advantage/match=l1"], "dr_grpo+l1"),
        (["method=dapo"], "grpo+dapo"),
        (["+method=dapo"], "grpo+dapo"),
        (["method=vision/a_grae"], "a_grae"),
    ],
)
def test_an_arm_is_named_after_what_it_is(words, arm):
    assert sorted(frozen(*words)["arm"].split("+")) == sorted(arm.split("+"))


def test_grpo_at_equal_mass_is_the_run_of_plain_grpo():
    assert runs.training_hash(frozen("advantage/match=l1")) == runs.training_hash(frozen())
    assert runs.training_hash(frozen("advantage=a_grae", "advantage/match=l1")) != runs.training_hash(
        frozen("advantage=a_grae")
    )
    estimator = advantages.make("dr_grpo", match="l1")
    assert advantages.without_idle_match(estimator) is estimator


def test_an_experiment_has_an_own_estimator_beside_grpo(tmp_path, capsys):
    conf = tmp_path / "conf"
    (conf / "experiment" / "deeper").mkdir(parents=True)
    text = """\
# @package _global_
experiment: {name: mine, question: 'Is mine better?', reference: grpo}
hydra: {mode: MULTIRUN, sweeper: {params: {advantage: "grpo,mine.py:MyEstimator", advantage/match: l1}}}
"""
    (conf / "experiment" / "mine.yaml").write_text(text)
    (conf / "experiment" / "deeper" / "mine.yaml").write_text(text)
    with config_dir(CONFIG_DIR, conf):
        for name in ("mine", "deeper/mine"):
            cells = experiment_cells([name], SMALL)
            assert [freeze(cell.compose())["arm"] for cell in cells] == ["grpo", "my_estimator+l1"]
    words = ["plan", "mine", "root=runs", *SMALL]
    assert sweeps(words) == 2
    assert "--config-dir" not in capsys.readouterr().out
    assert sweeps([*words, "--config-dir", "conf"]) == 0
    assert "my_estimator+l1" in capsys.readouterr().out
    assert sweeps([*words, "--config-dir", "cnf"]) == 2
    assert "--config-dir cnf: there is no such directory" in capsys.readouterr().err


def test_an_own_estimator_on_the_command_line_of_train(tmp_path):
    words = ["-m", "agrae_lab.train", *SMALL, "root=runs", "evaluation.benchmarks.countdown_test.limit=8"]
    ended = forked.run(*words, "advantage=mine:MyEstimator", "--json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    run = runs.read_run(tmp_path / json.loads(ended.stdout.splitlines()[-1])["run"])
    assert (run.arm, run.status) == ("my_estimator", "done")
    refused = forked.run(*words, "advantage=mine:YourEstimator", cwd=tmp_path)
    assert refused.returncode != 0
    assert "mine has no class YourEstimator; did you mean MyEstimator?" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_own_task_is_trained_and_evaluated(tmp_path):
    words = ["-m", "agrae_lab.train", *SMALL, *OWN_TASK, "root=runs", "--json"]
    ended = forked.run(*words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    run = runs.read_run(tmp_path / json.loads(ended.stdout.splitlines()[-1])["run"])
    assert run.config["task"] == {"name": "digits", "train_file": None, "_target_": "my_task:TASK"}
    assert "my_task.py" in run.config["code"]["training"]
    assert run.benchmarks() == ["digits_test"]
    more = forked.run("-m", "agrae_lab.evaluate", str(run.path), "evaluation.num_samples=8", cwd=tmp_path)
    assert more.returncode == 0, more.stderr


def test_an_edited_task_is_another_run(tmp_path):
    first = frozen(*OWN_TASK, "task._target_=my_task.py:TASK")
    (tmp_path / "other.py").write_text(TASK.replace("completion[:1]", "completion[1:2]"))
    assert runs.training_hash(frozen(*OWN_TASK, "task._target_=other.py:TASK")) != runs.training_hash(first)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["task._target_=my_task:TASKS"], "my_task has no task .*did you mean TASK"),
        (["task._target_=my_task:NO_TASK"], "my_task has no task"),
        (["task._target_=nowhere:TASK"], "there is no module nowhere"),
        (["task._target_=TASK"], "names no task"),
        (["task._target_=my_task:CLASH"], "its name, 'countdown', is a shipped task's"),
        (["task._target_=my_task:SILENT"], "task.train_file: task 'silent' brings no problems"),
        (
            ["task._target_=my_task:TASK", "+evaluation.benchmarks.more={task: digit}"],
            "unknown task 'digit'; choose",
        ),
    ],
)
def test_a_wrong_task_is_refused_in_one_sentence(words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        frozen(*words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["experiment.metrics=[pass@3]"], "experiment.metrics: pass@3 is too large for n = evaluation.num_samples = 4"),
        (["experiment.metrics=pass@1"], "experiment.metrics must be a list of names"),
        (["experiment.metrics=[accuracy]"], "experiment.metrics: 'accuracy' is not a metric"),
        (["experiment.reference=a", "experiment.candidates=[a]"], "experiment.reference: a is a candidate as well"),
        (["experiment.smallest_effect=big"], "experiment.smallest_effect: 'big' is not an effect"),
    ],
)
def test_a_wrong_part_of_the_question_is_refused_in_one_sentence(words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        frozen(*words)


def test_the_question_is_no_part_of_a_runs_identity():
    asked = frozen("experiment.reference=dr_grpo", "experiment.metrics=[pass@1]", "experiment.smallest_effect=2pp")
    assert runs.training_hash(asked) == runs.training_hash(frozen())
    assert asked["experiment"]["reference"] == "dr_grpo"
    assert "candidates" not in asked["experiment"]


def test_a_file_named_like_a_loaded_module_keeps_its_declarations(tmp_path):
    """Its postponed annotations are looked up in its own module."""
    for limit in (1, 2):
        path = tmp_path / str(limit) / "statistics.py"
        path.parent.mkdir()
        path.write_text(BOUNDED.format(limit))
        with pytest.raises(ValueError, match=f"tau must be above {limit}"):
            advantages.make("grpo", base={"_target_": f"{path}:Bounded", "tau": -1.0})
    assert sys.modules["statistics"] is statistics


def test_a_file_that_cannot_be_imported_can_be_mended(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("1 / 0")
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        load_class(f"{path}:MyEstimator")
    path.write_text(BOUNDED.format(1))
    with pytest.raises(ValueError, match="tau must be above 1"):
        load_class(f"{path}:Bounded")(tau=0.0)
