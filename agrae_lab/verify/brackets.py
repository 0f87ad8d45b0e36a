"""Parts of a text that no bracket encloses."""

from __future__ import annotations

import re
from collections.abc import Collection


def outer_spans(text: str, bracket: re.Pattern, opening: Collection[str]) -> list[tuple[int, int]]:
    r"""Return start and end of every piece of a text outside all brackets.

    Args:
        bracket: matches an opening or a closing bracket.
        opening: the brackets that open; a \begin{…} opens in any case.
    """
    spans, depth, at = [], 0, 0
    for match in bracket.finditer(text):
        if depth == 0:
            spans.append((at, match.start()))
        opens = match[0] in opening or match[0].startswith(r"\begin")
        depth = max(0, depth + (1 if opens else -1))
        at = match.end()
    if depth == 0:
        spans.append((at, len(text)))
    return spans
