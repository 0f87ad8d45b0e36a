"""The Countdown verifier and its problems."""

import random
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agrae_lab import runs
from agrae_lab.config import problem_sets
from agrae_lab.models import nano
from agrae_lab.tasks import read_problems, task_names
from agrae_lab.tasks.text.countdown import (
    DATA,
    FILES,
    MAX_EXPRESSION_CHARS,
    TASK,
    ExpressionError,
    evaluate,
    make_splits,
    random_expression,
    random_solved_problems,
)
from tests.training.conftest import compose_config

PROBLEM = {"id": "x", "digits": "2357", "target": 22}


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("1+2*3", 7), ("(1+2)*3", 9), ("9-4-3", 2), ("9-(4-3)", 8), ("2*3*4", 24), ("((5))", 5), ("1-9", -8)],
)
def test_evaluate(text, value):
    assert evaluate(text)[0] == value


@pytest.mark.parametrize(
    "text", ["", "+", "1+", "(1", "1)", "()", "12", "1 + 2", "1/2", "2**3", "-1", "a", "１", "²", "1+2=3", "__import__"]
)
def test_what_is_not_an_expression(text):
    with pytest.raises(ExpressionError):
        evaluate(text)


def test_right_and_wrong_answers():
    assert TASK.verify("2*5+7+3", {"digits": "2357", "target": 20}).correct
    assert TASK.verify("3*5+7", {"digits": "357", "target": 22}).reward == 1.0
    assert not TASK.verify("3*5+7", PROBLEM).correct  # leaves out the 2
    assert not TASK.verify("2*5+7+3", PROBLEM).correct  # another value
    assert not TASK.verify("7*3+5-2-2", PROBLEM).correct  # a digit twice


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789+-*() =ab\x00", max_size=60))
def test_agrees_with_python_on_its_grammar_and_refuses_the_rest(text):
    try:
        value, digits = evaluate(text)
    except ExpressionError:
        return
    assert len(text) <= MAX_EXPRESSION_CHARS
    assert re.fullmatch(r"[0-9+\-*()]+", text)
    assert value == eval(text)  # the grammar is a subset of Python's, and the text is one of ours by now
    assert digits == re.sub(r"\D", "", text)


@pytest.mark.parametrize("text", ["(" * 10_000, "1+" * 10_000 + "1", "9*" * 10_000 + "9", "\x00" * 50, "<script>"])
def test_hostile_text_is_wrong_and_nothing_else(text):
    verdict = TASK.verify(text, PROBLEM)
    assert not verdict.correct
    assert verdict.valid


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_random_expressions_use_each_digit_once(seed):
    rng = random.Random(seed)
    digits = [rng.randint(1, 9) for _ in range(rng.randint(3, 5))]
    _, used = evaluate(random_expression(digits, rng))
    assert sorted(used) == sorted(map(str, digits))


def test_every_random_problem_is_solved_by_its_solution():
    solved = random_solved_problems(random.Random(0))
    for _ in range(200):
        problem, solution = next(solved)
        assert TASK.verify(solution, problem).correct


def shipped():
    return {split: read_problems(DATA / file, TASK.columns) for split, file in FILES.items()}


def keys(problems):
    return {(p["digits"], p["target"]) for p in problems}


def test_the_shipped_files_are_the_generators_and_disjoint():
    splits = shipped()
    assert splits == make_splits()
    sizes = {split: len(keys(problems)) for split, problems in splits.items()}
    assert sizes == {"train": 2048, "tune": 128, "test": 256}
    assert len(set().union(*map(keys, splits.values()))) == sum(sizes.values())


def test_tuning_and_test_problems_are_held_out_of_imitation(monkeypatch):
    seen = []
    pairs = ((p, "1") for split in shipped().values() for p in split)
    monkeypatch.setattr(nano, "random_solved_problems", lambda rng: pairs)
    monkeypatch.setattr(nano, "fit", lambda model, batches, num_steps, **unused: seen.extend(batches))
    monkeypatch.setattr(nano, "encode_pairs", lambda tokenizer, batch: [prompt for prompt, _ in batch])
    monkeypatch.setattr(nano, "BATCH_SIZE", 64)
    nano.imitate(torch.nn.Linear(1, 1), None, num_steps=2048 // 64, rng=None)
    assert [prompt for batch in seen for prompt in batch] == [TASK.prompt(p) for p in shipped()["train"]]


def test_the_tuning_problems_are_a_benchmark_of_the_nano_world():
    config = compose_config("world=nano_tune", "seed=1000")
    assert set(config["evaluation"]["benchmarks"]) == {"countdown_tune"} == {config["train"]["validate_on"]}
    problems = problem_sets(config)
    assert keys(problems["countdown_tune"]) == keys(shipped()["tune"])
    assert runs.training_hash(config) == runs.training_hash(compose_config("world=nano", "seed=1000"))


def test_tasks_are_found_by_their_file():
    own = [name for name in task_names() if list(DATA.parent.glob(f"*/{name}.py"))]
    assert own == ["countdown", "countdown_micro", "countdown_micro_tune", "countdown_tune", "shapes", "shapes_strange"]


@pytest.mark.parametrize(("text", "answer"), [("1+2*3", "7"), ("3*2+1", "7"), ("1+2", None), ("no", None)])
def test_equal_values_are_equal_answers_and_what_breaks_the_rules_has_none(text, answer):
    assert TASK.verify(text, {"id": "0", "digits": "123", "target": 7}).answer == answer
