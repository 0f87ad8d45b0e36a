"""Verdicts per second of processor time of the verifier, against plain math-verify on each completion.

Processor time is that of this process, the verifier's server and its workers. The completions are synthetic: 8 for each
of 256 problems, with MATH's mixture of answers (six in ten are whole numbers), about half of them right, a third of
those in another form than the gold answer, one in ten without a box.
"""

from __future__ import annotations

import logging
import os
import random
import time
from pathlib import Path

from agrae_lab.verify import judge
from agrae_lab.verify.pool import POOL

NUM_PROBLEMS, NUM_GENERATIONS = 256, 8
NUM_BASELINE = 256  # completions that math-verify alone gets; it is slow
QUESTION = "Let $a = {a}$ and $b = {b}$. What is the value of $\\frac{{ax}}{{b}}$ where $x^2 = {c}$?"
THOUGHT = "We set $a = {a}$ and $b = {b}$, so that $a + b = {c}$, and use $\\frac{{a}}{{b}}$ in the next step. "


def main() -> None:
    rng = random.Random(0)
    golds, completions, questions = [], [], []
    for _ in range(NUM_PROBLEMS):
        gold, same, wrong = _answers(rng)
        golds += [gold] * NUM_GENERATIONS
        questions += [_filled(QUESTION, rng)] * NUM_GENERATIONS
        completions += [_completion(rng, rng.choice([gold, gold, same]), wrong()) for _ in range(NUM_GENERATIONS)]
    judge(["\\boxed{x}"], ["y"])  # start the server
    start, used = time.perf_counter(), _processor_seconds()
    outcomes = [judgement.outcome for judgement in judge(completions, golds, questions=questions)]
    ours = len(completions) / (_processor_seconds() - used)
    minute = 60 * len(completions) / (time.perf_counter() - start)
    baseline = _math_verify_alone(completions[:NUM_BASELINE], golds[:NUM_BASELINE])
    POOL.close()
    counts = ", ".join(f"{outcomes.count(o)} {o}" for o in sorted(set(outcomes)))
    print(
        f"verifier: {ours:,.0f} verdicts per processor second, {ours / baseline:.1f} times plain math-verify "
        f"({baseline:,.0f}); {minute:,.0f} completions a minute on {POOL.num_workers} workers ({counts})"
    )


def _processor_seconds() -> float:
    """Return processor seconds of this process, the verifier's server and its workers, ended ones included."""
    own = time.process_time()
    if POOL.pid is None:
        return own
    children = Path(f"/proc/{POOL.pid}/task/{POOL.pid}/children").read_text().split()
    return own + sum(_process_seconds(int(pid)) for pid in (POOL.pid, *children))


def _process_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")  # its own, and its ended children's


def _filled(text: str, rng: random.Random) -> str:
    return text.format(a=rng.randint(1, 99), b=rng.randint(1, 99), c=rng.randint(1, 198))


def _answers(rng: random.Random) -> tuple:
    """Return a gold answer, an equal one in another form, and a function that makes wrong ones."""
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
    thoughts = [_filled(THOUGHT, rng) for _ in range(12)]
    ending = f"The final answer is ${answer}$." if rng.random() < 0.1 else f"So the answer is $\\boxed{{{answer}}}$."
    return "".join(thoughts) + ending


def _math_verify_alone(completions: list[str], golds: list[str]) -> float:
    """Return math-verify's verdicts per second of processor time."""
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    start = time.process_time()
    for completion, gold in zip(completions, golds, strict=True):
        verify(parse(f"${gold}$"), parse(completion))
    return len(completions) / (time.process_time() - start)
