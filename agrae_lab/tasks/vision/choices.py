r"""Which choice an answer names. Texts of at most verify.limits.MAX_CHARS characters, and linear in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from agrae_lab.tasks.prompts import LETTERS
from agrae_lab.verify.numbers import read_number
from agrae_lab.verify.official import normalise
from agrae_lab.verify.values import exact, is_plain
from agrae_lab.verify.writing import canonical

# commands that set letters upright or bold and mean nothing
_SET = re.compile(r"\\(?:text(?:bf|rm|it|sf)?|math(?:bf|rm|it|sf)|mbox|boldsymbol)\s*\{([^{}]*)\}")
# B   (B)   [B]   B. 30   B: 30   (B) 30   option B
_NAMED = re.compile(
    r"(?:(?:option|choice|answer)\s+)?(?:[(\[]\s*([a-z])\s*[)\]]|([a-z])(?=[.:)]|\s*$))[.:)]?\s*(.*)",
    flags=re.DOTALL | re.IGNORECASE | re.ASCII,
)


def read_choice(answer: str, choices: Sequence[str] | None) -> str | None:
    r"""The letter of the choice that an answer names, or None.

    As a letter: B, (B), \text{B}, "B.", "B: 30", but not with another choice beside it; as the text of exactly one
    choice; or as a letter in lower case. Without `choices` any letter will do.
    """
    letters = LETTERS if choices is None else LETTERS[: len(choices)]
    forms = dict(zip(letters, map(_form, choices or ()), strict=False))
    match = _NAMED.fullmatch(re.sub("[${}~]", " ", _SET.sub(r"\1", answer)).strip())
    letter, rest = (match[1] or match[2], match[3]) if match else ("", "")
    if letter and letter in letters:
        return letter if not rest or _agrees(rest, letter, forms) else None
    same = [other for other, form in forms.items() if form == _form(answer)]
    if same:
        return same[0] if len(same) == 1 else None
    return letter.upper() if letter and letter.upper() in letters and not rest else None


def _agrees(rest: str, letter: str, forms: dict[str, Fraction | str]) -> bool:
    """Whether what follows a letter is its choice's text, or at least nothing that names another choice."""
    form = _form(rest)
    if form == forms.get(letter):
        return True
    return form not in forms.values() and not any(word in forms for word in re.findall(r"\b[A-Z]\b", rest))


def _form(text: str) -> Fraction | str:
    """What texts of equal choices have in common: their value, or what is left without typesetting."""
    bare = _SET.sub(r"\1", text.replace("$", "").replace("°", "").replace("~", " ")).strip()
    form = canonical(normalise(bare)).casefold()
    tree = read_number(form)
    value = exact(tree) if tree is not None and is_plain(tree) else None
    return form if value is None else value
