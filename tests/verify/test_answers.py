"""Reading answers out of completions, refusing absurd ones, and the authors' text comparison."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agrae_lab.verify.answers import MAX_CHARS, answer_sentence, boxed_answer, plain, rational, refusal
from agrae_lab.verify.official import is_equal, normalise


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"so \boxed{7}.", "7"),
        (r"\boxed{1} and then \boxed{ \frac{1}{2} }", r"\frac{1}{2}"),
        (r"\fbox{3}", "3"),
        (r"\boxed {x}", "x"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),  # a set brace that nothing closes
        (r"\boxed{\begin{pmatrix} 1 \\ 2 \end{pmatrix}}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        (r"\boxed{5} as \boxed{cut o", "5"),
        (r"\boxed{cut off {", None),
        (r"\boxed{}", None),
        (r"so $\boxed 7$.", "7"),
        (r"\boxed{30^\circ.}", r"30^\circ"),
        (r"\boxed", None),
        (r"\boxedness {7}", None),
        ("no box, 7", None),
        ("", None),
    ],
)
def test_the_last_complete_box_is_the_answer(completion, answer):
    assert boxed_answer(completion) == answer


@settings(deadline=None)
@given(
    st.text(alphabet="abc 12{}\\$", max_size=40).filter(lambda s: s.count("{") == s.count("}") == s.count("\\") == 0)
)
def test_what_goes_into_a_box_comes_out(text):
    assert boxed_answer(f"first {{x}} \\boxed{{0}}, then \\boxed{{{text}}}, then more") == (text.strip() or None)


def test_megabytes_of_boxes_are_read_at_once():
    assert boxed_answer("\\boxed{" * 500_000) is None
    assert boxed_answer("{" * 1_000_000 + "\\boxed{1}") == "1"


def test_a_bare_number_is_no_answer():
    assert answer_sentence("so we get 3 + 4 = 7 and") is None
    assert answer_sentence("The Answer is 7.") == "The Answer is 7."
    assert answer_sentence("the answer " + "x" * 1000) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (r"\left( 3, \dfrac{\pi}{2} \right)", r"(3,\frac{\pi}{2})", True),
        ("x + 1 = 2", "x+1=2", True),
        (r"\pi r", r"\pir", False),
        (r"\leftarrow", "arrow", False),
        ("1 2", "12", False),
        ("15, 600", "15,600", False),  # two numbers, and one
        (r"34,\!650", "34,650", True),
        ("(1, 2)", "(1,2)", True),
        (r"\text{a b}", r"\text{ab}", False),
    ],
)
def test_typesetting_makes_no_difference(one, other, same):
    assert (plain(one) == plain(other)) is same


@pytest.mark.parametrize(
    ("answer", "value"),
    [("7", 7), ("-007", -7), ("2.50", "5/2"), ("-1/4", "-1/4"), (r"-\frac{2}{8}", "-1/4"), (r"\frac{1}{0}", None)]
    + [
        (text, None)
        for text in ("", "-", "1e5", ".5", "1,000", "１", "²", "1/2/3", r"\frac{1}{-2}", "9" * 101, "x", "1\n")
    ],
)
def test_numbers_written_in_digits_have_a_value(answer, value):
    assert rational(answer) == (None if value is None else Fraction(value))


@pytest.mark.parametrize(
    "answer",
    [
        "9**9**9**9",
        "9^{9^{9}}",
        r"9^{9^{9^{9}}}",
        r"1+\left(2^{10^{10}}\right)",
        "10^(10^(10))",
        "2^{-10^{10}}",
        "100000!",
        "((5!)!)! + 1",
        "5!!!",
        "7" * (MAX_CHARS + 1),
        r"\frac{" * 30,
        "(" * 200,
        r"\sqrt{" * 25 + "2" + "}" * 25,
    ],
)
def test_absurd_answers_are_refused(answer):
    assert refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "2^{4950}",
        "3^{2007}",
        r"\frac{1}{2004!}",
        r"\frac{100!}{2^{50}}",
        r"10^{100},10^{1 / 100}",
        "2^{2^{3}}",
        "2^{3}4^{5}",
        r"(2^3)^{10}",
        r"2^{3} \cdot 4^{5}",
        "x^{y^{z}}",
        r"\{1,2,3\}",
        "0^0",
        "",
    ],
)
def test_answers_of_real_problems_are_not_refused(answer):
    assert refusal(answer) is None


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        (r"\dfrac12", r"\frac{1}{2}"),
        ("1/2", r"\frac{1}{2}"),
        (r"\frac1{72}", r"\frac{1}{72}"),
        (r"x = 5", "5"),
        (r"10^\circ", "10"),
        (r"5\text{ cm}", "5"),
        (r"\text{Friday}", "{Friday}"),
        (r"\sqrt2", r"\sqrt{2}"),
        (r"44\%", "44"),
        (r"\$ 3.50", "3.50"),
        ("48.0", "48"),
        (".5", "0.5"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        (r"6, 8\text{, and }10", "6,8{,}10"),
        (r"864 \mbox{ inches}^2", "864^2"),
    ],
)
def test_the_authors_normal_form(answer, normal):
    assert normalise(answer) == normal


def test_the_official_comparison_is_one_of_text():
    assert is_equal(r"\dfrac{1}{2}", "1/2")
    assert is_equal("x=7", "7")
    assert not is_equal(r"\sqrt{8}", r"2\sqrt{2}")
    assert not is_equal("0.5", r"\frac{1}{2}")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="\\frac{}12/.=sqrtex %$^!\n", max_size=60))
def test_normalising_never_fails(text):
    assert "\n" not in normalise(text)
