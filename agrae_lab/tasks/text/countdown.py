"""Countdown: make a number from 10 to 99 out of 3 to 5 digits with + - * and parentheses, each digit used once.

The task of the nano world. Difficulty grows with the number of digits and shrinks with the number of solutions.
A completion is correct if it is one well-formed expression, uses exactly the given digits, and equals the target.

Three disjoint sets ship. `train` trains. `tune` (the task countdown_tune) is for every choice: settings, rates,
designs. `test` confirms what was chosen, and no choice has seen it. docs/nano_world.md says how they are used.

    python -m agrae_lab.tasks.text.countdown     # rewrites the three files in data/
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

from agrae_lab.tasks.base import Problem, Task, Verdict

DATA = Path(__file__).parents[1] / "data"
TARGETS = range(10, 100)
NUM_DIGITS = range(3, 6)
MAX_EXPRESSION_CHARS = 32  # fits five digits, four operators and every useful parenthesis; a longer one has no value
FILES = {  # set → its file in DATA
    "tune": "countdown_tune_test.jsonl",  # the test file of the task countdown_tune
    "train": "countdown_train.jsonl",
    "test": "countdown_test.jsonl",
}
NUM_PROBLEMS = {"tune": 128, "train": 2048, "test": 256}  # in the order in which they are drawn
SEED = 20260205


class ExpressionError(ValueError):
    """The text is not one expression over single digits, + - * and parentheses."""


def evaluate(text: str) -> tuple[int, str]:
    """Return the value of an arithmetic expression, and its digits in order of use.

    Grammar: expr = term (('+'|'-') term)*; term = atom ('*' atom)*; atom = digit | '(' expr ')'.

    Raises:
        ExpressionError: the text is longer than MAX_EXPRESSION_CHARS or not in the grammar.
    """
    if len(text) > MAX_EXPRESSION_CHARS:
        raise ExpressionError(f"longer than {MAX_EXPRESSION_CHARS} characters")
    value, end = _sum(text, 0)
    if end != len(text):
        raise ExpressionError(f"unexpected {text[end]!r} at position {end}")
    return value, "".join(c for c in text if c in "0123456789")


def _sum(text: str, at: int) -> tuple[int, int]:
    value, at = _product(text, at)
    while text[at : at + 1] in ("+", "-"):
        sign = 1 if text[at] == "+" else -1
        term, at = _product(text, at + 1)
        value += sign * term
    return value, at


def _product(text: str, at: int) -> tuple[int, int]:
    value, at = _atom(text, at)
    while text[at : at + 1] == "*":
        factor, at = _atom(text, at + 1)
        value *= factor
    return value, at


def _atom(text: str, at: int) -> tuple[int, int]:
    char = text[at : at + 1]
    if char and char in "0123456789":  # not str.isdigit(), which takes other scripts' digits too
        return int(char), at + 1
    if char != "(":
        raise ExpressionError(f"expected a digit or '(' at position {at}")
    value, at = _sum(text, at + 1)
    if text[at : at + 1] != ")":
        raise ExpressionError(f"expected ')' at position {at}")
    return value, at + 1


class Countdown(Task):
    name = "countdown"
    columns = ("digits", "target")
    components = ("accuracy", "format")  # the default reward is accuracy alone

    def prompt(self, problem: Problem) -> str:
        return f"{problem['digits']}={problem['target']}:"

    def verify(self, completion: str, problem: Problem) -> Verdict:
        try:
            value, used = evaluate(completion)
        except ExpressionError:
            return Verdict(correct=False, reward=0.0, components={"accuracy": 0.0, "format": 0.0})
        uses_all = sorted(used) == sorted(str(problem["digits"]))
        correct = uses_all and value == int(problem["target"])
        components = {"accuracy": float(correct), "format": float(uses_all)}
        return Verdict(correct, float(correct), components=components, answer=str(value) if uses_all else None)


TASK = Countdown()


def random_expression(digits: list[int], rng: random.Random) -> str:
    """Return an expression over the digits in random order and shape, without needless parentheses."""
    order = rng.sample(digits, len(digits))
    return _random_tree(order, rng)[0]


def _random_tree(digits: list[int], rng: random.Random) -> tuple[str, str]:
    """Return a random expression, and the operator at its root ('' for a digit)."""
    if len(digits) == 1:
        return str(digits[0]), ""
    cut = rng.randint(1, len(digits) - 1)
    operator = rng.choice("+-*")
    left, left_root = _random_tree(digits[:cut], rng)
    right, right_root = _random_tree(digits[cut:], rng)
    if operator == "*" and left_root in ("+", "-"):
        left = f"({left})"
    if right_root in ("+", "-") and operator in ("-", "*"):
        right = f"({right})"
    return f"{left}{operator}{right}", operator


def random_solved_problems(
    rng: random.Random, *, num_digits: range = NUM_DIGITS, targets: range = TARGETS
) -> Iterator[tuple[dict[str, str | int], str]]:
    """Yield solvable problems (without id), each with one solution, without end."""
    while True:
        digits = [rng.randint(1, 9) for _ in range(rng.randint(num_digits[0], num_digits[-1]))]
        solution = random_expression(digits, rng)
        target, _ = evaluate(solution)
        if target in targets:
            yield {"digits": "".join(map(str, sorted(digits))), "target": target}, solution


def make_splits(
    sizes: Mapping[str, int] = NUM_PROBLEMS,
    *,
    num_digits: range = NUM_DIGITS,
    targets: range = TARGETS,
    seed: int = SEED,
) -> dict[str, list[dict[str, str | int]]]:
    """Return disjoint sets of problems, in each of which the digit count cycles through `num_digits`.

    Args:
        sizes: name of a set → its number of problems, in the order in which they are drawn.
    """
    solved = random_solved_problems(random.Random(seed), num_digits=num_digits, targets=targets)
    seen: set[tuple] = set()
    splits: dict[str, list[dict[str, str | int]]] = {}
    for split, count in sizes.items():
        problems = splits[split] = []
        while len(problems) < count:
            wanted = num_digits[len(problems) % len(num_digits)]
            problem = next(p for p, _ in solved if len(str(p["digits"])) == wanted and tuple(p.values()) not in seen)
            seen.add(tuple(problem.values()))
            problems.append({"id": f"{split}-{len(problems):04d}", **problem})
    return splits


if __name__ == "__main__":
    for split, problems in make_splits().items():
        path = DATA / FILES[split]
        path.write_text("".join(json.dumps(p) + "\n" for p in problems))
        print(f"{path}: {len(problems)} problems")
