r"""The final answer of a completion: the boxes at its end, or a sentence that states the answer.

Pure text work, linear in the length of the completion. No text of a policy is evaluated or compiled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agrae_lab.verify.sentences import stated_answer

# Reasons for a missing answer, as the column `rule` records them.
NO_ANSWER = "no answer"
UNCLOSED = "unclosed box"
UNFINISHED = "unfinished thought"

MAX_BOXES = 20  # of one answer
# Hostile text has thousands of either.
MAX_MENTIONS = 20  # of the command \boxed without a content, in prose
MAX_UNCLOSED = 3  # boxes skipped at the end of a solution
MAX_JOINT = 60  # characters between two boxes of one answer
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # \{ and \} are set braces: they close nothing
_BARE = re.compile(r"\\(?:boxed|fbox) +(?![a-zA-Z]{2})([^\s$\\{}]+)")  # \boxed 7; but not \boxed followed by a word
# A full stop or comma, or what is left of a space command; \right. is an invisible bracket, \, a space.
_STOP = re.compile(r"(?<!\\right)(?<!\\)[.,]$|(?<!\\)\\$")
_THOUGHT = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
# The text between two boxes of one answer: a comma, `and`, `or x =`, math delimiters and spaces.
_JOINT = re.compile(
    r"(?:\s|[$,;&*]|\\[,;:!() \[\]]|\\\\|\\q?quad|\\text\s*\{\s*(?:,|and|or|,?\s*and|,?\s*or)?\s*\}|and|or"
    r"|\\(?:land|lor)|(?:\\?[a-zA-Z](?:_\{?[0-9a-zA-Z]\}?)?\s*=))*+"
)


@dataclass(frozen=True)
class Reading:
    """The answer as the completion writes it.

    answer: from the last box or the sentence; None if there is none.
    parts: texts that may be the answer together: the boxes at the end, or the stated answer alone.
    boxed: the answer comes from a box.
    rule: the reason for a missing answer.
    """

    answer: str | None
    parts: tuple[str, ...] = ()
    boxed: bool = False
    rule: str | None = None


def read_answer(completion: str, *, thinking: bool = False) -> Reading:
    """Return the answer of a completion.

    Args:
        thinking: the prompt has opened a thought, so that no text before `</think>` is an answer.
    """
    final = after_thought(completion, thinking=thinking)
    if final is None:
        return Reading(None, rule=UNFINISHED)
    at, content, _ = _last_box(final, len(final))
    if at >= 0:
        if content is None:
            return Reading(None, rule=UNCLOSED)
        answer = _trimmed(content)
        if not answer:
            return Reading(None, rule=NO_ANSWER)
        return Reading(answer, _joined_boxes(final, at, answer), boxed=True)
    stated = stated_answer(final)
    return Reading(None, rule=NO_ANSWER) if stated is None else Reading(stated, (stated,))


def boxed_answer(completion: str, *, thinking: bool = False) -> str | None:
    r"""Return the content of the last \boxed{…} (or \fbox{…}, \boxed 7) after the thought.

    None without a box, or if it is empty or never closed. Outer spaces and a final full stop or comma are dropped.
    """
    final = after_thought(completion, thinking=thinking)
    content = None if final is None else _last_box(final, len(final))[1]
    return None if content is None else _trimmed(content) or None


def last_complete_box(text: str) -> str | None:
    """Return the content of the last closed box anywhere in a text; None if there is none or it is empty.

    For solutions of problem sets and for the official reward, which ignores thoughts.
    """
    end = len(text)
    for _ in range(MAX_UNCLOSED):
        at, content, _ = _last_box(text, len(text), before=end)
        if at < 0:
            return None
        if content is not None:
            return _trimmed(content) or None
        end = at
    return None


def after_thought(completion: str, *, thinking: bool = False) -> str | None:
    """Return the text after the last `</think>`; the whole text without a thought; None if a thought never ends."""
    is_open, start = thinking, 0
    for tag in _THOUGHT.finditer(completion):
        is_open = not tag[1]
        start = tag.end() if tag[1] else start
    return None if is_open else completion[start:]


def _last_box(text: str, end: int, *, before: int | None = None) -> tuple[int, str | None, int]:
    """Return (position, content, position after the box) of the last box before `before`.

    The first is -1 without a box; the content is None if the box is not closed before `end`.
    """
    before = end if before is None else before
    for _ in range(MAX_MENTIONS):
        at = max(text.rfind(r"\boxed", 0, before), text.rfind(r"\fbox", 0, before))
        if at < 0:
            break
        if bare := _BARE.match(text, at, end):
            return at, bare[1], bare.end()
        opening = text.find("{", at, end)
        if opening >= 0 and text[at:opening].strip() in (r"\boxed", r"\fbox"):
            content = _braced(text, opening, end)
            return at, content, end if content is None else opening + len(content) + 2
        before = at  # the command's name alone, in prose
    return -1, None, end


def _braced(text: str, opening: int, end: int) -> str | None:
    """Return the text between a brace and its closing brace; None if it is never closed."""
    depth = 0
    for match in _BRACE.finditer(text, opening, end):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[opening + 1 : match.start()]
    return None


def _trimmed(content: str) -> str:
    return _STOP.sub("", content.strip()).strip()


def _joined_boxes(text: str, at: int, last: str) -> tuple[str, ...]:
    """Return the boxes joined to the one at `at` by commas, `and` and the like, that one included."""
    boxes = [last]
    while len(boxes) < MAX_BOXES:
        earlier, content, closing = _last_box(text, at)
        if earlier < 0 or content is None:
            break
        between = text[closing:at]
        if len(between) > MAX_JOINT or not _JOINT.fullmatch(between):
            break
        boxes.append(_trimmed(content))
        at = earlier
    return tuple(reversed(boxes))
