"""Hostile text and data → what may stand in a page.

Text from a model, an error message or a file may hold markup, control characters, and characters that turn the
direction of what follows (U+202E) or show nothing at all. Jinja2 escapes the markup; here the rest is made visible.
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
    """Text with every invisible character written as ⟨U+202E⟩; Markup of ours passes as it is."""
    return value if isinstance(value, Markup) else INVISIBLE.sub(lambda m: f"⟨U+{ord(m[0]):04X}⟩", str(value))


def json_for_script(value: Any) -> Markup:
    """JSON for `<script type="application/json">`: no <, >, & nor invisible character stands in it as itself.

    So nothing in it ends the element or opens a comment, and a reader of the page's source sees what is there.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(_UNSAFE.sub(_escape, text))


def data_uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def csp_hash(text: str) -> str:
    """The word that allows one inline style or script in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _escape(match: re.Match[str]) -> str:
    """\\uXXXX, as one or two UTF-16 units."""
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
