"""Completions judged per minute: our verifier against math-verify called on each completion in this process.

The completions are made here: 8 for each of 256 problems, with MATH's mixture of answers (six in ten are whole
numbers), about half of them right, a third of those in another form than the gold answer, one in ten without a box.
"""

from __future__ import annotations

import logging
import random
import time

from agrae_lab.verify import judge
from agrae_lab.verify.pool import POOL

NUM_PROBLEMS, NUM_GENERATIONS = 256, 8
NUM_BASELINE = 256  # completions that math-verify alone gets; it is slow
THOUGHT = "We set $a = {a}$ and $b = {b}$, so that $a + b = {c}$, and use $\\frac{{a}}{{b}}$ in the next step. "


def main() -> None:
    rng = random.Random(0)
    golds, completions = [], []
    for _ in range(NUM_PROBLEMS):
        gold, same, wrong = _answers(rng)
        golds += [gold] * NUM_GENERATIONS
        completions += [_completion(rng, rng.choice([gold, gold, same]), wrong()) for _ in range(NUM_GENERATIONS)]
    judge(["\\boxed{x}"], ["y"])  # start the server
    start = time.perf_counter()
    outcomes = [judgement.outcome for judgement in judge(completions, golds)]
    ours = len(completions) / (time.perf_counter() - start)
    baseline = _math_verify_alone(completions[:NUM_BASELINE], golds[:NUM_BASELINE])
    POOL.close()
    counts = ", ".join(f"{outcomes.count(o)} {o}" for o in sorted(set(outcomes)))
    print(
        f"verifier: {60 * ours:,.0f} completions a minute on {POOL.num_workers} workers ({counts}), "
        f"{ours / baseline:.1f} times math-verify alone in one process ({60 * baseline:,.0f})"
    )


def _answers(rng: random.Random) -> tuple:
    """A gold answer, an equal one in another form, and a maker of wrong ones."""
    a, b, c = rng.randint(2, 9), rng.randint(11, 99), rng.randint(2, 30)
    kind = rng.choices(range(6), weights=[62, 12, 8, 8, 6, 4])[0]
    form, other = [
        ("{b}", "{b}.0"),
        (r"\frac{{{a}}}{{{b}}}", "{a}/{b}"),
        (r"{a}\sqrt{{{c}}}", r"\sqrt{{{c}}} \cdot {a}"),
        (r"{a}x^2-{b}x+{c}", r"{c}-{b}x+{a}x^2"),
        (r"\left({a},\frac{{{c}}}{{{b}}}\right)", r"({a}, \dfrac{{{c}}}{{{b}}})"),
        (r"[-{a},{b})\cup({b},\infty)", r"\left[-{a},{b}\right) \cup \left({b},\infty\right)"),
    ][kind]

    def wrong() -> str:
        return form.format(a=a + rng.randint(1, 9), b=b + rng.randint(-9, 9), c=c + rng.randint(1, 9))

    return form.format(a=a, b=b, c=c), other.format(a=a, b=b, c=c), wrong


def _completion(rng: random.Random, right: str, wrong: str) -> str:
    answer = right if rng.random() < 0.5 else wrong
    thoughts = [THOUGHT.format(a=rng.randint(1, 99), b=rng.randint(1, 99), c=rng.randint(1, 198)) for _ in range(12)]
    ending = f"The final answer is ${answer}$." if rng.random() < 0.1 else f"So the answer is $\\boxed{{{answer}}}$."
    return "".join(thoughts) + ending


def _math_verify_alone(completions: list[str], golds: list[str]) -> float:
    """Completions a second."""
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    start = time.perf_counter()
    for completion, gold in zip(completions, golds, strict=True):
        verify(parse(f"${gold}$"), parse(completion))
    return len(completions) / (time.perf_counter() - start)
