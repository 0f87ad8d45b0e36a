r"""Answers to multiple-choice questions. Linear in the text, which has at most verify.limits.MAX_CHARS characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from agrae_lab.tasks.prompts import LETTERS
from agrae_lab.verify.numbers import read_number
from agrae_lab.verify.official import normalise
from agrae_lab.verify.pending import is_plain
from agrae_lab.verify.values import exact
from agrae_lab.verify.writing import canonical

# commands that set letters upright or bold, without meaning
_FONT = re.compile(r"\\(?:text(?:bf|rm|it|sf)?|math(?:bf|rm|it|sf)|mbox|boldsymbol)\s*\{([^{}]*)\}")
# B   (B)   [B]   B. 30   B: 30   (B) 30   option B
_NAMED = re.compile(
    r"(?:(?:option|choice|answer)\s+)?(?:[(\[]\s*([a-z])\s*[)\]]|([a-z])(?=[.:)]|\s*$))[.:)]?\s*(.*)",
    flags=re.DOTALL | re.IGNORECASE | re.ASCII,
)


def read_choice(answer: str, choices: Sequence[str] | None) -> str | None:
    r"""Return the letter of the choice that an answer names, or None.

    An answer names a choice by its letter (B, (B), \text{B}, "B.", "B: 30") without another choice beside it, by the
    text of exactly one choice, or by its letter in lower case. Without `choices` any letter in upper case counts.
    """
    letters = LETTERS if choices is None else LETTERS[: len(choices)]
    forms = dict(zip(letters, map(_form, choices or ()), strict=False))
    match = _NAMED.fullmatch(re.sub("[${}~]", " ", _FONT.sub(r"\1", answer)).strip())
    letter, rest = (match[1] or match[2], match[3]) if match else ("", "")
    if letter and letter in letters:
        return letter if not rest or _fits(rest, letter, forms) else None
    if same := letters_of_text(answer, choices or ()):
        return same[0] if len(same) == 1 else None
    return letter.upper() if choices and letter and letter.upper() in letters and not rest else None


def letters_of_text(answer: str, choices: Sequence[str]) -> list[str]:
    """Return the letters of the choices with the text of the answer, or its value."""
    form = _form(answer)
    return [letter for letter, choice in zip(LETTERS, choices, strict=False) if _form(choice) == form]


def _fits(rest: str, letter: str, forms: dict[str, Fraction | str]) -> bool:
    """Return whether the text after a letter is that choice's, or at least names no other choice."""
    form = _form(rest)
    if form == forms.get(letter):
        return True
    return form not in forms.values() and not any(word in forms for word in re.findall(r"\b[A-Z]\b", rest))


def _form(text: str) -> Fraction | str:
    """Return a form that equal choices share: their value, or their text without typesetting."""
    bare = _FONT.sub(r"\1", text.replace("$", "").replace("°", "").replace("~", " ")).strip()
    form = canonical(normalise(bare)).casefold()
    tree = read_number(form)
    value = exact(tree) if tree is not None and is_plain(tree) else None
    return form if value is None else value
