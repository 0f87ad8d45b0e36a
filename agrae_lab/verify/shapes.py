r"""Shape of an answer: list, set, tuple, interval, matrix, equation, inequality, ratio, words or scalar.

Texts are canonical (writing.py). The items of a shape are texts again, with shapes of their own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from agrae_lab.verify.brackets import outer_spans

MAX_ITEMS = 60
_NEAR = 3  # places in the alphabet; names that lie so near have an order
_DEPTH = re.compile(
    r"\\begin\{[a-z]*\*?\}(?:\{[clr|]*\})?|\\end\{[a-z]*\*?\}|\\[{}]|\\langle(?![a-zA-Z])|\\rangle(?![a-zA-Z])|[(){}\[\]]"
)
_OPEN = ("(", "[", "{", r"\{", r"\langle")
_JOINT = (
    r"\\text\{[,;\s]*(?:and|or|AND|OR|&)[,;\s]*\}|(?<![a-zA-Z\\])(?:and|or|AND|OR)(?![a-zA-Z])"
    r"|\\(?:land|lor|wedge|vee)(?![a-zA-Z])"
)
_SEPARATOR = re.compile(rf"\s*(?:[,;]\s*(?:{_JOINT})?|{_JOINT})\s*")
_COMMA = re.compile(r"\s*[,;]\s*")
_UNION = re.compile(r"\\cup(?![a-zA-Z])|\\text\{U\}|(?<=[)\]])U(?=[(\[])")
_EQUALS = re.compile(r"(?<![<>!:])=|\\approx(?![a-zA-Z])|\\simeq(?![a-zA-Z])|\\equiv(?![a-zA-Z])")
_RELATION = re.compile(r"\\le(?![a-zA-Z])|\\ge(?![a-zA-Z])|\\ne(?![a-zA-Z])|<|>")
_IN = re.compile(r"\\in(?![a-zA-Z])")
_MATRIX = re.compile(r"\\begin\{([bpvVB]?matrix|array|smallmatrix)\}(?:\{[clr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
_REVERSED = re.compile(r"([\[\](])([^\[\]()]*,[^\[\]()]*)([\[\])])")
_WORDS = re.compile(r"(?:\\text\{[^{}]*\}|[a-zA-Z]{2,}+|[\s\-'.])++")  # possessive: linear on hostile text
_TEXT_LIST = re.compile(r"\\text\{([^{}]*)\}")
_NAME = re.compile(r"-?\\?[a-zA-Z]+(?:_\{?[a-zA-Z0-9]+\}?)?'*(?:\([^()=<>]*\))?")


@dataclass(frozen=True)
class Shape:
    r"""Kind and items of an answer.

    kind: list, set, tuple, interval, union, inequality, matrix, equation, ratio, words, scalar or empty.
    items: the members of a collection, the ends of an interval, the entries of a matrix row by row, the sides of an
        equation, or the text of words and a scalar.
    mark: the brackets of an interval or tuple, the size of a matrix, the signs of an inequality, `or` for a list
        joined by it.
    """

    kind: str
    items: tuple[str, ...]
    mark: str = ""


@functools.lru_cache(maxsize=8192)
def shape_of(text: str) -> Shape:
    """Return the shape of a canonical text."""
    text = _with_usual_brackets(text)
    if text == r"\emptyset":
        return Shape("empty", ())
    if text == r"\mathbb{R}":
        return Shape("interval", (r"-\infty", r"\infty"), "()")
    text = _flattened(text)
    parts, joints = _split(text, _SEPARATOR)
    if len(parts) > 1:
        kind = "or" if any("or" in joint.lower() for joint in joints) else ""
        return Shape("list", tuple(item for part in parts for item in plus_minus(part)), kind)
    for reader in (_union, _bracketed, _matrix, _relation, _equation, _ratio):
        if (shape := reader(text)) is not None:
            return shape
    if len(both := plus_minus(text)) > 1:
        return Shape("list", both)
    if _WORDS.fullmatch(text) and not is_product(text):
        return Shape("words", (text,))
    return Shape("scalar", (text,))


def split_top(text: str, separator: re.Pattern) -> list[str]:
    """Return the parts between separators that no bracket encloses."""
    return _split(text, separator)[0]


def _split(text: str, separator: re.Pattern) -> tuple[list[str], list[str]]:
    """Return the parts between outer separators, and these separators."""
    spans = outer_spans(text, _DEPTH, _OPEN)
    parts, joints, start = [], [], 0
    for match in separator.finditer(text):
        if not _is_outside(spans, match):
            continue
        parts.append(text[start : match.start()])
        joints.append(match[0])
        start = match.end()
    parts.append(text[start:])
    stripped = [part.strip() for part in parts]
    return [part for part in stripped if part] or [""], joints


def _is_outside(spans: Sequence[tuple[int, int]], match: re.Match) -> bool:
    r"""Return whether a separator begins outside of brackets; \text{ and } has braces of its own."""
    return any(a <= match.start() <= b and (match.start() < b or match[0].startswith("\\")) for a, b in spans)


def _with_usual_brackets(text: str) -> str:
    """Return a text with reversed brackets, such as ]0,1[, as (0,1)."""

    def changed(match: re.Match) -> str:
        first, middle, last = match.groups()
        if first != "]" and last != "[":
            return match[0]
        return ("(" if first == "]" else first) + middle + (")" if last == "[" else last)

    return _REVERSED.sub(changed, text) if text.startswith("]") or text.endswith("[") else text


def _flattened(text: str) -> str:
    r"""Return \text{A, B} as \text{A},\text{B}: a text that is a list of short items becomes a list of texts."""
    match = _TEXT_LIST.fullmatch(text)
    if not match:
        return text
    items = [item.strip() for item in re.split(r",\s*(?:and|or)\s|[,;]|\s(?:and|or)\s", match[1])]
    if len(items) < 2 or not all(items) or any(len(item.split()) > 2 for item in items):
        return text
    return ",".join(rf"\text{{{item}}}" if not re.fullmatch(r"-?[0-9./]+", item) else item for item in items)


def plus_minus(text: str) -> tuple[str, ...]:
    r"""Return the two values of 1\pm\sqrt{2}; any other text alone."""
    if r"\pm" not in text and r"\mp" not in text:
        return (text,)
    upper = re.sub(r"\\pm(?![a-zA-Z])\s*", "+", re.sub(r"\\mp(?![a-zA-Z])\s*", "-", text))
    lower = re.sub(r"\\pm(?![a-zA-Z])\s*", "-", re.sub(r"\\mp(?![a-zA-Z])\s*", "+", text))
    return tuple(re.sub(r"(^|[=({])\+", r"\1", each) for each in (upper, lower))


def _union(text: str) -> Shape | None:
    parts = split_top(text, _UNION)
    return Shape("union", tuple(parts)) if len(parts) > 1 else None


def enclosed(text: str) -> tuple[str, str, str] | None:
    """Return opening bracket, content and closing bracket if one pair encloses the whole text; None if not."""
    match = _DEPTH.match(text)
    if not match or match[0] not in _OPEN:
        return None
    depth = 0
    for token in _DEPTH.finditer(text):
        depth += 1 if token[0] in _OPEN or token[0].startswith(r"\begin") else -1
        if depth == 0:
            inner = text[match.end() : token.start()].strip()
            return (match[0], inner, token[0]) if token.end() == len(text) else None
    return None


def _bracketed(text: str) -> Shape | None:
    found = enclosed(text)
    if found is None:
        return None
    first, inner, last = found
    if (first, last) == (r"\{", r"\}"):
        return _set(inner)
    if (first, last) == ("{", "}"):
        return shape_of(inner)
    items = split_top(inner, _COMMA)
    if len(items) == 1:
        return shape_of(inner) if (first, last) in (("(", ")"), ("[", "]")) and inner else None
    if len(items) == 2 and (first + last in ("[]", "[)", "(]") or any(r"\infty" in item for item in items)):
        return Shape("interval", tuple(items), first + last)
    if first + last == "()" or first == r"\langle":
        return Shape("tuple", tuple(items), "()")
    return Shape("tuple", tuple(items), first + last)


def _set(inner: str) -> Shape:
    r"""Return the shape of a set's content: 1,2 or x|x>1."""
    if not inner:
        return Shape("empty", ())
    built = re.match(r"([a-zA-Z](?:\\in\s*\\mathbb\{R\})?)\s*[|:]\s*(.*)", inner)
    if built:
        shape = shape_of(built[2])
        return shape if shape.kind in ("inequality", "list") else Shape("scalar", (rf"\{{{inner}\}}",))
    items = [item for part in split_top(inner, _SEPARATOR) for item in plus_minus(part)]
    return Shape("set", tuple(items))


def _matrix(text: str) -> Shape | None:
    match = _MATRIX.fullmatch(text)
    if not match or r"\end{" in match[2]:  # two matrices
        return None
    rows = [row for row in match[2].split(r"\\") if row.strip()]
    entries = [[entry.strip() for entry in row.split("&")] for row in rows]
    if not entries or len({len(row) for row in entries}) > 1:
        return None
    kind = "v" if match[1][0] in "vV" else ""  # a determinant is no matrix
    return Shape("matrix", tuple(e for row in entries for e in row), f"{kind}{len(entries)}x{len(entries[0])}")


def _relation(text: str) -> Shape | None:
    parts = split_top(text, _RELATION)
    if len(parts) > 1:
        signs = [m[0] for m in _RELATION.finditer(text)]
        if len(signs) == len(parts) - 1:
            return Shape("inequality", tuple(parts), " ".join(signs))
        return Shape("scalar", (text,))
    parts = split_top(text, _IN)
    if len(parts) == 2 and (_NAME.fullmatch(parts[0]) or are_names(parts[0])):
        inner = shape_of(parts[1])
        return inner if inner.kind in ("interval", "union", "set", "tuple") else Shape("scalar", (parts[1],))
    return None


def _equation(text: str) -> Shape | None:
    parts = split_top(text, _EQUALS)
    return Shape("equation", tuple(parts)) if len(parts) > 1 else None


def _ratio(text: str) -> Shape | None:
    """Return the shape of a ratio 3:2; compare.py recognises times such as 5:30 before."""
    parts = split_top(text, re.compile(":"))
    return Shape("ratio", tuple(parts)) if len(parts) > 1 and text.count(":") == len(parts) - 1 else None


def is_product(text: str) -> bool:
    """Return whether letters side by side are a product (xy, pqr, ab), not a word (on, no, even, CD)."""
    if not re.fullmatch(r"[a-z]{2,3}", text):
        return False
    vowels = sum(char in "aeiou" for char in text)
    return vowels == 0 or (text[0] == "a" and vowels == 1 and len(text) == 2) or (text[1:] == "a" and vowels == 1)


def is_name(text: str) -> bool:
    r"""Return whether a side of an equation is a name: x, f(2), x_1, \theta, AB; \pi is a number."""
    return bool(_NAME.fullmatch(text)) and text not in (r"\pi", r"-\pi")


def is_collection(text: str) -> bool:
    """Return whether a text is a tuple, set or matrix."""
    return shape_of(text).kind in ("tuple", "set", "matrix")


def are_names(text: str) -> bool:
    """Return whether a text is a tuple, set or matrix of names in their usual order: (x,y) or (m,b), not (y,x)."""
    names = shape_of(text).items
    if not is_collection(text) or len(set(names)) < len(names) or not all(is_name(n) and n[0] != "-" for n in names):
        return False
    letters = [name for name in names if len(name) == 1]
    return letters == sorted(letters) or ord(max(letters)) - ord(min(letters)) > _NEAR
