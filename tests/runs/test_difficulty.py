"""Training problems chosen by the success rate that runs have recorded for them."""

import json
from pathlib import Path

import pandas as pd
import pytest

from agrae_lab import difficulty, runs
from agrae_lab.config import problem_sets
from agrae_lab.difficulty import Choice, choose, main, parse, recorded_counts
from tests.training.conftest import compose_config

PROBLEMS = [{"id": name, "digits": "12"} for name in "abcde"]
COUNTS = {"a": (0, 8), "b": (2, 8), "c": (4, 4), "d": (1, 4), "e": (0, 0)}


def names(rows):
    return "".join(row["id"] for row in rows)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), "abcd"),
        (Choice(low=0.01, high=0.99), "bd"),
        (Choice(low=0.25, high=0.25), "bd"),
        (Choice(high=0.0), "a"),
        (Choice(order="easy_first"), "cbda"),
        (Choice(order="hard_first"), "abdc"),
    ],
)
def test_problems_within_the_bounds_in_the_wanted_order(choice, expected):
    assert names(choose(PROBLEMS, COUNTS, choice)) == expected


def test_rows_say_what_was_recorded():
    rows = choose(PROBLEMS, COUNTS, Choice())
    assert rows[1] == {"id": "b", "digits": "12", "recorded_p": 0.25, "recorded_n": 8}


def run_with_rollouts(root, *overrides):
    """A run of the nano world with two steps of rollouts, made up."""
    run = runs.read_run(runs.create_run(compose_config(f"root={root}", *overrides)))
    ids = [row["id"] for row in problem_sets(run.config)["train"][:4]]
    (run.path / "rollouts").mkdir()
    steps = {
        "step-000001": [(ids[0], 1, 1), (ids[0], 0, 1), (ids[1], 0, 1), (ids[1], 0, 1)],
        "dropped-000001": [(ids[2], 1, 1), (ids[2], 1, 1)],
        "step-000002": [(ids[0], 0, 1), (ids[0], 0, 1), (ids[3], 0, 0), (ids[3], 0, 0)],
    }
    for name, rows in steps.items():
        frame = pd.DataFrame(rows, columns=["prompt_id", "correct", "valid"]).astype({"correct": bool, "valid": bool})
        frame.to_parquet(run.path / "rollouts" / f"{name}.parquet")
    return run, ids


def test_counts_are_of_all_valid_completions_dropped_ones_included(tmp_path):
    run, (a, b, c, d) = run_with_rollouts(tmp_path)
    assert recorded_counts([run]) == {a: (1, 4), b: (0, 2), c: (2, 2), d: (0, 0)}
    assert recorded_counts([run], until=1) == {a: (1, 2), b: (0, 2), c: (2, 2)}
    other, _ = run_with_rollouts(tmp_path, "seed=1")
    assert recorded_counts([run, other])[a] == (2, 8)


def test_the_file_is_a_training_set(tmp_path, capsys):
    run, (a, b, c, _) = run_with_rollouts(tmp_path / "runs")
    out = tmp_path / "chosen" / "easy_first.jsonl"
    assert main([str(run.path), f"out={out}", "order=easy_first"]) == 0
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [c, a, b]
    assert capsys.readouterr().out == f"{out}: 3 of 2048 problems\nleft out: 0 by their p, 2045 without a recorded p\n"
    config = compose_config(f"task.train_file={out}", "train.num_prompts=2", "train.prompt_order=listed")
    assert [row["id"] for row in problem_sets(config)["train"]] == [c, a, b]
    assert config["arm"] == "grpo+listed"
    assert config["data_fingerprints"]["train"] != run.config["data_fingerprints"]["train"]


def test_a_run_directory_may_have_an_equals_sign_in_its_name(tmp_path, monkeypatch):
    (tmp_path / "grpo+beta=0.5-1a2b3c4d" / "seed-0").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    run = "grpo+beta=0.5-1a2b3c4d/seed-0"
    assert parse([run, "out=x.jsonl"]) == ([Path(run)], Path("x.jsonl"), Choice())
    assert runs.split_words(["~a", "b=" + "x" * 300, "c"]) == (["c"], ["~a", "b=" + "x" * 300])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name a run and a file"),
        (["runs/x"], "name a run and a file"),
        (["runs/x", "out=x.csv"], "out=x.csv: the file's name must end in .jsonl"),
        (["runs/x", "out=x.jsonl", "low=2"], "low=2: must be a success rate from 0 to 1"),
        (["runs/x", "out=x.jsonl", "high=nan"], "high=nan: must be a success rate from 0 to 1"),
        (["runs/x", "out=x.jsonl", "low=0.5", "high=0.2"], "low=0.5 is above high=0.2; no p lies between them"),
        (["runs/x", "out=x.jsonl", "order=hard"], "order=hard: must be easy_first or hard_first"),
        (["runs/x", "out=x.jsonl", "until=0"], "until=0: must be the number of a step, from 1"),
        (
            ["runs/x", "out=x.jsonl", "lo=0.1"],
            "lo=0.1: there is no such word; choose from out, low, high, until, order",
        ),
    ],
)
def test_a_wrong_command_is_refused_in_one_sentence(words, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse(words)


def test_what_cannot_be_chosen_from_is_refused(tmp_path, capsys):
    run, _ = run_with_rollouts(tmp_path)
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(json.dumps(row) + "\n" for row in problem_sets(run.config)["train"][:200]))
    other, _ = run_with_rollouts(tmp_path, f"task.train_file={fewer}", "train.num_prompts=8")
    unsampled = runs.create_run(compose_config(f"root={tmp_path}", "seed=7"))
    for words, sentence in [
        ([tmp_path / "nowhere"], "nowhere"),
        ([unsampled], "no rollouts yet"),
        ([run.path, other.path], "its training problems are not those of"),
        ([run.path, "low=0.9", "high=0.95"], "no problem has a recorded p from 0.9 to 0.95; widen the bounds"),
    ]:
        assert main([*map(str, words), f"out={tmp_path}/x.jsonl"]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert error.startswith("agrae_lab: ")
        assert error.count("\n") == 1
    assert not (tmp_path / "x.jsonl").exists()


def test_problems_with_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="problems with images cannot be written as JSON lines"):
        difficulty._write([{"id": "a", "image": object()}], tmp_path / "x.jsonl")
