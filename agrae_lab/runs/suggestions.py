"""Suggestions for misspelt words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def close_match(word: object, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the known word nearest to `word`, or "" if none is near."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else ""
