r"""The verifier of mathematical answers: hostile text in, correct / incorrect / undecided out.

answers.py reads the answer (the last \boxed{…}) and refuses absurd ones; algebra.py asks math-verify; server.py and
pool.py are the processes around it, with hard limits on time and memory; official.py is the authors' text comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from agrae_lab.verify.answers import MAX_CHARS, answer_sentence, boxed_answer, plain, rational, refusal
from agrae_lab.verify.official import is_equal, normalise
from agrae_lab.verify.pool import POOL
from agrae_lab.verify.server import Question, Reply

__all__ = ["Judgement", "judge", "judge_officially"]

MAX_CACHED = 100_000
ROUNDING = 1e-5  # nearer numbers are math-verify's to judge: it rounds decimals to 6 places
SHOWN_CHARS = 80  # of an answer that was refused
_cache: dict[Question, Reply] = {}


@dataclass(frozen=True)
class Judgement:
    """`outcome`: correct, incorrect, or, undecided, the reason: timeout, crash or error.

    `answer` is what the completion answers, in one form for equal texts; an answer that equals the gold answer is
    written as the gold answer. None: the completion has no answer. `boxed`: it has a box.
    """

    outcome: str
    answer: str | None
    boxed: bool

    @property
    def decided(self) -> bool:
        return self.outcome in ("correct", "incorrect")


def judge(completions: Sequence[str], golds: Sequence[str]) -> list[Judgement]:
    r"""Judge completions against gold answers, in order, by math-verify.

    The answer is the last \boxed{…}; without one, what a sentence at the end calls the answer. No answer is
    incorrect, and so is one that `refusal` refuses: a policy must not escape its reward by writing 9^{9^{9^9}}.
    Undecided is what ran into the limits of server.py or raised an error.
    """
    questions = [_question(completion, gold) for completion, gold in zip(completions, golds, strict=True)]
    replies = [None if question is None else _shortcut(*question) for question in questions]
    open_questions = {q for q, reply in zip(questions, replies, strict=True) if q is not None and reply is None}
    known = _ask(sorted(open_questions))
    judgements = []
    for question, reply in zip(questions, replies, strict=True):
        if question is None:
            judgements.append(Judgement("incorrect", None, boxed=False))
            continue
        gold, _, in_sentence = question
        outcome, answer = reply or known[question]
        shown = gold if outcome == "correct" else answer or ""
        judgements.append(Judgement(outcome, normalise(shown) or None, boxed=not in_sentence))
    return judgements


def judge_officially(completion: str, target: str) -> Judgement:
    """Judge as the authors' reward does: see official.py. Never undecided."""
    answer = boxed_answer(completion)
    if answer is None:
        return Judgement("incorrect", None, boxed=False)
    if len(answer) > MAX_CHARS:
        return Judgement("incorrect", answer[:SHOWN_CHARS], boxed=True)
    return Judgement("correct" if is_equal(answer, target) else "incorrect", normalise(answer) or None, boxed=True)


def _question(completion: str, gold: str) -> Question | None:
    answer = boxed_answer(completion)
    if answer is not None:
        return gold, answer, False
    sentence = answer_sentence(completion)
    return None if sentence is None else (gold, sentence, True)


def _shortcut(gold: str, answer: str, in_sentence: bool) -> Reply | None:
    """The reply where nobody needs to be asked; None elsewhere."""
    if in_sentence:
        return ("incorrect", None) if refusal(answer) else None
    if answer == gold:
        return "correct", answer
    if refusal(answer):
        return "incorrect", answer[:SHOWN_CHARS]
    wanted, found = plain(gold), plain(answer)
    if found == wanted:
        return "correct", answer
    if (a := rational(wanted)) is not None and (b := rational(found)) is not None and (a == b or abs(a - b) > ROUNDING):
        return "correct" if a == b else "incorrect", answer
    return None


def _ask(questions: Sequence[Question]) -> dict[Question, Reply]:
    """Replies from the cache or, for the rest, from the pool."""
    new = [q for q in questions if q not in _cache]
    replies = {q: _cache[q] for q in questions if q in _cache} | dict(zip(new, POOL.ask(new), strict=True))
    _cache.update((q, replies[q]) for q in new)
    for oldest in list(islice(_cache, max(0, len(_cache) - MAX_CACHED))):
        del _cache[oldest]
    return replies
