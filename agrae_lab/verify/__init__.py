r"""The verifier of mathematical answers: hostile text in, correct / incorrect / undecided out, and by which rule.

    answers.py, sentences.py    the answer in a completion: boxes, or a sentence
    limits.py                   absurd answers, which are refused
    writing.py                  one writing for texts that differ in typesetting
    questions.py                the question's own expressions
    compare.py                  the rules (named in outcomes.py); shapes.py, numbers.py, units.py and labels.py read
                                what they speak of, and values.py says what numbers are worth
    algebra.py                  what the rules leave open, by math-verify
    server.py, pool.py          the processes around it, with hard limits on time and memory
    official.py                 the authors' text comparison

docs/verifier.md holds the table of decisions.
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
from agrae_lab.verify.server import Question, Reply
from agrae_lab.verify.shapes import shape_of
from agrae_lab.verify.writing import canonical

__all__ = ["Judgement", "judge", "judge_officially"]

MAX_CACHED = 100_000
REFUSED = "refused"
COPIED = "copied"
OFFICIAL = "official"
_cache: dict[Question, Reply] = {}


@dataclass(frozen=True)
class Judgement:
    """`outcome`: correct, incorrect, or, undecided, the reason: timeout, crash or error.

    `answer` is what the completion answers, in one form for texts that differ in typesetting alone; an answer that
    equals the gold answer is written as the gold answer. None: the completion has no answer. `boxed`: it has a box.
    `rule`: what decided (outcomes.py, answers.py and this module name the rules); the outcome again where it is
    undecided.
    """

    outcome: str
    answer: str | None
    boxed: bool
    rule: str

    @property
    def decided(self) -> bool:
        return self.outcome in ("correct", "incorrect")


def judge(
    completions: Sequence[str],
    golds: Sequence[str],
    *,
    questions: Sequence[str] | None = None,
    thinking: bool = False,
) -> list[Judgement]:
    r"""Judge completions against gold answers, in order.

    The answer is the last \boxed{…}, or, where the gold answer is a list or set, the boxes that stand together at the
    end; without a box, what a sentence at the end calls the answer. No answer is incorrect, and so is one that
    `refusal` refuses: a policy must not escape its reward by writing 9^{9^{9^9}}. Undecided is what ran into the limits
    of server.py or raised an error.

    Args:
        questions: the problems' texts; an answer that repeats an expression of its question is incorrect.
        thinking: prompts have opened a thought, so that nothing before `</think>` is an answer.
    """
    asked = questions or [""] * len(golds)
    readings = [read_answer(completion, thinking=thinking) for completion in completions]
    pairs = [_pair(reading, gold) for reading, gold in zip(readings, golds, strict=True)]
    replies = [None if pair is None else _by_rules(*pair, text) for pair, text in zip(pairs, asked, strict=True)]
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
    """Judge as the authors' reward does: see official.py. Never undecided."""
    answer = last_complete_box(completion)
    if answer is None:
        return Judgement("incorrect", None, boxed=False, rule=OFFICIAL)
    if len(answer) > MAX_CHARS:
        return Judgement("incorrect", answer[:SHOWN_CHARS], boxed=True, rule=OFFICIAL)
    outcome = "correct" if is_equal(answer, target) else "incorrect"
    return Judgement(outcome, normalise(answer) or None, boxed=True, rule=OFFICIAL)


def _pair(reading: Reading, gold: str) -> Question | None:
    """Gold answer and answer; several boxes are one answer where a list or set is wanted and each holds one item."""
    if reading.answer is None:
        return None
    if len(reading.parts) < 2 or sum(map(len, reading.parts)) > MAX_CHARS or refusal(gold):
        return gold, reading.answer
    wanted = shape_of(canonical(gold)).kind in ("list", "set")
    single = all(refusal(part) is None and shape_of(canonical(part)).kind != "list" for part in reading.parts)
    return gold, ", ".join(reading.parts) if wanted and single else reading.answer


def _by_rules(gold: str, answer: str, question: str) -> Reply | None:
    """The reply where math-verify needs not be asked; None elsewhere."""
    if answer == gold:
        return "correct", SAME_TEXT
    if refusal(answer) or refusal(gold):
        return "incorrect", REFUSED
    wanted, found = canonical(gold), canonical(answer)
    if wanted == found:
        return "correct", SAME_TEXT
    if question and is_copied(question, wanted, found):
        return "incorrect", COPIED
    try:
        outcome = compare(wanted, found)
    except NeedsAlgebra:
        return None
    return "correct" if outcome.equal else "incorrect", outcome.rule


def _shown(answer: str) -> str:
    return answer[:SHOWN_CHARS] if refusal(answer) else canonical(answer)


def _ask(questions: Sequence[Question]) -> dict[Question, Reply]:
    """Replies from the cache or, for the rest, from the pool."""
    new = [q for q in questions if q not in _cache]
    replies = {q: _cache[q] for q in questions if q in _cache} | dict(zip(new, POOL.ask(new), strict=True))
    _cache.update((q, replies[q]) for q in new)
    for oldest in list(islice(_cache, max(0, len(_cache) - MAX_CACHED))):
        del _cache[oldest]
    return replies
