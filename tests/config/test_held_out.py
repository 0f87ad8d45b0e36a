"""Held-out problems of a user's own file, and benchmarks of another kind than the training problems."""

import json

import pytest

from agrae_lab import runs
from agrae_lab.config import ConfigError, problem_sets
from agrae_lab.config.held_out import divide, foreign_benchmarks_warning
from agrae_lab.lifecycle import execute
from tests.training.conftest import SMALL, compose_config

NO_LIMIT = [word for word in SMALL if not word.startswith("evaluation.benchmarks.")]


def rows_of(num):
    return [{"id": f"p{i}", "digits": "12", "target": i} for i in range(num)]


@pytest.fixture
def mine(tmp_path):
    """Forty problems of one's own."""
    path = tmp_path / "mine.jsonl"
    shipped = problem_sets(compose_config())["train"][:40]
    path.write_text("".join(json.dumps({"digits": p["digits"], "target": p["target"]}) + "\n" for p in shipped))
    return path


@pytest.mark.parametrize(("num", "share", "held"), [(100, 0.1, 10), (15, 0.1, 2), (3, 0.1, 1), (10, 0.5, 5)])
def test_a_share_is_held_out_by_the_problems_ids(num, share, held):
    kept, out = divide(rows_of(num), share)
    assert (len(kept), len(out)) == (num - held, held)
    assert sorted([*kept, *out], key=rows_of(num).index) == rows_of(num)
    assert kept == [row for row in rows_of(num) if row in kept]  # in the order of the file
    assert divide(rows_of(num)[::-1], share)[1] == out[::-1]  # the order decides nothing
    more = divide(rows_of(num + 1), share)[1]
    assert sum(row not in more for row in out) <= 1


def test_a_run_is_evaluated_on_the_held_out_problems(mine, tmp_path):
    words = [f"task.train_file={mine}", "task.held_out=0.25", "train.num_steps=2", "train.validate_every=1"]
    config = compose_config(f"root={tmp_path / 'runs'}", *NO_LIMIT, *words)
    assert list(config["evaluation"]["benchmarks"]) == ["held_out"] == [config["train"]["validate_on"]]
    sets = problem_sets(config)
    assert (len(sets["train"]), len(sets["held_out"])) == (30, 10)
    path = runs.create_run(config)
    assert execute(path) == "done"
    run = runs.read_run(path)
    assert run.benchmarks() == ["held_out"]
    assert run.meta["train_test_overlap"] == {}
    other = compose_config(*NO_LIMIT, *words[:1], "task.held_out=0.5")
    assert runs.training_hash(other) != runs.training_hash(config)


def test_a_limit_of_the_held_out_problems_holds(mine):
    words = [f"task.train_file={mine}", "task.held_out=0.25", "train.num_prompts=4"]
    config = compose_config(*NO_LIMIT, *words, "+evaluation.benchmarks.held_out={limit: 3}")
    assert len(problem_sets(config)["held_out"]) == 3


@pytest.mark.parametrize("share", ["0", "0.6", "-0.1"])
def test_a_share_that_cannot_be_is_refused(mine, share):
    with pytest.raises(ConfigError, match=r"task\.held_out must be a number above 0 and at most 0\.5, or null"):
        compose_config(f"task.train_file={mine}", f"task.held_out={share}")


def test_too_few_problems_left_are_named(mine):
    with pytest.raises(ConfigError, match=r"train\.num_prompts = 64, and 20 problems are left to train on"):
        compose_config(f"task.train_file={mine}", "task.held_out=0.5")


def test_benchmarks_of_another_kind_are_a_warning(tmp_path, caplog):
    assert foreign_benchmarks_warning(compose_config()) is None
    assert foreign_benchmarks_warning(compose_config("world=nano_tune")) is None  # the same kind under another name
    shapes = compose_config("task.name=shapes", "model.path=nano_vl", *SMALL)
    sentence = foreign_benchmarks_warning(shapes)
    assert sentence.startswith("evaluation.benchmarks: countdown_test is of another kind of problems than shapes")
    assert "'+evaluation.benchmarks.shapes_test={task: shapes}' evaluation.benchmarks.countdown_test=null" in sentence
