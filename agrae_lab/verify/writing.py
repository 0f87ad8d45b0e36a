r"""Canonical form of texts that differ in typesetting alone: \dfrac12, ½ and \frac{1}{2}; 1\,234 and 1,234; ≤ and \leq.

Pure text work: no value is computed, no expression simplified. Texts with one canonical form are one answer to the
verifier and one vote to the analysis.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from itertools import accumulate

from agrae_lab.verify.brackets import outer_spans

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUBSCRIPT = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_SIGNS = {
    **dict.fromkeys("−–—‐‑﹣", "-"), **dict.fromkeys("×⋅·∙∗", r"\cdot "), "÷": "/", "∕": "/", "⁄": "/",
    "∞": r"\infty ", "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "λ": r"\lambda ",
    "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "±": r"\pm ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "°": r"^\circ ",
    "º": r"^\circ ",
    "√": r"\sqrt ", "∛": r"\sqrt[3]", "…": r"\ldots ", "′": "'", "’": "'", "‘": "'", "“": '"', "”": '"', "，": ",",
    "％": r"\%", "€": r"\euro ", "£": r"\pounds ", "∖": r"\setminus ", "：": ":", "⟨": r"\langle ", "⟩": r"\rangle ",
    "\u200b": "", "\ufeff": "",
}  # fmt: skip
# In order: pattern, replacement. A command's name ends where no letter follows.
_RULES = [
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        (
            r"\\(?:quad|qquad|enspace|thinspace|displaystyle|textstyle|limits|nolimits|hfill|bf|rm|it|checkmark)(?![a-zA-Z])",
            " ",
        ),
        (r"\\(?:mathbf|mathrm|boldsymbol|bm)\s+(?=[0-9a-zA-Z])", " "),
        (r"(?i)^\s*\\(?:text|mathrm|textbf)\s*\{\s*(?:the |final |so )*answer(?: is)?\s*:?\s*\}", " "),
        (r"\\(?:hspace|vspace|[hv]?phantom|label|tag)\*?\s*(?:\{[^{}]*\}|[^{\s])", " "),
        (r"\\!|\{\\!\}", ""),
        (r"\\([,;:> ]|thinspace(?![a-zA-Z]))|~", " "),
        (r"\\[()\[\]](?![0-9]+(?:em|ex|pt)\])", " "),
        (r"\\(?:left|right|middle|[bB]ig{1,2}[lrm]?)(?![a-zA-Z])\s*\.?(?=[^0-9]|$)", ""),
        (r"\\lbrace(?![a-zA-Z])", r"\\{"),
        (r"\\rbrace(?![a-zA-Z])", r"\\}"),
        (r"\\(?:[lr]?[vV]ert|mid)(?![a-zA-Z])", "|"),
        (r"\\lbrack(?![a-zA-Z])", "["),
        (r"\\rbrack(?![a-zA-Z])", "]"),
        (r"\\(?:colon|ratio)(?![a-zA-Z])", ":"),
        (r"\\textcolor\s*\{[^{}]*\}|\\color\s*\{[^{}]*\}", ""),
        (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
        (r"\\(frac|sqrt)\s+(?=\{)", r"\\\1"),
        (r"_\s*\{\s*\\(max|min)\s*\}", r"_{\1}"),
        (r"\\(?:times|cdot|ast|cdotp)(?![a-zA-Z])|(?<!\*)\*(?!\*)", r"\\cdot "),
        (r"\*\*", "^"),
        (r"\\div(?![a-zA-Z])", "/"),
        (r"\\(?:leq|leqslant|leqq|le)(?![a-zA-Z])|<=", r"\\le "),
        (r"\\(?:geq|geqslant|geqq|ge)(?![a-zA-Z])|>=", r"\\ge "),
        (r"\\lt(?![a-zA-Z])", "<"),
        (r"\\gt(?![a-zA-Z])", ">"),
        (r"\\neq?(?![a-zA-Z])", r"\\ne "),
        (r"\\(?:varnothing|emptyset|O)(?![a-zA-Z])|\\\{\s*\\\}", r"\\emptyset "),
        (r"\\(?:infin|infty)(?![a-zA-Z])", r"\\infty "),
        (r"\\(?:[lcd]?dots[cbmio]?)(?![a-zA-Z])|\.\.\.+", r"\\ldots "),
        (r"\\(?:Bbb|mathbb)\s*\{\s*([RZNQC])\s*\}", r"\\mathbb{\1}"),
        (r"\\(?:Bbb|mathbb)\s*([RZNQC])(?![a-zA-Z])", r"\\mathbb{\1}"),
        (r"\\(?:Reals|reals|R)(?![a-zA-Z])", r"\\mathbb{R}"),
        (r"\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![a-zA-Z])|\\(?:text)?degree(?![a-zA-Z])", r"^\\circ "),
        (r"\{\s*\}(?=\^)", ""),
        (r"\^\s*\{\s*((?:\\prime\s*)+)\}|\^\s*(\\prime)(?![a-zA-Z])", lambda m: "'" * m[0].count("prime")),
        (r"(?<!\\)%", r"\\%"),
        (r"\\backslash(?![a-zA-Z])", r"\\setminus "),
        (r"\\operatorname\*?\s*\{\s*([a-zA-Z]+)\s*\}", r"\\\1 "),
        (r"\bnp\.(?=[a-z])", ""),
        (r"(?<![\\a-zA-Z])(arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|pi)(?=[({\s\d]|$)", r"\\\1"),
    )
]
_WORDS = ("text", "textbf", "textit", "textrm", "textsf", "texttt", "textnormal", "textup", "emph", "mbox", "hbox")
_UPRIGHT = ("mathrm", "mathsf", "mathtt", "mathit")  # words if longer than one letter
_UNIT_LETTERS = tuple("mgshLJNWKV")  # upright behind a number: 5\,\mathrm{m}
_STYLES = ("mathbf", "mathnormal", "boldsymbol", "bm", "pmb", "boxed", "fbox", "underline", "uline", "mathcal")
_FONT = re.compile(rf"\\({'|'.join((*_WORDS, *_UPRIGHT, *_STYLES))})\s*\{{((?:[^{{}}]|\^\{{-?[0-9]\}})*)\}}")
_POWER = re.compile(r"\^\{(-?[0-9])\}")
_OPEN_FONT = re.compile(  # around braces: \mathbf{\frac{1}{2}}; words stay as they are
    rf"\\(?:(?:{'|'.join(_STYLES)})(?![a-zA-Z])\s*(?=\{{)|(?:{'|'.join((*_WORDS, *_UPRIGHT))})\s*(?=\{{[\s\-+0-9(]*\\))"
)
_NUMERAL = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?|[0-9]{1,2}:[0-9]{2}")
_FRAC_ABOVE = re.compile(r"\\frac\s*(?:([0-9])\s*(?=[{0-9\\a-zA-Z])|(\\pi(?![a-zA-Z])|[a-zA-Z])\s*(?=[{0-9\\]))")
_FRAC_BELOW = re.compile(r"(\\frac\{(?:[^{}]|\{[^{}]*\})*\})\s*([0-9a-zA-Z]|\\pi(?![a-zA-Z]))")
_SQRT = re.compile(r"\\sqrt\s*(\[[^\]]*\])?\s*(?:([0-9a-zA-Z]|\\pi(?![a-zA-Z]))|(?=\())")
_SQRT_PAREN = re.compile(r"\\sqrt\s*(\[[^\]]*\])?\s*\(([^()]*)\)")
_SQRT_SIGN = re.compile(r"√\s*([0-9]+(?:\.[0-9]+)?)")
_OVER = re.compile(r"\{([^{}]*?)\\over(?![a-zA-Z])([^{}]*?)\}")
_SCRIPT = re.compile(r"([_^])\s*\{\s*([0-9a-zA-Z])\s*\}")
_SLASH = re.compile(r"(?<![0-9a-zA-Z.}/^_)!])(-?)([0-9]+)\s*/\s*([0-9]+)(?![0-9a-zA-Z./^!])(?!\s*\\pi|\s*[a-zA-Z(])")
_GROUPS = re.compile(r"(?<![0-9._^])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])")
_BRACKET = re.compile(r"\\[{}]|[()\[\]]")
_THIN_GROUPS = re.compile(r"(?<![0-9._^])[0-9]{1,3}(?:(?:\s*\{,\}\s*|\s*,\\!\s*|,\s*\\,\s*)[0-9]{3})+(?![0-9])")
_SPACED_GROUPS = re.compile(r"(?<![0-9.,/}_^])(?<![0-9.,/}] )[0-9]{1,3}(?:(?: |\\[,; ]|~)[0-9]{3})+(?![0-9./])")
_POINT = re.compile(r"(?<![0-9])\.(?=[0-9]|\\(?:overline|bar)\s*\{?\s*[0-9])")
_TOKEN = re.compile(r"\\text\{[^{}]*\}|\\[a-zA-Z]+|\\.|[0-9]+(?:\.[0-9]+)?|[a-zA-Z]+|\s+|.", re.DOTALL)
_EDGE = re.compile(r"^[\s.,;:=]*(?:\\(?:therefore|implies|Rightarrow|approx|simeq)(?![a-zA-Z])[\s=]*)*|[\s.,;:]+$")
_ROW = "\x03"  # stands for two backslashes, which separate the rows of a matrix
_MAX_ROUNDS = 6  # of commands within commands


@functools.lru_cache(maxsize=8192)
def canonical(text: str) -> str:
    """Return the canonical form of a text, without math delimiters and outer punctuation."""
    text = _to_ascii(text).replace(r"\\", _ROW)
    text = text.replace(r"\$", r"\dollar ").replace("$", " ")
    text = _THIN_GROUPS.sub(lambda m: re.sub(r"[^0-9]", "", m[0]), text)
    text = _SPACED_GROUPS.sub(lambda m: re.sub(r"[^0-9]", "", m[0]), text)
    text = text.replace("{,}", ",").replace(",\\!", ",")
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    text = _plain_fonts(text)
    text = _with_braces(text)
    text = _POINT.sub("0.", text)
    text = _joined_groups(text)
    text = _SCRIPT.sub(r"\1\2", text)
    text = _EDGE.sub("", _SLASH.sub(r"\1\\frac{\2}{\3}", text))
    return _normal_spaces(_EDGE.sub("", _unwrapped(text))).replace(_ROW, r"\\")


def _to_ascii(text: str) -> str:
    """Return a text with characters beyond ASCII as commands and ASCII: √2, ½, x², ≤, full-width digits."""
    if text.isascii():
        return text
    text = _SQRT_SIGN.sub(r"\\sqrt{\1}", text)
    text = _SUPERSCRIPT.sub(lambda m: "^{" + m[0].translate(_SUPERSCRIPTS) + "}", text)
    text = _SUBSCRIPT.sub(lambda m: "_{" + m[0].translate(_SUBSCRIPTS) + "}", text)
    return "".join(map(_char_to_ascii, text))


def _char_to_ascii(char: str) -> str:
    if char.isascii():
        return char
    if char in _SIGNS:
        return _SIGNS[char]
    plain = unicodedata.normalize("NFKC", char)
    if "⁄" in plain:  # a vulgar fraction
        above, _, below = plain.partition("⁄")
        return rf"\frac{{{above}}}{{{below}}}"
    return _SIGNS.get(plain, plain)


def _plain_fonts(text: str) -> str:
    r"""Return a text with upright words as \text{…}, and without other fonts, colours and inner boxes."""

    def changed(match: re.Match) -> str:
        font, content = match[1], " ".join(match[2].split())
        before = match.string[max(0, match.start() - 5) : match.start()].rstrip()
        is_unit = content in _UNIT_LETTERS and before[-1:].isdigit()
        if font in _WORDS or (font in _UPRIGHT and (len(content) > 1 or is_unit)):
            if _NUMERAL.fullmatch(content):
                return f" {content} "
            return "\x01" + _POWER.sub(r"^\1", content) + "\x02" if content else " "
        return f" {match[2]} " if font in ("boxed", "fbox") else match[2]

    for _ in range(_MAX_ROUNDS):
        text, count = _FONT.subn(changed, text)
        if not count:
            break
    return _OPEN_FONT.sub("", text).replace("\x01", r"\text{").replace("\x02", "}")


def _with_braces(text: str) -> str:
    r"""Return a text with braces in \frac12, \frac 4{3}, {1 \over 2}, \sqrt2 and \sqrt(2)."""
    text = _OVER.sub(r"\\frac{\1}{\2}", text)
    for _ in range(_MAX_ROUNDS):
        before = text
        text = _SQRT_PAREN.sub(r"\\sqrt\1{\2}", _SQRT.sub(_sqrt, text))
        text = _FRAC_ABOVE.sub(lambda m: rf"\frac{{{m[1] or m[2]}}}", text)
        text = _FRAC_BELOW.sub(r"\1{\2}", text)
        if text == before:
            break
    return text


def _sqrt(match: re.Match) -> str:
    degree = match[1] or ""
    return rf"\sqrt{degree}{{{match[2]}}}" if match[2] else rf"\sqrt{degree}"


def _joined_groups(text: str) -> str:
    """Return a text with 1,234 as 1234 outside of brackets; (1,234) is a pair."""
    pieces, at = [], 0
    for start, end in outer_spans(text, _BRACKET, ("(", "[", r"\{")):
        pieces += [text[at:start], _GROUPS.sub(lambda m: m[0].replace(",", ""), text[start:end])]
        at = end
    return "".join([*pieces, text[at:]])


def _unwrapped(text: str) -> str:
    """Return a text without braces around the whole."""
    text = text.strip()
    for _ in range(_MAX_ROUNDS):
        if not (text.startswith("{") and text.endswith("}")):
            break
        depths = accumulate((char == "{") - (char == "}") for char in text[:-1])
        if 0 in depths:
            break
        text = text[1:-1].strip()
    return text


def _normal_spaces(text: str) -> str:
    """Return a text with one space between words, numbers, or a command and a letter, and no other space."""
    out: list[str] = []
    spaced = False
    for token in _TOKEN.findall(text):
        if token.isspace():
            spaced = True
            continue
        if out:
            last = out[-1]
            named = last[0] == "\\" and last[-1].isalpha() and token[0].isalpha()
            numbers = last[-1].isdigit() and token[0].isdigit()
            words = last[-1].isalpha() and token[0].isalpha()
            word = last[-1].isdigit() and token[0].isalpha() and len(token) > 1
            listed = last == "," and len(token) == 3 and token.isdigit()  # 15, 600 is two numbers
            if named or (spaced and (numbers or words or word or listed)):
                out.append(" ")
        out.append(token)
        spaced = False
    return "".join(out)
