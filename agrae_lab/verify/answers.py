r"""Reading the final answer out of a completion: the boxes at its end, or a sentence that states the answer.

Pure text work, linear in the length of the completion: nothing here evaluates or compiles what a policy wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agrae_lab.verify.sentences import stated_answer

# Rules of completions without an answer, as rollouts and samples record them.
NO_ANSWER = "no answer"
UNCLOSED = "unclosed box"
UNFINISHED = "unfinished thought"

MAX_BOXES = 20  # that together are one answer
MAX_PASSED = 3  # open boxes that a solution's reader passes over: hostile text has thousands
MAX_JOINT = 60  # characters between two of them
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # \{ and \} are set braces: they close nothing
_BARE = re.compile(r"\\(?:boxed|fbox) +(?![a-zA-Z]{2})([^\s$\\{}]+)")  # not the command's name in prose
_STOP = re.compile(r"(?<!\\right)[.,]$")  # \right. is an invisible bracket
_THOUGHT = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
# What may stand between two boxes of one answer: a comma, `and`, `or x =`, math delimiters and spaces.
_JOINT = re.compile(
    r"(?:\s|[$,;&*]|\\[,;:!() \[\]]|\\\\|\\q?quad|\\text\s*\{\s*(?:,|and|or|,?\s*and|,?\s*or)?\s*\}|and|or"
    r"|\\(?:land|lor)|(?:\\?[a-zA-Z](?:_\{?[0-9a-zA-Z]\}?)?\s*=))*+"
)


@dataclass(frozen=True)
class Reading:
    """An answer as a completion gives it. `answer`: the last box or the sentence's, None if there is none.

    `parts`: the boxes that together may be the answer. `rule`: why there is no answer.
    """

    answer: str | None
    parts: tuple[str, ...] = ()
    boxed: bool = False
    rule: str | None = None


def read_answer(completion: str, *, thinking: bool = False) -> Reading:
    """Return what a completion answers.

    Args:
        thinking: the prompt has opened a thought, so that nothing before `</think>` is an answer.
    """
    said = after_thought(completion, thinking=thinking)
    if said is None:
        return Reading(None, rule=UNFINISHED)
    at, content = _last_box(said, len(said))
    if at >= 0:
        if content is None:
            return Reading(None, rule=UNCLOSED)
        answer = _trimmed(content)
        if not answer:
            return Reading(None, rule=NO_ANSWER)
        return Reading(answer, _run_of_boxes(said, at, answer), boxed=True)
    stated = stated_answer(said)
    return Reading(stated, rule=NO_ANSWER) if stated is None else Reading(stated, (stated,))


def boxed_answer(completion: str, *, thinking: bool = False) -> str | None:
    r"""Return the content of the last \boxed{…} (or \fbox{…}, \boxed 7) after the thought.

    None if there is none, or if it is empty or never closed. Without spaces around it and without a full stop or comma
    at its end.
    """
    said = after_thought(completion, thinking=thinking)
    content = None if said is None else _last_box(said, len(said))[1]
    return None if content is None else _trimmed(content) or None


def last_complete_box(text: str) -> str | None:
    """Return the content of the last box that is closed, wherever it stands; None if there is none or it is empty.

    That of a solution, and of the official reward, which knows no thoughts.
    """
    end = len(text)
    for _ in range(MAX_PASSED):
        at, content = _last_box(text, len(text), before=end)
        if at < 0:
            return None
        if content is not None:
            return _trimmed(content) or None
        end = at
    return None


def after_thought(completion: str, *, thinking: bool = False) -> str | None:
    """Return what follows the last `</think>`; all where there is no thought; None where a thought has no end."""
    is_open, start = thinking, 0
    for tag in _THOUGHT.finditer(completion):
        is_open = not tag[1]
        start = tag.end() if tag[1] else start
    return None if is_open else completion[start:]


def _last_box(text: str, end: int, *, before: int | None = None) -> tuple[int, str | None]:
    """Return where the last box before `before` begins, or -1, and its content, None if it is open at `end`."""
    before = end if before is None else before
    for _ in range(MAX_BOXES):
        at = max(text.rfind(r"\boxed", 0, before), text.rfind(r"\fbox", 0, before))
        if at < 0:
            return -1, None
        if bare := _BARE.match(text, at, end):
            return at, bare[1]
        opening = text.find("{", at, end)
        if opening >= 0 and text[at:opening].strip() in (r"\boxed", r"\fbox"):
            return at, _braced(text, opening, end)
        before = at  # the command's name alone, in prose
    return -1, None


def _braced(text: str, opening: int, end: int) -> str | None:
    """Return the text between a brace and the one that closes it; None if none does."""
    depth = 0
    for match in _BRACE.finditer(text, opening, end):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[opening + 1 : match.start()]
    return None


def _trimmed(content: str) -> str:
    return _STOP.sub("", content.strip()).strip()


def _run_of_boxes(text: str, at: int, last: str) -> tuple[str, ...]:
    """The boxes that lead up to the one at `at` with nothing but `and` and the like between them."""
    parts = [last]
    while len(parts) < MAX_BOXES:
        earlier, content = _last_box(text, at)
        if earlier < 0 or content is None:
            break
        closing = text.index(content, earlier) + len(content)
        between = text[closing:at].removeprefix("}")
        if len(between) > MAX_JOINT or not _JOINT.fullmatch(between):
            break
        parts.append(_trimmed(content))
        at = earlier
    return tuple(reversed(parts))
