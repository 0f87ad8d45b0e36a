"""`agrae-lab compare`: the study of a command line, bad input before anything starts, and one comparison for real."""

from __future__ import annotations

import sys
from unittest.mock import Mock

import pytest

from agrae_lab import runs
from agrae_lab.train import freeze
from analysis.io.parquet import FrameError
from sweeps import compare
from sweeps.compare import _until_clear, main
from sweeps.errors import PlanError
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec.comparison import LOOKS, Request, comparison_study, until_clear
from sweeps.spec.compose import CONFIG_DIR, compose, config_dir
from tests import forked

OWN = '''
from dataclasses import dataclass
from agrae_lab.advantages.statistics import centred, success_rate


@dataclass(frozen=True)
class MyEstimator:
    """A = (r − p) · (1 + τ·(1 − p))   (my paper, Eq. 1)."""

    tau: float = 0.5
    LAWS = frozenset({"zero_on_ties", "zero_sum", "sign_preserving", "groups_independent"})

    def __call__(self, rewards_PG, context):
        return centred(rewards_PG) * (1 + self.tau * (1 - success_rate(rewards_PG)))


@dataclass(frozen=True)
class NoCall:
    """A = 1   (nowhere)."""


class Plain:
    def __call__(self, rewards_PG, context):
        return rewards_PG
'''
SMALL = [
    *("train.num_steps=2", "train.num_prompts=4", "train.num_generations=4", "train.validate_every=0"),
    *("evaluation.num_samples=8", "evaluation.batch_size=256", "evaluation.benchmarks.countdown_test.limit=16"),
    "hardware.device=cpu",
]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder with the user's file, as the working directory; returns the file's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # another test's
    (tmp_path / "mine.py").write_text(OWN)
    return "mine.py"


def study_of(*candidates: str, against: str = "grpo", words: tuple[str, ...] = (), seeds: int = 1, **more):
    with config_dir(CONFIG_DIR):
        return comparison_study(Request(candidates, against, seeds, overrides=(*SMALL, *words), **more), freeze)


def test_the_study_has_an_arm_for_each_estimator(own):
    study = study_of(f"{own}:MyEstimator", "a_grae", seeds=3, metrics=("pass@1", "pass@4"), smallest_effect="2pp")
    assert study.axes.grid == {"advantage": ("grpo", f"{own}:MyEstimator", "a_grae")}
    assert study.comparison == runs.Comparison("grpo", ("my_estimator", "a_grae"), ("pass@1", "pass@4"), "2pp")
    assert study.seeds == (0, 1, 2)


def test_the_reference_at_equal_mass_is_plain_grpo(own):
    study = study_of(f"{own}:MyEstimator", words=("advantage/match=l1",))
    assert study.comparison == runs.Comparison("grpo", ("my_estimator+l1",))


def test_the_base_model_can_be_the_reference(own):
    study = study_of("a_grae", against="base")
    assert study.axes.grid == {"advantage": ("a_grae",)}
    assert study.reference == "base"


def test_another_source_is_another_study(own, tmp_path):
    names = set()
    for i, factor in enumerate(("1 + ", "2 + ")):
        (tmp_path / f"mine{i}.py").write_text(OWN.replace("1 + ", factor))
        names.add(study_of(f"mine{i}.py:MyEstimator").name)
    assert len(names) == 2
    assert study_of("mine0.py:MyEstimator").name in names  # the same command resumes
    assert study_of("mine0.py:MyEstimator", words=("train.learning_rate=1e-3",)).name not in names


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["grp"], "there is no estimator 'grp'; did you mean 'grpo'?"),
        (["mine.py"], "mine.py names no class; write mine.py:MyEstimator"),
        (["mine.py:Nope"], "mine.py has no class Nope"),
        (["mine.py:Plain"], "an estimator is a frozen dataclass"),
        (["mine.py:NoCall"], "is no estimator: it has no method __call__"),
        (["nowhere:MyEstimator"], "there is no module nowhere"),
        (["grpo"], "grpo is the reference and a candidate"),
        (["a_grae", "a_grae", "--against", "grpo"], "a_grae is named more than once"),
        (["a_grae", "--against", "gpro"], "there is no estimator 'gpro'"),
        (["mine.py:MyEstimator", "./mine.py:MyEstimator", "--against", "grpo"], "train the same policy"),
        (["a_grae", "--metric", "pass@5"], "metrics: pass@5 is too large for n = evaluation.num_samples = 8"),
        (["a_grae", "--metric", "pass@9"], "k is above n"),
        (["a_grae", "--metric", "accuracy"], "is not a metric"),
        (["a_grae", "--smallest-effect", "large"], "is not an effect"),
        (["a_grae", "--match", "l3"], "advantage/match"),
        (["a_grae", "train.nmu_steps=3"], "the configuration has no key 'train.nmu_steps'"),
        (["a_grae", "train.weight_decay=none"], "train.weight_decay must be a number"),
        (["a_grae", "seed=4"], "give the number of seeds by --seeds"),
        (["a_grae", "advantage=dr_grpo"], "would have no effect"),
        (["a_grae", "train.num_steps=1,2"], "has several values"),
        (["a_grae", "grpo"], "Name it by --against, as in `agrae-lab compare a_grae --against grpo`"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_starts(own, tmp_path, capsys, words, sentence):
    assert main([*words, *SMALL, f"root={tmp_path}/runs"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert sentence in told[0]
    assert told[1:] == ["nothing was started"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ("sweeps.compare.launch_study", OSError(28, "No space left on device"), []),
        ("sweeps.launch.looks.launch_study", FrameError("no such samples"), ["--until-clear"]),
    ],
)
def test_an_error_after_the_start_is_one_sentence(place, error, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(place, Mock(side_effect=error))
    assert main(["a_grae", *words, *SMALL, f"root={tmp_path}/runs"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_wrong_number_of_seeds_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["a_grae", "--seeds", "0"])
    assert ended.value.code == 2
    assert "whole number of at least 1" in capsys.readouterr().err


def test_a_study_cannot_compare_an_arm_that_it_lacks(tmp_path):
    from sweeps.planning.drift import read_code
    from sweeps.planning.plan import plan_study
    from sweeps.planning.study_directory import StudyDirectory
    from sweeps.spec.read import parse_study

    study = parse_study({"name": "s", "reference": "dr_grpo", "base": SMALL, "axes": {"grid": {"advantage": ["grpo"]}}})
    with config_dir(CONFIG_DIR), pytest.raises(PlanError, match=r"s\.reference: there is no arm .dr_grpo"):
        plan_study(study, StudyDirectory(tmp_path, "s"), train_module="agrae_lab.train", code=read_code("agrae_lab"))


def test_a_comparison_from_the_command_to_the_report(own, tmp_path, monkeypatch, capsys):
    words = ["-m", "agrae_lab.compare", f"{own}:MyEstimator", "--against", "grpo", "--seeds", "1"]
    ended = forked.run(*words, *SMALL, "root=runs", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    (experiment,) = runs.list_experiments(tmp_path / "runs")
    assert experiment.comparison == runs.Comparison("grpo", ("my_estimator",))
    assert (tmp_path / "runs" / "figures" / experiment.name / "report.html").is_file()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare, "_analyse", lambda study, directory, code: code)  # seen above
    assert main([*words[2:], *SMALL, "root=runs"]) == 0
    assert "2 finished, 0 to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == before


def clear_study(*names: str, budget: int = 12, first_seed: int = 0, **more):
    study = study_of(*names, **more)
    with config_dir(CONFIG_DIR):
        return until_clear(study, budget=budget, first_seed=first_seed)


def test_until_clear_is_a_confirmatory_study_without_tuning(own):
    study = clear_study(f"{own}:MyEstimator", "a_grae", words=("advantage/match=l1",), smallest_effect="2pp")
    protocol = study.protocol
    assert protocol.arms == {
        "grpo": {"advantage": "grpo"},
        "my_estimator-l1": {"advantage": f"{own}:MyEstimator"},
        "a_grae-l1": {"advantage": "a_grae"},
    }
    assert (protocol.reference, protocol.smallest_effect, protocol.tune) == ("grpo", "2pp", None)
    assert protocol.metrics == ("pass@1/countdown_test", "pass@4/countdown_test")  # n = 8
    assert protocol.looks == (3, 5, 8, 12)
    assert "advantage/match=l1" in study.base


@pytest.mark.parametrize(("budget", "looks"), [(3, (3,)), (6, (3, 5, 6)), (8, (3, 5, 8)), (30, (*LOOKS, 30))])
def test_the_budget_is_the_last_look(budget, looks):
    assert clear_study("a_grae", budget=budget).protocol.looks == looks


def test_the_metrics_of_the_comparison_are_looked_at():
    assert clear_study("a_grae", metrics=("pass@2",)).protocol.metrics == ("pass@2/countdown_test",)


def test_until_clear_refuses_the_base_model_and_a_budget_without_a_look():
    with pytest.raises(PlanError, match="name another reference than base"):
        clear_study("a_grae", against="base")
    with pytest.raises(PlanError, match="name another candidate than base"):
        clear_study("base", "a_grae")
    with pytest.raises(PlanError, match="at least 3 seeds, got --seeds 2"):
        clear_study("a_grae", budget=2)


def test_until_clear_takes_seeds_that_no_run_of_the_root_has_had(tmp_path):
    study = study_of("a_grae")
    directory = StudyDirectory(tmp_path, study.name)
    with config_dir(CONFIG_DIR):
        assert _until_clear(study, directory, budget=5)[0].protocol.first_seed == 0
        runs.create_run({**freeze(compose([*SMALL, "seed=6"])), "root": str(tmp_path)})
        found, place = _until_clear(study, directory, budget=5)
    assert found.protocol.first_seed == 7
    assert place.path.name == found.name


def test_until_clear_refuses_names_that_its_files_cannot_tell_apart(own, tmp_path):
    long = "a_candidate_with_a_very_long_name"
    text = OWN.split("@dataclass(frozen=True)\nclass NoCall")[0]
    for end in "xy":
        (tmp_path / f"{end}.py").write_text(text.replace("    tau:", f'    name = "{long}_{end}"\n    tau:'))
    with pytest.raises(PlanError, match="shortens the arms' names"):
        clear_study("x.py:MyEstimator", "y.py:MyEstimator")


def test_until_clear_takes_an_effect_in_either_spelling():
    assert clear_study("a_grae", smallest_effect="2%").protocol.smallest_effect == "2%"


@pytest.mark.parametrize("num_samples", [2, 3])
def test_until_clear_names_a_metric_once(num_samples):
    study = clear_study("a_grae", words=(f"evaluation.num_samples={num_samples}",))
    assert study.protocol.metrics == ("pass@1/countdown_test",)


def test_until_clear_needs_two_samples_a_problem():
    with pytest.raises(PlanError, match=r"evaluation\.num_samples of at least 2, got 1; set evaluation\.num_samples=2"):
        clear_study("a_grae", words=("evaluation.num_samples=1",))


def test_an_arm_cannot_be_called_as_the_base_model(own, tmp_path):
    """Its runs and the untrained model would share a name in every table."""
    text = OWN.split("@dataclass(frozen=True)\nclass NoCall")[0]
    (tmp_path / "own.py").write_text(text.replace("MyEstimator", "Base"))
    for candidates in (("own.py:Base",), ("base", "own.py:Base")):
        with pytest.raises(PlanError, match=r"own\.py:Base: .* other than 'base'.* Give an own class another `name`"):
            study_of(*candidates)
