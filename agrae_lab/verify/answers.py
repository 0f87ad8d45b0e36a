"""Reading the final answer out of a completion, and refusing forms that no computer algebra should be asked about.

Pure text work, linear in the length of the completion: nothing here evaluates or compiles what a policy wrote.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

MAX_CHARS = 500  # the longest gold answer of MATH, Minerva and OlympiadBench has 210
MAX_DEPTH = 20  # brackets within brackets; the deepest gold answer has 4
MAX_DIGITS = 20_000  # of a power or factorial written out; 2^{4950}, a gold answer of MATH, has 1,491
MAX_BOXES = 3  # tried from the end: a box that is never closed is passed over, hostile text has thousands
MAX_RATIONAL = 100  # characters
TAIL_CHARS = 400  # where an answer without a box is looked for

_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)  # \{ and \} are set braces: they close nothing
_BARE = re.compile(r"\\(?:boxed|fbox) +([^\s$\\{}]+)")
_STOP = re.compile(r"(?<!\\right)[.,]$")  # \right. is an invisible bracket
_TYPESETTING = re.compile(r"\\(?:left|right|[,; ])(?![a-zA-Z])")
_FRAC = re.compile(r"\\[dt]frac")
# Not those of 1 2 and \pi r, nor of 15, 600, which are two numbers where 15,600 is one.
_SPACES = re.compile(r"(?<![a-zA-Z0-9.,])\s+|(?<=,)\s+(?![0-9]{3}(?![0-9]))|\s+(?![a-zA-Z0-9.])")
_RATIONAL = re.compile(
    r"(?P<sign>-?)(?:(?P<decimal>[0-9]+(?:\.[0-9]+)?)"
    r"|(?P<above>[0-9]+)/(?P<below>[0-9]+)|\\frac\{(?P<top>[0-9]+)\}\{(?P<bottom>[0-9]+)\})"
)
_TOWER = re.compile(r"\d+(?:\s*(?:\^|\*\*)\s*[-+]?\s*\d+)+")
_FACTORIAL = re.compile(r"(\d+)\s*!")
_THRICE = re.compile(r"(?:![\s)]*){3}")  # the factorial of a factorial of a factorial
_ANSWER = re.compile("answer", re.IGNORECASE)


def boxed_answer(completion: str) -> str | None:
    r"""The content of the last complete \boxed{…} (or \fbox{…}, \boxed 7); None if there is none or it is empty.

    Without spaces around it and without a full stop or comma at its end.
    """
    end = len(completion)
    for _ in range(MAX_BOXES):
        at = max(completion.rfind(r"\boxed", 0, end), completion.rfind(r"\fbox", 0, end))
        if at < 0:
            return None
        content = _braced(completion, at)
        if content is not None:
            return _STOP.sub("", content.strip()).strip() or None
        end = at
    return None


def _braced(text: str, at: int) -> str | None:
    """What stands between the brace that follows the command at `at` and the brace that closes it, or the bare word."""
    if bare := _BARE.match(text, at):
        return bare[1]
    opening = text.find("{", at)
    if opening < 0 or text[at:opening].strip() not in (r"\boxed", r"\fbox"):
        return None
    depth = 0
    for match in _BRACE.finditer(text, opening):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth == 0:
            return text[opening + 1 : match.start()]
    return None


def answer_sentence(completion: str) -> str | None:
    """The end of a completion without a box, if it speaks of an answer ("the answer is 7"); else None.

    A bare last number is no answer: a completion cut off in mid-thought would be right by chance.
    """
    tail = completion[-TAIL_CHARS:]
    return tail if _ANSWER.search(tail) else None


def plain(answer: str) -> str:
    r"""An answer without what is mere typesetting: \left, \right, thin spaces, \dfrac, spaces around operators."""
    return _SPACES.sub("", _FRAC.sub(r"\\frac", _TYPESETTING.sub(" ", answer.replace(r"\!", "")))).strip()


def rational(answer: str) -> Fraction | None:
    r"""The value of a whole number, a decimal, a/b or \frac{a}{b} written in digits alone; None for all else."""
    if len(answer) > MAX_RATIONAL or not (match := _RATIONAL.fullmatch(answer)):
        return None
    sign, above, below = -1 if match["sign"] else 1, match["above"] or match["top"], match["below"] or match["bottom"]
    if below is not None:
        return None if int(below) == 0 else Fraction(sign * int(above), int(below))
    return sign * Fraction(match["decimal"])


def refusal(answer: str) -> str | None:
    """Why an answer is not worth the risk of parsing it, in words; None if it may be parsed.

    The hard limits on time and memory hold all the same. This only spares them what is plainly absurd.
    """
    if len(answer) > MAX_CHARS:
        return f"longer than {MAX_CHARS} characters"
    if _depth(answer) > MAX_DEPTH:
        return f"more than {MAX_DEPTH} brackets deep"
    if _num_digits(answer) > MAX_DIGITS:
        return f"a number of more than {MAX_DIGITS} digits"
    return None


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth -= 1
    return deepest


def _num_digits(answer: str) -> float:
    """Digits of the largest power or factorial of whole numbers in an answer; inf beyond all bounds."""
    flat = re.sub(r"[{}(\[]|\\left|\\cdot", " ", answer)  # 9^{9^{9}} reads 9^ 9^ 9; (2^3)^4 stays two powers
    towers = [[int(n) for n in re.findall(r"\d+", tower)] for tower in _TOWER.findall(flat)]
    factorials = [int(n) * math.log10(int(n) + 1) for n in _FACTORIAL.findall(flat)]  # n! < n^n
    if _THRICE.search(flat):
        return math.inf
    return max([0.0, *map(_tower_digits, towers), *factorials])


def _tower_digits(numbers: list[int]) -> float:
    """Digits of a^(b^(c…))."""
    exponent = 1
    for number in reversed(numbers[1:]):
        if exponent * math.log10(max(number, 1)) > 9:
            return math.inf
        exponent = number**exponent
    return exponent * math.log10(max(numbers[0], 1))
