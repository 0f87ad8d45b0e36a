r"""Gold answers in other usual writings, as a model would give them; and with a digit changed, which is wrong.

Each function returns the rewritten text, or None where it does not apply.
"""

from __future__ import annotations

import re
from fractions import Fraction

from agrae_lab.verify.numbers import read_number
from agrae_lab.verify.pending import is_plain
from agrae_lab.verify.shapes import shape_of
from agrae_lab.verify.values import exact
from agrae_lab.verify.writing import canonical

_SCIENTIFIC = re.compile(r"(-?[0-9.]+)[eE]([-+]?)0*([0-9]+)")


def in_dollars(gold):
    return f"${gold}$"


def in_parentheses_of_mathematics(gold):
    return rf"\({gold}\)"


def with_thin_spaces(gold):
    return rf"\,{gold}\;"


def in_display_style(gold):
    return rf"\displaystyle {gold}"


def in_colour(gold):
    return rf"\color{{red}}{{{gold}}}"


def in_braces_with_a_stop(gold):
    return rf"{{{gold}}}."


def with_large_fractions(gold):
    changed = gold.replace(r"\frac", r"\dfrac").replace(r"\tfrac", r"\dfrac")
    return changed if changed != gold else None


def with_growing_brackets(gold):
    if r"\left" in gold or not re.search(r"[(\[]", gold) or r"\text" in gold or gold.count("(") != gold.count(")"):
        return None
    if re.search(r"\\[a-zA-Z]+\[", gold):
        return None
    return re.sub(r"([(\[])", r"\\left\1", re.sub(r"([)\]])", r"\\right\1", gold))


def with_wide_commas(gold):
    if "," not in gold or r"\!" in gold or r"{,}" in gold or re.search(r"(?<![0-9])[0-9]{1,3}(,[0-9]{3})+", gold):
        return None
    return re.sub(r",\s*", r",\\; ", gold) if r"\text{" not in gold else None


def after_a_name(gold):
    shape = shape_of(canonical(gold))
    return f"x = {gold}" if shape.kind == "scalar" and read_number(canonical(gold)) else None


def in_scientific_notation(gold):
    match = _SCIENTIFIC.fullmatch(gold)
    return rf"{match[1]} \times 10^{{{match[2].replace('+', '')}{match[3]}}}" if match else None


def in_dotted_scientific_notation(gold):
    match = _SCIENTIFIC.fullmatch(gold)
    return rf"{match[1]}0 \cdot 10^{{{match[2].replace('+', '')}{match[3]}}}" if match and "." in match[1] else None


def written_out(gold):
    match = _SCIENTIFIC.fullmatch(gold)
    if not match:
        return None
    value = Fraction(gold)
    places = max(0, -int(match[2] + match[3])) + 6
    return (
        str(int(value))
        if value.denominator == 1
        else f"{float(value):.{places}f}".rstrip("0")
        if abs(int(match[3])) < 9
        else None
    )


def _plain(gold):
    tree = read_number(canonical(gold))
    return exact(tree) if tree is not None and is_plain(tree) else None


def as_a_decimal(gold):
    value = _plain(gold)
    if value is None or value.denominator > 10**6 or (10**6) % value.denominator:
        return None
    return f"{float(value):.6f}" if abs(value) < 10**6 else None


def as_a_fraction_with_a_slash(gold):
    value = _plain(gold)
    return f"{value.numerator}/{value.denominator}" if value is not None and value.denominator > 1 else None


def as_a_fraction_in_lowest_terms(gold):
    value = _plain(gold)
    if value is None or value.denominator == 1:
        return None
    sign = "-" if value < 0 else ""
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def as_a_mixed_number(gold):
    value = _plain(gold)
    if value is None or value.denominator == 1 or abs(value) < 1:
        return None
    whole, rest = divmod(abs(value), 1)
    return rf"{'-' if value < 0 else ''}{whole}\frac{{{rest.numerator}}}{{{rest.denominator}}}"


def with_groups_of_three(gold):
    value = _plain(gold)
    return f"{value.numerator:,}" if value is not None and value.denominator == 1 and abs(value) >= 1000 else None


def with_a_trailing_zero(gold):
    value = _plain(gold)
    return f"{value.numerator}.0" if value is not None and value.denominator == 1 and abs(value) < 10**12 else None


def in_wide_digits(gold):
    return gold.translate({ord(str(d)): chr(0xFF10 + d) for d in range(10)}) if gold.isdigit() else None


def with_signs_of_unicode(gold):
    changed = gold.replace(r"\pi", "π").replace(r"\infty", "∞").replace(r"\cup", "∪").replace("^\\circ", "°")
    changed = re.sub(r"\\sqrt\{([0-9]+)\}", r"√\1", changed)
    return changed if changed != gold else None


def without_its_unit(gold):
    match = re.fullmatch(r"(-?[0-9.]+)\s*(?:\\,\s*)?\\text\s*\{[^{}]*\}(?:\^[0-9])?", gold)
    return match[1] if match else None


def with_its_sign_left_out(gold):
    match = re.fullmatch(r"(?:\\\$\s*)?([0-9.]+)(?:\s*\\?%|\^\\circ|\^\{\\circ\})?", gold)
    return match[1] if match and match[1] != gold else None


def with_decimals(gold):
    r"""0.5 for \frac{1}{2} wherever it stands."""
    changed = re.sub(r"(?<![0-9])(?<![0-9] )\\frac\{1\}\{2\}", "0.5", gold)
    return changed if changed != gold and changed != "" and not re.search(r"0\.5\s*[(a-zA-Z\\]", changed) else None


def the_other_way_round(gold):
    """A list or set from its end."""
    shape = shape_of(canonical(gold))
    if shape.kind not in ("list", "set") or r"\pm" in gold:
        return None
    joined = ", ".join(reversed(shape.items))
    return rf"\{{{joined}\}}" if shape.kind == "set" else joined


def as_a_set(gold):
    shape = shape_of(canonical(gold))
    return rf"\{{{', '.join(shape.items)}\}}" if shape.kind == "list" else None


def as_an_inequality(gold):
    shape = shape_of(canonical(gold))
    if shape.kind != "interval" or any(r"\infty" in end for end in shape.items):
        return None
    signs = [r" \le " if mark in "[]" else " < " for mark in shape.mark]
    return f"{shape.items[0]}{signs[0]}x{signs[1]}{shape.items[1]}"


def as_an_open_bracket_of_france(gold):
    shape = shape_of(canonical(gold))
    if shape.kind != "interval":
        return None
    first, last = ("]" if shape.mark[0] == "(" else "["), ("[" if shape.mark[1] == ")" else "]")
    return f"{first}{shape.items[0]},{shape.items[1]}{last}"


def in_bold(gold):
    return rf"\mathbf{{{gold}}}" if "{" not in gold and "\\" not in gold else None


def in_an_inner_box(gold):
    return rf"\boxed{{{gold}}}" if "{" not in gold else None


GENERAL = (in_dollars, in_parentheses_of_mathematics, with_thin_spaces, in_display_style, in_braces_with_a_stop)
SPECIAL = (
    in_colour, with_large_fractions, with_growing_brackets, with_wide_commas, after_a_name, in_scientific_notation,
    in_dotted_scientific_notation, written_out, as_a_decimal, as_a_fraction_with_a_slash, as_a_fraction_in_lowest_terms,
    as_a_mixed_number, with_groups_of_three, with_a_trailing_zero, in_wide_digits, with_signs_of_unicode,
    without_its_unit, with_its_sign_left_out, with_decimals, the_other_way_round, as_a_set, as_an_inequality,
    as_an_open_bracket_of_france, in_bold, in_an_inner_box,
)  # fmt: skip


def rewritings(gold):
    """Name → text, of all that apply and change something."""
    made = {rewrite.__name__: rewrite(gold) for rewrite in (*GENERAL, *SPECIAL)}
    return {name: text for name, text in made.items() if text is not None and text != gold}


def with_a_digit_changed(gold, place):
    """The gold answer with its `place`-th digit (counted round) another one; None without a digit."""
    at = [m.start() for m in re.finditer("[0-9]", gold)]
    if not at:
        return None
    i = at[place % len(at)]
    return gold[:i] + str((int(gold[i]) + 1 + place % 8) % 10) + gold[i + 1 :]
