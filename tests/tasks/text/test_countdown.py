"""The Countdown verifier and its problems."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agrae_lab.tasks import read_problems, task_names
from agrae_lab.tasks.text.countdown import (
    DATA,
    MAX_EXPRESSION_CHARS,
    TASK,
    ExpressionError,
    evaluate,
    make_splits,
    random_expression,
    random_solved_problems,
)

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


def test_the_shipped_files_are_the_generators_and_disjoint():
    splits = make_splits()
    shipped = {s: read_problems(DATA / f"countdown_{s}.jsonl", TASK.columns) for s in ("train", "test")}
    assert shipped == splits
    keys = {s: {(p["digits"], p["target"]) for p in problems} for s, problems in shipped.items()}
    assert len(keys["train"]) == 2048
    assert len(keys["test"]) == 128
    assert not keys["train"] & keys["test"]


def test_tasks_are_found_by_their_file():
    own = [name for name in task_names() if list(DATA.parent.glob(f"*/{name}.py"))]
    assert own == ["countdown", "shapes", "shapes_strange"]


@pytest.mark.parametrize(("text", "answer"), [("1+2*3", "7"), ("3*2+1", "7"), ("1+2", None), ("no", None)])
def test_equal_values_are_equal_answers_and_what_breaks_the_rules_has_none(text, answer):
    assert TASK.verify(text, {"id": "0", "digits": "123", "target": 7}).answer == answer
