r"""The authors' own reward: the boxed answer equals the target as text, once both are normalised.

Their data hold a `target` made from MATH's answers by the string rules of Hendrycks et al. (MATH, 2021) as extended in
ToRA (Gou et al., 2023), and their code brings the model's answer into the same form. AMC and AIME answers are compared
so; for MATH their code then tries numbers and sympy too, which `math_verify` does better. Answers that differ in form
only (2\sqrt{2} and \sqrt{8}) differ here. The rules damage some answers: 44\% becomes 44, 5\text{ or }7 becomes
5{or}7, a matrix loses its rows. The comparison still works, because both sides take the same damage.
"""

from __future__ import annotations

import re

# In order: pattern, replacement. Whitespace is removed late, since some rules need it.
_RULES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\n", ""),
        (r"^\s+|\s+$", ""),
        (r"\.+$", ""),
        (r"\\[! ]", ""),
        (r"\\\\", r"\\"),
        (r"[td]frac", "frac"),
        (r"\\left|\\right", ""),
        (r"(?<=.)\s*\\text\{[^{}]*\}$", ""),  # a unit; a text that is the whole answer stays
        (r"\^\{\\circ\}|\^\\circ", ""),
        (r"\\\$|\$", ""),
        (r"\\text", ""),
        (r"x\\in", ""),
        (r"\\?%", ""),
        (r" \.", " 0."),
        (r"\{\.", "{0."),
        (r"\\cdot", ""),
        (r"\\mathbf|and", ""),
        (r"\\mbox\{[^{}]*\}", ""),
        (r"(\d)\.0+(?!\d)", r"\1"),
        (r"^\.", "0."),
        (r"^[^=]{0,2}=([^=]*)$", r"\1"),  # x = 5
        (r"\\sqrt(\w+)", r"\\sqrt{\1}"),
        (r" ", ""),
        (r"\\frac([^{])([^{])", r"\\frac{\1}{\2}"),
        (r"\\frac([^{])\{", r"\\frac{\1}{"),
        (r"^(-?\d+)/(\d+)$", r"\\frac{\1}{\2}"),
    )
]


def normalise(answer: str) -> str:
    r"""Return an answer in the form that the official reward compares: \dfrac12 and 1/2 become \frac{1}{2}."""
    for pattern, replacement in _RULES:
        answer = pattern.sub(replacement, answer)
    return answer


def is_equal(answer: str, target: str) -> bool:
    """Return whether the official reward is 1. A target may be in the official form already, or not."""
    return normalise(answer) in (target, normalise(target))
