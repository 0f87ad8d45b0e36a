"""Verdicts of math-verify through the pool, and limits on hostile answers."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agrae_lab.verify import judge, judge_officially, pool
from agrae_lab.verify.pool import Pool
from sweeps.execution.failures import TRANSIENT, classify

LONG = r"\binom{10^9+1}{500000000}"  # which sympy would work at for days
UNDECIDED = {"timeout", "crash", "error"}


def outcome(answer, gold):
    (judgement,) = judge([rf"Thus \boxed{{{answer}}}."], [gold])
    return judgement.outcome


@pytest.fixture(scope="module")
def impatient():
    """A pool of one worker that gives each answer half a second."""
    made = Pool(cpu_seconds=0.5, num_workers=1)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("7", "7"),
        ("07", "7"),
        ("7.0", "7"),
        ("1,234", "1234"),
        (r"\frac12", r"\frac{1}{2}"),
        ("1/2", r"\frac{1}{2}"),
        ("0.5", r"\frac{1}{2}"),
        (r"\sqrt{8}", r"2\sqrt{2}"),
        ("x=5", "5"),
        (r"(x-1)(x+1)", "x^2-1"),
        (r"\left[0,1\right)", "[0,1)"),
        ("2, 1", "1,2"),
        (r"\text{Friday}", r"\text{friday}"),
        ("44", r"44\%"),
        (r"44\%", r"44\%"),
        (r"44 \%", r"44\%"),
        ("44%", r"44\%"),
        (r"\frac{11}{25}", r"44\%"),
        (r"\$7.50", "7.50"),
        (r"05\!:\!00", "05:00"),
        ("\n\\frac{1}{2}\n", r"\frac{1}{2}"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    ],
)
def test_equal_answers(answer, gold):
    assert outcome(answer, gold) == "correct"


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("8", "7"),
        ("0.51", r"\frac{1}{2}"),
        ("x^2+1", "x^2-1"),
        ("(0,1)", "[0,1]"),
        ("1,2,3", "1,2"),
        (r"\text{Monday}", r"\text{Friday}"),
        ("45", r"44\%"),
        (r"\begin{pmatrix}2\\1\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        (r"\sqrt{x^2}+1", "x"),
        ("the whole of it", "7"),
    ],
)
def test_other_answers(answer, gold):
    assert outcome(answer, gold) == "incorrect"


def test_without_a_box_a_sentence_counts_and_a_number_does_not():
    texts = ["The answer is 7.", "the final answer is $7.0$. I hope", "So it is 7", "the answer is 8", ""]
    assert [j.outcome for j in judge(texts, ["7"] * 5)] == ["correct", "correct", "incorrect", "incorrect", "incorrect"]
    assert [j.boxed for j in judge([texts[0], r"\boxed{7}"], ["7", "7"])] == [False, True]


def test_equal_answers_are_equal_text():
    """For votes: what equals the gold answer is written as it, other answers in their normal form."""
    boxes = [r"\boxed{0.5}", r"\boxed{\dfrac12}", r"\boxed{ 1/3}", r"\boxed{\frac{1}{3}}", "none"]
    answers = [j.answer for j in judge(boxes, [r"\frac{1}{2}"] * 5)]
    assert answers == [r"\frac{1}{2}"] * 2 + [r"\frac{1}{3}"] * 2 + [None]


def test_a_refused_answer_is_wrong_and_valid():
    (judgement,) = judge([r"\boxed{9^{9^{9^{9}}}}"], ["7"])
    assert judgement.outcome == "incorrect"
    assert outcome("2^{2^{40}}", "2^{2^{40}}") == "correct"  # the gold answer itself is never refused


def test_the_official_mode_compares_with_the_target():
    assert judge_officially(r"\boxed{\dfrac{1}{2}}", r"\frac{1}{2}").outcome == "correct"
    assert judge_officially(r"\boxed{0.5}", r"\frac{1}{2}").outcome == "incorrect"
    assert judge_officially("the answer is 7", "7").outcome == "incorrect"
    assert judge_officially(r"\boxed{" + "7" * 100_000 + "}", "7").outcome == "incorrect"


def test_math_verify_stays_out_of_this_process():
    outcome("x", "y")
    assert "math_verify" not in sys.modules


def test_an_endless_answer_is_invalid_and_the_others_are_not(impatient):
    questions = [("2x", "x+x"), ("2x", LONG), ("x", "y"), ("x^2", LONG + "x")]
    outcomes = [reply[0] for reply in impatient.ask(questions)]
    assert outcomes == ["correct", "timeout", "incorrect", "timeout"]


def test_more_memory_than_there_is_ends_an_answer_and_nothing_else(impatient):
    server = impatient.pid
    (reply,) = impatient.ask([("x", "2^{2^{36}}")])  # eight gigabytes written out
    assert reply[0] in {"incorrect", *UNDECIDED}
    assert impatient.ask([("7", "7.0")])[0][0] == "correct"
    assert impatient.pid == server


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(condition):
    while not (found := condition()):
        time.sleep(0.01)
    return found


@pytest.mark.parametrize(("kills", "cpu_seconds", "last"), [(1, 1.0, "timeout"), (2, 600, "crash")])
def test_the_answer_of_a_worker_that_was_killed_is_asked_once_more(kills, cpu_seconds, last):
    """The first kill leaves the verdicts what they are without it; the second may be the answer's own fault."""
    pool = Pool(cpu_seconds=cpu_seconds, num_workers=1)
    replies, seen = [], set()
    questions = [("2x", "x+x"), ("2x", LONG)]  # the last one of a gold answer is given out first
    asking = threading.Thread(target=lambda: replies.extend(pool.ask(questions)))
    asking.start()
    for _ in range(kills):
        worker = wait_for(lambda: pool.pid and next(iter({*children(pool.pid)} - seen), None))
        seen.add(worker)
        os.kill(worker, signal.SIGKILL)
    asking.join()
    pool.close()
    assert [reply[0] for reply in replies] == ["correct", last]


def test_workers_that_are_killed_while_they_wait_see_no_question():
    pool = Pool(cpu_seconds=600, num_workers=2)
    assert [reply[0] for reply in pool.ask([("2x", "x+x"), ("3y", "y+y+y")])] == ["correct", "correct"]
    for worker in children(pool.pid):
        os.kill(worker, signal.SIGKILL)
    time.sleep(0.2)
    assert [reply[0] for reply in pool.ask([("2x", "x+x")])] == ["correct"]
    assert len(children(pool.pid)) == 1  # the dead are reaped
    pool.close()


def test_a_verifier_that_is_killed_again_and_again_is_a_transient_failure():
    pool, told = Pool(cpu_seconds=600, num_workers=1), []

    def ask():
        try:
            pool.ask([("2x", LONG)])
        except ConnectionError as error:
            told.append(f"{type(error).__name__}: {error}")

    asking = threading.Thread(target=ask)
    asking.start()
    first = wait_for(lambda: pool.pid)
    os.kill(first, signal.SIGKILL)
    os.kill(wait_for(lambda: pool.pid not in (None, first) and pool.pid), signal.SIGKILL)
    asking.join()
    assert told == [
        "ConnectionError: the verifier's process has died twice: killed from outside, or for lack of memory"
    ]
    assert classify(1, told[0], "failed") in TRANSIENT


def test_a_server_that_is_killed_is_started_anew(impatient):
    assert impatient.ask([("x", "y")])[0][0] == "incorrect"
    first = impatient.pid
    os.kill(first, signal.SIGKILL)
    assert impatient.ask([("2x", "x+x")])[0][0] == "correct"
    assert impatient.pid != first


ASK_AND_HANG = f"""
import threading
from agrae_lab.verify.pool import Pool
pool = Pool(cpu_seconds=600, num_workers=1)
pool.ask([("x", "y")])
print(pool.pid, flush=True)
pool.ask([("x", r"{LONG}")])
"""


def test_a_client_that_is_killed_takes_server_and_workers_along():
    client = subprocess.Popen([sys.executable, "-c", ASK_AND_HANG], stdout=subprocess.PIPE, text=True)
    server = int(client.stdout.readline())
    (worker,) = wait_for(lambda: children(server))
    client.kill()
    client.communicate()
    wait_for(lambda: not Path(f"/proc/{server}").exists() and not Path(f"/proc/{worker}").exists())


ASK_AND_FORK = """
import os
from agrae_lab.verify import judge, pool
def ask():
    me = str(os.getpid())  # a question that is in no cache
    return "+".join(j.outcome for j in judge([r"\\boxed{x+x}", r"\\boxed{x+%s}" % me], ["2x", f"{me}+x"]))
first = ask(), pool.POOL.pid
child = os.fork()
if child == 0:
    os._exit(0 if ask() == "correct+correct" and pool.POOL.pid != first[1] else 1)
status = os.waitpid(child, 0)[1]
print(first[0], status, ask(), pool.POOL.pid == first[1])
"""


def test_a_forked_process_has_a_server_of_its_own():
    result = subprocess.run([sys.executable, "-c", ASK_AND_FORK], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["correct+correct", "0", "correct+correct", "True"]
    assert result.stderr == ""


def test_threads_may_ask_at_the_same_time():
    answers = {}

    def ask(number):
        golds = [f"x+{i}" for i in range(number, number + 20)]
        answers[number] = [j.outcome for j in judge([rf"\boxed{{{g[2:]}+x}}" for g in golds], golds)]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(0, 80, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: ["correct"] * 20 for n in range(0, 80, 20)}


def test_a_question_is_asked_once(monkeypatch):
    asked = []
    real = pool.POOL.ask
    monkeypatch.setattr(pool.POOL, "ask", lambda questions: asked.extend(questions) or real(questions))
    for _ in range(2):
        judge([r"\boxed{q+1}", r"\boxed{1+q}", r"\boxed{1+q}", r"\boxed{3}"], ["1+q"] * 3 + ["4"])
    assert asked == [("1+q", "q+1")]


# Separated by spaces, so that a fragment holds none; CANARY is the path of a file that must not come to be.
FRAGMENT_TEXT = r"""
0 7 -1 3.14 10^{9} 9**9**9 9^{9^9} 99999! x y_1 \pi \infty e i \% % \frac \sqrt \binom \log \sin \int_0^1 \det \gcd
\sum_{n=1}^{\infty} \lim_{x\to0} \text{and} \begin{pmatrix} \end{pmatrix} \left( \right) \{ \} { } ( ) [ ] | & \\ \
^ _ + - * / = < \le \in \cup , ; . ! ' " $ ９ ² ∞ 𝟗 é 😀 \boxed{ answer is CANARY
__import__('os').system('touch\x20CANARY') $(touch${IFS}CANARY) `touch${IFS}CANARY` ;touch${IFS}CANARY; |tee${IFS}CANARY
open('CANARY','w').close() exec("open('CANARY','w')") lambda:open('CANARY','w') {{7*7}} %s%n ../.. 1;import\x20os
\input{CANARY} \write18{touch${IFS}CANARY} ().__class__.__bases__[0].__subclasses__() <script>
"""
BLANKS = [" ", "\n", "\t", "\x00", "\u202e", "\ud800", "import os; os.system('touch CANARY')", "; touch CANARY ;"]
FRAGMENTS = [*FRAGMENT_TEXT.split(), *BLANKS]


def hostile_texts(seed, number, canary):
    """Strings of every kind: soup of fragments, deep nesting, long repetitions; in a box, a sentence, or bare."""
    rng = random.Random(seed)
    for _ in range(number):
        kind = rng.random()
        if kind < 0.7:
            text = "".join(rng.choices(FRAGMENTS, k=rng.randint(1, 14)))
        elif kind < 0.85:
            text = rng.choice(FRAGMENTS) * rng.randint(2, 60) + rng.choice(FRAGMENTS)
        elif kind < 0.95:
            opening, closing = rng.choice([(r"\frac{1}{", "}"), (r"\sqrt{", "}"), ("(", ")"), ("{", "}"), ("x^{", "}")])
            depth = rng.choice([3, 10, 18, 100, 3000])
            text = opening * depth + rng.choice(FRAGMENTS) + closing * depth
        else:
            text = "".join(chr(rng.choice([rng.randint(0, 127), rng.randint(0, 0x10FFFF)])) for _ in range(40))
        text = text.replace("CANARY", str(canary))
        yield rng.choice([rf"\boxed{{{text}}}", rf"\boxed{{{text}}}", f"the final answer is ${text}$.", text])


def survive(number, seed, canary):
    """Judge so many hostile texts and check that the verifier is none the worse; returns the outcomes' counts."""
    gold, texts = "7919", list(hostile_texts(seed, number, canary))
    judgements = judge(texts, [gold] * number)
    counts = {name: sum(j.outcome == name for j in judgements) for name in ("correct", "incorrect", *UNDECIDED)}
    assert sum(counts.values()) == number, "every text has one of the outcomes"
    assert counts["correct"] == 0
    assert counts["incorrect"] > 0.9 * number
    assert not canary.exists(), "something was executed"
    assert outcome(f"x+{number}", f"{number}+x") == "correct", "the verifier lives"
    return counts


def test_hostile_texts_hang_crash_and_execute_nothing(tmp_path, impatient, monkeypatch):
    monkeypatch.setattr("agrae_lab.verify.POOL", impatient)
    server = impatient.pid
    survive(400, seed=0, canary=tmp_path / "canary")
    assert impatient.pid == server


@pytest.mark.slow
def test_ten_thousand_hostile_texts(tmp_path):
    print(survive(10_000, seed=1, canary=tmp_path / "canary"))


def test_training_processes_share_the_machines_processors(monkeypatch):
    alone = Pool().num_workers
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert Pool().num_workers == max(1, alone // 2)
