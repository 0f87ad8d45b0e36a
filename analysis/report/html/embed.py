"""Escaping of hostile text and data for a page.

Text from a model, an error message or a file may hold markup, control characters, invisible characters, and characters
that reverse the direction of text (U+202E). Jinja2 escapes the markup; this module makes the other characters visible.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

from markupsafe import Markup

# Control characters but tab and newline, soft hyphen, zero-width and direction characters, line and paragraph
# separators, byte order mark, interlinear and object marks, tags, lone surrogates. report.js has the same list.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
_UNSAFE = re.compile(f"[<>&]|{INVISIBLE.pattern}")


def visible(value: Any) -> Any:
    """Return text with every invisible character written like ⟨U+202E⟩; Markup passes unchanged."""
    return value if isinstance(value, Markup) else INVISIBLE.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", str(value))


def json_for_script(value: Any) -> Markup:
    """Return JSON for `<script type="application/json">`, with <, >, & and invisible characters escaped.

    Nothing in it can end the element or open a comment, and the page's source shows every character.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(_UNSAFE.sub(_escape, text))


def data_uri(mime: str, content: bytes) -> str:
    """Return a file's content as a data URI."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def csp_hash(text: str) -> str:
    """Return the source expression that allows an inline style or script in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _escape(match: re.Match[str]) -> str:
    """Return one character as one or two escapes of the form \\uXXXX."""
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
