r"""Quantities: a number with percent, a unit, a scale word, a currency, or the letter of a choice beside it.

Texts are canonical (writing.py). Words that are no units (5 apples) are ignored. Words that change the meaning (not,
or, a lone `squared`) make the text no quantity.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction

from agrae_lab.verify.numbers import Tree, read_number

_NAMES = {
    "m": "m meter meters metre metres", "cm": "cm centimeter centimeters centimetre centimetres",
    "mm": "mm millimeter millimeters millimetre millimetres", "km": "km kilometer kilometers kilometre kilometres",
    "nm": "nm nanometer nanometers", "um": "um micron microns micrometer micrometers",
    "in": "inch inches", "ft": "ft foot feet", "yd": "yd yard yards", "mi": "mi mile miles",
    "s": "s sec secs second seconds", "min": "min mins minute minutes", "h": "h hr hrs hour hours", "ms": "ms",
    "day": "day days", "week": "week weeks", "month": "month months", "year": "year years yr yrs", "mph": "mph",
    "kg": "kg kilogram kilograms", "g": "g gm gram grams", "mg": "mg milligram milligrams",
    "ton": "ton tons tonne tonnes",
    "lb": "lb lbs pound pounds", "oz": "oz ounce ounces", "L": "L l liter liters litre litres", 
    "mL": "mL ml milliliter milliliters",
    "gal": "gal gallon gallons", "qt": "quart quarts", "pint": "pint pints", "cup": "cup cups", "acre": "acre acres",
    "deg": "degree degrees deg degs", "rad": "rad rads radian radians", "dollar": "dollar dollars USD usd bucks",
    "cent": "cent cents", "euro": "euro euros EUR", "pound": "pounds_sterling GBP", "unit": "unit units",
    "Hz": "Hz hertz", "J": "J joule joules", "N": "N newton newtons", "W": "W watt watts", "K": "K kelvin kelvins",
    "Pa": "Pa pascal pascals", "eV": "eV", "kJ": "kJ", "kW": "kW", "mol": "mol mole moles", "V": "V volt volts",
    "celsius": "celsius", "fahrenheit": "fahrenheit", "am": "am", "pm": "pm", "erg": "erg ergs", "AU": "AU", "pc": "pc",
}  # fmt: skip
UNITS = {word: name for name, words in _NAMES.items() for word in words.split()}
_LETTERS = ("m", "g", "s", "h", "L", "J", "N", "W", "K", "V")  # units that may directly follow a number
_SCALES = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "score": 20, "millions": 10**6, "thousands": 10**3, "billions": 10**9, "hundreds": 10**2,
}  # fmt: skip
_PERCENT = ("percent", "pct", "percents", "percentage")
# Words that make a number another number, another claim, or none.
_DENIED = re.compile(
    "not|no|nor|never|neither|or|and|is|isn|isnt|are|was|be|if|to|times|plus|minus|over|than|more|less|least|most"
    "|maybe|perhaps|possibly|either|wrong|incorrect|false|point|half|quarters?|thirds?|halves|factorial|root|power|mod"
    "|modulo|divided|multiplied|choose|except|but|between|from|through|until|unless|without|ago|x|googol|double|triple"
    "|twice|tenths?|hundredths?|thousandths?"
)
_NUMBER_WORDS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20,
}  # fmt: skip
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_RAISED = {"squared": 2, "cubed": 3}
_LABEL = re.compile(
    r"(?:\\text\{\(?[A-J]\)?[.:]?\}|\([A-J]\)|\\text\{\(\}[A-J]\\text\{\)\}|[A-J][.)])[.:]?\s*(?=[-\\0-9(])"
)
_CURRENCY = re.compile(r"(-?)\\(dollar|euro|pounds)\s*(-?)")
_CURRENCIES = {"dollar": "dollar", "euro": "euro", "pounds": "pound"}
_TAIL = re.compile(
    r"\\text\{|\^\\circ|\\%|\\(?:dollar|euro|pounds)(?![a-zA-Z])"
    r"|(?:(?<=[0-9}!)])|(?<=[0-9]i)|(?<=\\pi))\s?[a-zA-Z]{2,}|(?<=[0-9}])[mgshLJNWKV](?![a-zA-Z])"
)
_MARK = re.compile(
    r"\\text\{(?P<text>[^{}]*)\}|(?P<spaced>\s?)(?P<word>[a-zA-Z]+)|\^\{?(?P<power>-?[0-9])\}?"
    r"|(?P<sign>/|\\cdot|\^\\circ|\\%|\\dollar|\\euro|\\pounds|[ .~()\-])"
)
_WORD = re.compile(r"[a-zA-Z]+|[/]|\^-?[0-9]|[^a-zA-Z\s.\-~(),/^]")
_QUOTED = re.compile(r"^\\text\{(?:\([A-J]\)[.:]?|[A-J][).:])?\s*(-?[0-9][^{}]*)\}$")  # \text{5 cm}, \text{(A) 5}
_MAX_WORDS = 8


@dataclass(frozen=True)
class Quantity:
    """A number with its units, sorted (unit, power).

    words: other words stand beside it.
    bare: one or two letters stand directly behind the number: 5m, 2mg; they may be variables.
    """

    value: Tree
    percent: bool = False
    units: tuple[tuple[str, int], ...] = ()
    words: bool = False
    bare: bool = False


@functools.lru_cache(maxsize=8192)
def read_quantity(text: str) -> Quantity | None:
    r"""Return the quantity that a canonical text is: 5\text{ cm}, 44\%, \dollar7.50, 90^\circ, 5 million; else None."""
    number = read_number(text)
    if number is not None:
        return Quantity(number)
    text = _QUOTED.sub(r"\1", text)
    text = _LABEL.sub("", text, count=1) if _LABEL.match(text) else text
    currency = _CURRENCY.match(text)
    head, extra = text, []
    if currency:
        head = (currency[1] or currency[3]) + text[currency.end() :]
        extra = [(_CURRENCIES[currency[2]], 1)]
    tail = _find_tail(head)
    if tail is None:
        number = _spelled(head) or read_number(head)
        return None if number is None else Quantity(number, units=tuple(extra))
    number = read_number(head[: tail.start()].strip())
    marks = None if number is None else _read_marks(head[tail.start() :])
    if number is None or marks is None:
        number = _spelled(head)
        return None if number is None else Quantity(number)
    units = dict(extra)
    for name, power in marks.units:
        units[name] = units.get(name, 0) + power if name not in dict(extra) else power
    value = number if marks.scale == 1 else _scaled(number, marks.scale)
    if value is None:
        return None
    bare = tail[0].isalpha() and len(tail[0]) < 3
    return Quantity(value, marks.percent, tuple(sorted(units.items())), marks.words, bare)


def _find_tail(text: str) -> re.Match | None:
    r"""Return the match at which the words after a number begin; None without any."""
    match = _TAIL.search(text)
    return match if match and match.start() > 0 else None


def _spelled(text: str) -> Tree | None:
    r"""Return the number that four or \text{four} spells; None for any other text."""
    word = re.sub(r"^\\text\{(.*)\}$", r"\1", text).strip(" .").lower()
    return ("num", Fraction(_NUMBER_WORDS[word]), 0) if word in _NUMBER_WORDS else None


def _scaled(number: Tree, scale: int) -> Tree | None:
    """Return 5 million as a numeral; None if the number is no numeral."""
    return ("num", number[1] * scale, number[2]) if number[0] == "num" else None


@dataclass
class _Marks:
    units: list[tuple[str, int]]
    percent: bool = False
    words: bool = False
    scale: int = 1


def _read_marks(tail: str) -> _Marks | None:
    """Return the units, percent, scale and other words after a number; None if the text holds anything else.

    A word outside of \\text{} must be a unit or follow a space: 2xy is a product.
    """
    words: list[str] = []
    at = 0
    while at < len(tail):
        match = _MARK.match(tail, at)
        if match is None:
            return None
        at = match.end()
        if match["text"] is not None:
            words += _WORD.findall(match["text"].replace(r"\cdot", "*"))
        elif match["word"]:
            word = match["word"]
            inches, celsius = match["spaced"] and word == "in", word in ("C", "F") and words[-1:] == ["degree"]
            is_unit = word in UNITS or inches or celsius
            if not is_unit and word.lower() not in (*_SCALES, *_PERCENT, "pct", "per", "sq", "square", "cubic"):
                if len(word) < 3 or not match["spaced"]:
                    return None
            elif len(word) == 1 and word not in (*_LETTERS, "C", "F"):
                return None
            words.append(word)
        elif match["power"]:
            words.append("^" + match["power"])
        elif match["sign"].strip(" .~()-"):
            words.append({r"\cdot": "*", r"^\circ": "degree", r"\%": "percent"}.get(match["sign"], match["sign"]))
    words = [{r"\dollar": "dollar", r"\euro": "euro", r"\pounds": "GBP"}.get(w, w) for w in words]
    return _parse_marks(_joined(words))


def _joined(words: list[str]) -> list[str]:
    """Return the words with `a m` and `per cent` joined to one word each, and a final `in` as inch."""
    text = re.sub(r"\b([AaPp]) ([Mm])\b", lambda m: (m[1] + m[2]).lower(), " ".join(words))
    return re.sub(r"\bin(?= \^|$)", "inch", re.sub(r"\bper cent\b", "percent", text)).split()


def _parse_marks(words: list[str]) -> _Marks | None:
    """Return units, percent and scale that the words name; None if a word changes the meaning."""
    if len(words) > _MAX_WORDS:
        return None
    marks, sign, power = _Marks([]), 1, 1
    for number, word in enumerate(words):
        lower = word.lower()
        name = UNITS.get(word) or (UNITS.get(lower) if len(word) > 1 else None)
        if _DENIED.fullmatch(lower):
            return None
        if lower in _PERCENT:
            marks.percent = True
        elif lower in _SCALES:
            if number:
                return None
            marks.scale = _SCALES[lower]
        elif lower in ("per", "/"):
            sign = -1
        elif lower in _POWERS:
            power = _POWERS[lower]
        elif lower in _RAISED or word[0] == "^":
            if not marks.units and not marks.words:
                return None
            raised = _RAISED.get(lower) or int(word[1:])
            marks.units[-1:] = [(n, p * raised) for n, p in marks.units[-1:]]
        elif name == "mph":
            marks.units += [("mi", 1), ("h", -1)]
        elif name is not None:
            if name in ("celsius", "fahrenheit") and marks.units[-1:] == [("deg", 1)]:
                marks.units.pop()  # degrees Celsius are one unit
            marks.units.append((name, sign * power))
            power = 1
        elif word in ("C", "F") and marks.units[-1:] == [("deg", 1)]:
            marks.units[-1] = ("celsius" if word == "C" else "fahrenheit", 1)
        elif word == "*":
            continue
        elif word.isalpha() and (len(word) > 1 or word in ("a", "A")):
            marks.words = True
        else:
            return None
    if marks.percent and (marks.units or marks.scale != 1):
        return None
    return marks


def compatible(gold: Quantity, answer: Quantity) -> bool:
    """Return whether the units of an answer agree with those of the gold answer. Either may have none."""
    has_marks = [bool(q.units or q.words) for q in (gold, answer)]
    return gold.units == answer.units or not all(has_marks)
