"""The answer of a completion without a box, as a sentence near its end states it.

A bare last number is no answer: a completion cut off in mid-thought would be right by chance. The whole rest of the
sentence is the answer, so that "5 or 4", "5 million" and "5:30" are not read as 5.
"""

from __future__ import annotations

import re

TAIL_CHARS = 4000  # searched for the sentence
MAX_ANCHORS = 10  # from the end

_POWER = re.compile(r"(?<=[0-9a-zA-Z)}\]])( ?)\*\*\1(?=[0-9a-zA-Z({\[\\$-])")  # 2**3 is no bold text
_MARKUP = re.compile(r"\*{2,}+|__|`|^[^\S\n]*#+\s*", re.MULTILINE)
_ANCHOR = re.compile(r"\banswers?\b", re.IGNORECASE)
_CLAIM = re.compile(
    r"(?:\s+(?:to|of|for|in|(?:that\s+)?(?:we|you)(?:\s+(?:are|were)\b)?|here|therefore|then|thus)\b"
    r"[^.:;=\n?!]{0,80}?)?\s*"
    r"(?:(?:\bis\b|\bare\b|equals|(?:would|should|must|will)\s+be|comes\s+out\s+(?:to\s+be|as)|=|:|\.?\s*\n"
    r"|[-–—]{1,2}(?=\s)|(?=[-−–](?:[^\s\-−–a-zA-Z]|[a-zA-Z]\b)))"  # a dash; a minus is part of the answer
    r"\s*(?:therefore|thus|simply|just|indeed|then|clearly|equal to|given by|exactly|as follows)?\s*[:=]?\s*)",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"(?:\b(?:if|whether|suppose|supposing|assume|assuming|unless|imagine)\s+(?:\w+\s+){0,3}"
    r"|\b(?:were|could|can)\s+(?:that\s+)?"
    r"|(?:^|[,;:(]|\b(?:what|which|who|how|so|and|but|or|then)\b)\W*(?:is|was)\s+)"
    r"(?:(?:the|my|your|our|this|that|an?|its?)\s+)?(?:(?:final|correct|right|true)\s+)?$",
    re.IGNORECASE,
)
_DENIAL = re.compile(
    r"\b(?:not|never|no|nor|neither|cannot|wrong|incorrect|false|unlikely|doubt|maybe|perhaps|might|guess|either|except)"
    r"\b|n't\b|n’t\b|\brather than\b|\binstead of\b|\bother than\b",
    re.IGNORECASE,
)
_DOUBT = re.compile(r"\b(?:unlikely|doubt|maybe|perhaps|might|guess|unsure|sure|certain|confident)\b", re.IGNORECASE)
# Clauses that may deny something else: "Since x cannot be 0, the answer …", "the answer is 7 because 8 is wrong".
_PREMISE = re.compile(
    r"^(?:\W*(?:since|because|as)\b.*,|.*[,;]\s*(?:and\s+)?(?:so|thus|hence|therefore)\b)"
    r"(?=\s*(?:the|my|our|this)?\s*(?:final|correct|right|only)?\s*$)",
    re.IGNORECASE,
)
_CAUSE = re.compile(r"[\s,;(]*(?:because|since)\b", re.IGNORECASE)
_TURN = re.compile(
    r"\b(?:but|however|although|though|yet|wait|actually|hmm|scratch|correction|mistake|mistaken|no(?=\s*[,.]))\b",
    re.IGNORECASE,
)
_NO = re.compile(r"\W*(?:text\w*\W*)?(?:no(?:\s+[a-z]{2,20}){0,3}|false|never|neither)\W*", re.IGNORECASE)  # answers
_BULLET = re.compile(r"[-–]\s")  # or a minus
_DISPLAY = re.compile(r"\$\$[^$]{0,500}\$\$|\\\[.{0,500}?\\\]|\\\(.{0,500}?\\\)", re.DOTALL)
_RETRACTED = re.compile(
    r"\b(?:wait|actually|wrong|incorrect|mistake|mistaken|recheck|re-check|error|not\s+(?:right|correct|true)"
    r"|scratch that|correction|no(?=\s*[,!]))\b",
    re.IGNORECASE,
)
_END = re.compile(r"\n|[.?](?=\s|$|[\"')])|(?<=[a-z)$])!(?=\s|$)")
_START = re.compile(r"[.?!]\s|\n")
_REASON = re.compile(
    r"[,;]?\s+(?:because|since|as|which|so|where|when|given|thus|hence|therefore|after|by)\b"
    r"|\s*[,(]\s*(?:i\.e|since|as|and so)\b",
    re.IGNORECASE,
)


def stated_answer(completion: str) -> str | None:
    """Return the answer of the last sentence of the form "the answer is …" or "answer: …".

    None without such a sentence, or if it is conditional, asked, denied anywhere, or taken back later.
    """
    text = _MARKUP.sub(" ", _POWER.sub("^", completion[-TAIL_CHARS:]))
    for anchor in list(_ANCHOR.finditer(text))[: -MAX_ANCHORS - 1 : -1]:
        claim = _CLAIM.match(text, anchor.end())
        if claim is not None:
            return _claimed_answer(text, anchor, claim)
    return None


def _claimed_answer(text: str, anchor: re.Match, claim: re.Match) -> str | None:
    """Return the rest of the sentence after a claim; None if the sentence is conditional, denied or taken back."""
    starts = [m.end() for m in _START.finditer(text, max(0, anchor.start() - 200), anchor.start())]
    before = text[starts[-1] if starts else max(0, anchor.start() - 200) : anchor.start()]
    at = claim.end()
    display = _DISPLAY.match(text, at)
    end = _END.search(text, display.end() if display else at)
    payload, rest = (text[at:], "") if end is None else (text[at : end.start()], text[end.end() :])
    unsure = "" if end is None else end[0] + rest[:2]  # a question, or an ellipsis
    if _CONDITION.search(before) or "?" in unsure[:1] or ".." in unsure or ".." in payload:
        return None
    if "\n" in claim[0] and _BULLET.match(payload):
        return None
    reason = _REASON.search(payload)
    answer, why = (payload[: reason.start()], payload[reason.start() :]) if reason else (payload, "")
    if _is_denied(before, claim[0], answer, why) or _RETRACTED.search(rest):
        return None
    return answer.strip(" \t\"'“”") or None


def _is_denied(before: str, claim: str, answer: str, why: str) -> bool:
    """Return whether a sentence denies or doubts its answer; a premise or a cause may deny other things."""
    if not _DOUBT.search(before):
        before = _PREMISE.sub("", before)
    if _CAUSE.match(why) and not _TURN.search(why) and not _DOUBT.search(why):
        why = ""
    answer = "" if _NO.fullmatch(answer) else answer
    return any(map(_DENIAL.search, (before, claim, answer, why)))
