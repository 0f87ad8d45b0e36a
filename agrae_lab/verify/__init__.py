r"""Verifier of mathematical answers: takes untrusted text; returns a verdict and the name of the rule that gave it.

    answers.py, sentences.py    find the answer in a completion: boxes, or a sentence
    limits.py                   refuses answers that are too heavy to parse
    writing.py                  brings texts that differ in typesetting alone into one canonical form
    questions.py                finds answers copied from the question
    compare.py                  applies the rules (named in outcomes.py), with ranges.py and scalars.py
    shapes.py, numbers.py, units.py, labels.py    read an answer: its kind, numbers, units, words
    values.py, pending.py       compute numbers, and find operations left to carry out
    algebra.py                  asks math-verify where the rules do not decide
    server.py, pool.py          run math-verify in processes with hard limits on time and memory
    official.py                 the authors' text comparison

docs/verifier.md holds the table of decisions. A completion is invalid if the verifier reaches no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from agrae_lab.verify.answers import Reading, last_complete_box, read_answer
from agrae_lab.verify.compare import NeedsAlgebra, compare
from agrae_lab.verify.limits import MAX_CHARS, SHOWN_CHARS, refusal
from agrae_lab.verify.official import is_equal, normalise
from agrae_lab.verify.outcomes import SAME_TEXT
from agrae_lab.verify.pool import POOL
from agrae_lab.verify.questions import is_copied
from agrae_lab.verify.server import Comparison, Reply
from agrae_lab.verify.shapes import shape_of
from agrae_lab.verify.writing import canonical

__all__ = ["Judgement", "judge", "judge_officially"]

MAX_CACHED = 100_000
REFUSED = "refused"
COPIED = "copied"
OFFICIAL = "official"
_cache: dict[Comparison, Reply] = {}


@dataclass(frozen=True)
class Judgement:
    """Verdict on one completion.

    outcome: correct or incorrect; for an invalid completion the cause: timeout, crash or error.
    answer: the answer in canonical form, or the gold answer if they are equal; None if the completion has none.
    boxed: the completion has a box.
    rule: the rule that decided (see outcomes.py, answers.py and this module); the outcome again if invalid.
    """

    outcome: str
    answer: str | None
    boxed: bool
    rule: str

    @property
    def valid(self) -> bool:
        return self.outcome in ("correct", "incorrect")


def judge(
    completions: Sequence[str],
    golds: Sequence[str],
    *,
    questions: Sequence[str] | None = None,
    thinking: bool = False,
) -> list[Judgement]:
    r"""Judge completions against gold answers, in order.

    The answer is the last \boxed{…}. For a gold list or set it is all boxes that stand together at the end. Without a
    box it is the answer that a sentence at the end states. A missing answer is incorrect. So is an answer that
    `refusal` refuses: a policy must not escape its reward by writing 9^{9^{9^9}}. A completion is invalid if its answer
    runs into the limits of server.py or raises an error.

    Args:
        questions: the problems' texts; an answer that repeats an expression of its question is incorrect.
        thinking: the prompts have opened a thought, so that no text before `</think>` is an answer.
    """
    asked = questions or [""] * len(golds)
    readings = [read_answer(completion, thinking=thinking) for completion in completions]
    pairs = [_comparison(reading, gold) for reading, gold in zip(readings, golds, strict=True)]
    replies = [None if pair is None else _reply_by_rules(*pair, text) for pair, text in zip(pairs, asked, strict=True)]
    known = _ask(sorted({pair for pair, reply in zip(pairs, replies, strict=True) if pair and reply is None}))
    judgements = []
    for reading, pair, reply in zip(readings, pairs, replies, strict=True):
        if pair is None:
            judgements.append(Judgement("incorrect", None, boxed=False, rule=reading.rule or ""))
            continue
        outcome, rule = reply or known[pair]
        shown = canonical(pair[0]) if outcome == "correct" else _shown(pair[1])
        judgements.append(Judgement(outcome, shown or None, boxed=reading.boxed, rule=rule))
    return judgements


def judge_officially(completion: str, target: str) -> Judgement:
    """Judge as the authors' reward does (official.py). Every completion is valid."""
    answer = last_complete_box(completion)
    if answer is None:
        return Judgement("incorrect", None, boxed=False, rule=OFFICIAL)
    if len(answer) > MAX_CHARS:
        return Judgement("incorrect", answer[:SHOWN_CHARS], boxed=True, rule=OFFICIAL)
    outcome = "correct" if is_equal(answer, target) else "incorrect"
    return Judgement(outcome, normalise(answer) or None, boxed=True, rule=OFFICIAL)


def _comparison(reading: Reading, gold: str) -> Comparison | None:
    """Return gold answer and answer; several parts with one item each are one answer if the gold answer is a list."""
    if reading.answer is None:
        return None
    if len(reading.parts) < 2 or sum(map(len, reading.parts)) > MAX_CHARS or refusal(gold):
        return gold, reading.answer
    wanted = shape_of(canonical(gold)).kind in ("list", "set")
    single = all(refusal(part) is None and shape_of(canonical(part)).kind != "list" for part in reading.parts)
    return gold, ", ".join(reading.parts) if wanted and single else reading.answer


def _reply_by_rules(gold: str, answer: str, question: str) -> Reply | None:
    """Return the reply of the rules; None if they leave the decision to math-verify."""
    if answer == gold:
        return Reply("correct", SAME_TEXT)
    if refusal(answer) or refusal(gold):
        return Reply("incorrect", REFUSED)
    wanted, found = canonical(gold), canonical(answer)
    if wanted == found:
        return Reply("correct", SAME_TEXT)
    if question and is_copied(question, wanted, found):
        return Reply("incorrect", COPIED)
    try:
        outcome = compare(wanted, found)
    except NeedsAlgebra:
        return None
    return Reply.of(outcome)


def _shown(answer: str) -> str:
    return answer[:SHOWN_CHARS] if refusal(answer) else canonical(answer)


def _ask(comparisons: Sequence[Comparison]) -> dict[Comparison, Reply]:
    """Return replies from the cache, and from the pool for new comparisons."""
    new = [pair for pair in comparisons if pair not in _cache]
    replies = {pair: _cache[pair] for pair in comparisons if pair in _cache}
    replies |= dict(zip(new, POOL.ask(new), strict=True))
    _cache.update((pair, replies[pair]) for pair in new)
    for oldest in list(islice(_cache, max(0, len(_cache) - MAX_CACHED))):
        del _cache[oldest]
    return replies
