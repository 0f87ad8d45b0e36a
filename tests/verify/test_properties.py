"""Properties of verdicts: a gold answer in other writings is right, with another digit or exponent it is wrong."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agrae_lab.verify import judge
from agrae_lab.verify.compare import NeedsAlgebra, compare
from agrae_lab.verify.numbers import read_number
from agrae_lab.verify.pending import is_pending
from agrae_lab.verify.values import approximate, equal, exact
from agrae_lab.verify.writing import canonical
from tests.verify.rewriting import rewritings, with_a_digit_changed

PATIENT = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.filter_too_much])
WHOLE = st.integers(-(10**12), 10**12)
SMALL = st.integers(2, 99)


def verdict(answer, gold, **options):
    (judgement,) = judge([rf"\boxed{{{answer}}}"], [gold], **options)
    return judgement.outcome


@st.composite
def numerals(draw):
    """A gold answer that is a number: whole, a decimal, a fraction, a surd, a multiple of pi, in e-notation."""
    a, b, c = draw(WHOLE), draw(SMALL), draw(SMALL)
    ratio = Fraction(c, b)
    return draw(
        st.sampled_from(
            [
                str(a),
                f"{a}.{b:02d}",
                rf"\frac{{{ratio.numerator}}}{{{ratio.denominator}}}" if ratio.denominator > 1 else str(c),
                rf"{b}\sqrt{{{c}}}",
                rf"{b}\pi",
                f"{b / 10}e{draw(st.integers(-60, 60))}",
                rf"{b}\%",
                rf"{b}\text{{ cm}}",
                rf"{b}^\circ",
            ]
        )
    )


@PATIENT
@given(numerals())
def test_a_number_in_another_writing_is_right(gold):
    for name, text in rewritings(gold).items():
        assert verdict(text, gold) == "correct", (name, text)


@PATIENT
@given(numerals(), st.integers(0, 100))
def test_a_number_with_a_digit_changed_is_wrong(gold, place):
    text = with_a_digit_changed(gold, place)
    a, b = (
        approximate(read_number(canonical(t.partition(r"\text")[0].rstrip(r"\%").removesuffix(r"^\circ"))))
        for t in (gold, text)
    )
    assume(b is None or a != b)  # 01 for 1, and 0 for -0; None: 1/0
    assert verdict(text, gold) == "incorrect"


@PATIENT
@given(st.integers(1, 9999), st.integers(-300, 300), st.integers(-300, 300))
def test_another_exponent_is_wrong_in_every_notation(mantissa, exponent, other):
    assume(exponent != other)
    texts = ["{}e{}", r"{} \times 10^{{{}}}", r"{} \cdot 10^{{{}}}", "{}*10**{}", "{} × 10^{{{}}}", "{}E{}"]
    for gold in (f"{mantissa / 1000}e{exponent}", rf"{mantissa / 1000}\times10^{{{exponent}}}"):
        for text in texts:
            assert verdict(text.format(mantissa / 1000, exponent), gold) == "correct", text
            assert verdict(text.format(mantissa / 1000, other), gold) == "incorrect", text


@PATIENT
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(2, 9))
def test_powers_differ_however_large_or_small(exponent, other, base):
    assume(exponent != other)
    for form in ("{}^{{{}}}", r"\frac{{1}}{{{}^{{{}}}}}"):
        assert verdict(form.format(base, other), form.format(base, exponent)) == "incorrect"


@PATIENT
@given(st.lists(st.integers(-99, 99), min_size=2, max_size=6, unique=True), st.randoms())
def test_lists_and_sets_have_no_order_and_tuples_have(items, random):
    shuffled = list(items)
    random.shuffle(shuffled)
    assume(shuffled != items)
    one, other = (", ".join(map(str, x)) for x in (items, shuffled))
    assert verdict(other, one) == verdict(rf"\{{{other}\}}", one) == verdict(other, rf"\{{{one}\}}") == "correct"
    assert verdict(f"({other})", f"({one})") == "incorrect"
    assert verdict(f"({one})", one) == verdict(one, f"({one})") == verdict(rf"\{{{one}\}}", f"({one})") == "incorrect"
    joined = r" and ".join(rf"$\boxed{{{x}}}$" for x in shuffled)
    assert [j.outcome for j in judge([joined] * 2, [one, str(shuffled[0])])] == ["correct", "incorrect"]


@PATIENT
@given(st.integers(-50, 50), st.integers(1, 50), st.sampled_from("[("), st.sampled_from("])"))
def test_intervals_have_their_brackets_and_ends(low, width, first, last):
    gold = f"{first}{low},{low + width}{last}"
    signs = {"[": r"\le", "(": "<", "]": r"\le", ")": "<"}
    assert verdict(rf"{low} {signs[first]} x {signs[last]} {low + width}", gold) == "correct"
    for a in "[(":
        for b in "])":
            assert (verdict(f"{a}{low}, {low + width}{b}", gold) == "correct") == ((a, b) == (first, last))
    assert verdict(rf"\{{{low},{low + width}\}}", gold) == "incorrect"


@PATIENT
@given(st.integers(0, 10**6), st.integers(2, 36), st.integers(2, 36))
def test_bases_are_compared_and_never_converted(number, base, other):
    digits = str(number)
    for text in (f"{digits}_{{{base}}}", digits, rf"({digits})_{{{base}}}"):
        assert verdict(text, f"{digits}_{{{base}}}") == "correct"
    assert (verdict(f"{digits}_{{{other}}}", f"{digits}_{{{base}}}") == "correct") == (base == other)


@PATIENT
@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 23), st.integers(0, 59))
def test_times_are_equal_or_wrong_and_never_invalid(h, m, hour, minute):
    expected = "correct" if (h, m) == (hour, minute) else "incorrect"
    assert verdict(f"{hour}:{minute:02d}", f"{h}:{m:02d}") == expected


@PATIENT
@given(
    st.integers(1, 500), st.sampled_from(["m", "cm", "km", "s", "kg"]), st.sampled_from(["m", "cm", "km", "s", "kg"])
)
def test_another_unit_is_wrong_and_no_unit_is_right(number, unit, other):
    gold = rf"{number}\text{{ {unit}}}"
    assert verdict(str(number), gold) == "correct"
    assert (verdict(rf"{number} \mathrm{{~{other}}}", gold) == "correct") == (unit == other)
    assert verdict(rf"{number}\text{{ {unit} }}30\text{{ {other}}}", gold) == "incorrect"


@PATIENT
@given(st.integers(2, 500), st.integers(2, 50))
def test_an_operation_left_to_carry_out_is_no_value(a, b):
    assume(a != 10)  # a power of ten is scientific notation
    for text, value in ((f"{a}+{b}", a + b), (rf"{a}\cdot{b}", a * b), (rf"\frac{{{a * b}}}{{{b}}}", a),
                        (rf"\sqrt{{{a * a}}}", a), (f"{a}^2", a * a), (rf"{a + b}-{b}", a)):  # fmt: skip
        assert verdict(text, str(value)) == "incorrect", text
        assert verdict(f"{text} = {value}", str(value)) == "correct"  # a chain that ends in the value
        assert verdict(f"{text} = {value + 1}", str(value + 1)) == "incorrect"
    assert verdict(rf"\frac{{{a}}}{{{a * b}}}", rf"\frac{{1}}{{{b}}}") == "incorrect"
    assert verdict(rf"\frac{{{a}}}{{2}}\pi+\frac{{{b}}}{{2}}\pi", rf"{Fraction(a + b, 2)}\pi") != "correct"


@PATIENT
@given(
    st.sampled_from(["", "The answer is ", "Final answer: ", "**Answer:** $"]), st.integers(2, 999), st.integers(2, 999)
)
def test_a_sentence_with_more_than_the_answer_is_wrong(start, number, other):
    assume(number != other)
    close = "$" if start.endswith("$") else ""
    for rest in ("!", f"^{{{other}}}", " million", ":30", f" or {other}", f" and {other}", f"+{other}", f", {other}"):
        text = f"{start or 'the answer is '}{number}{close}{rest}."
        assert judge([text], [str(number)])[0].outcome == "incorrect", text
    assert judge([f"{start or 'the answer is '}{number}{close}."], [str(number)])[0].outcome == "correct"


HOSTILE = st.text(alphabet="\\frac{}12/.=sqrtex %$^!_,()[]|:;<>&+-*~'abmin", max_size=120)


@settings(deadline=None, max_examples=500)
@given(HOSTILE, HOSTILE)
def test_the_rules_end_and_agree_with_themselves(gold, answer):
    """No text raises or hangs, and one text is always equal to itself."""
    one, other = canonical(gold), canonical(answer)
    with suppress(NeedsAlgebra):
        compare(one, other)
    assert compare(one, one).equal


def built_of(parts):
    """Fractions, sums, powers, roots and negatives of numbers."""
    pairs = st.tuples(parts, parts)
    return (
        pairs.map(lambda p: rf"\frac{{{p[0]}}}{{{p[1]}}}")
        | pairs.map(lambda p: f"({p[0]}+{p[1]})")
        | pairs.map(lambda p: f"({p[0]})^{{{p[1]}}}")
        | parts.map(lambda x: rf"\sqrt{{{x}}}")
        | parts.map(lambda x: f"(-{x})")
    )


@settings(deadline=None, max_examples=300)
@given(st.recursive(st.integers(0, 20).map(str), built_of, max_leaves=6))
def test_numbers_are_bounded_whatever_they_are_built_of(text):
    tree = read_number(canonical(text))
    if tree is None:
        return
    value, near = exact(tree), approximate(tree)
    assert is_pending(tree) in (True, False)
    if value is not None:
        assert near is not None
        assert equal(tree, tree) is True


@pytest.mark.parametrize(
    "text", ["((((" * 200, "-" * 5000, "1+" * 2000 + "1", "!" * 3000, "1" + "!" * 20, "2^" * 50 + "2"]
)
def test_deep_and_long_numbers_are_read_or_not_but_end(text):
    tree = read_number(text)
    assert tree is None or exact(tree) is None or exact(tree) is not None
