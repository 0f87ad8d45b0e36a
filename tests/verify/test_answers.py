"""Reading answers out of completions, refusing absurd ones, and the authors' text comparison."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agrae_lab.verify.answers import boxed_answer, last_complete_box, read_answer
from agrae_lab.verify.limits import MAX_CHARS, refusal
from agrae_lab.verify.official import is_equal, normalise
from agrae_lab.verify.sentences import stated_answer
from agrae_lab.verify.writing import canonical


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
        (r"\boxed{5} as \boxed{cut o", None),
        (r"\boxed{5}, my \boxed answer", "5"),
        (r"<think>\boxed{5}</think> \boxed{6}", "6"),
        (r"<think>\boxed{5}", None),
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
def test_the_last_box_is_the_answer(completion, answer):
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


def test_a_solution_and_the_official_reward_pass_over_an_open_box():
    assert last_complete_box(r"\boxed{5} as \boxed{cut o") == "5"
    assert last_complete_box(r"<think>\boxed{5}") == "5"
    assert last_complete_box(r"\boxed{} or \boxed{cut o") is None


def test_boxes_side_by_side_are_read_together():
    assert read_answer(r"$x = \boxed{2}$, $\boxed{3}$ or $x=\boxed{\frac{1}{2}}$.").parts == ("2", "3", r"\frac{1}{2}")
    assert read_answer(r"\boxed{2}. But no, \boxed{3}").parts == ("3",)
    assert read_answer(r"\boxed{2} and " * 100 + r"\boxed{3}").answer == "3"


@pytest.mark.parametrize("command", ["boxed", "fbox"])
def test_contents_that_are_letters_of_the_command_are_read_together(command):
    assert read_answer(rf"\{command}{{b}}, \{command}{{o}} and \{command}{{x}}").parts == ("b", "o", "x")
    assert read_answer(rf"\{command} 4, \{command} x").parts == ("4", "x")


def test_megabytes_of_boxes_side_by_side_are_read_at_once():
    assert read_answer(r"\boxed{1}," * 300_000).answer == "1"
    assert read_answer(r"\boxed " * 300_000).answer is None
    assert read_answer("<think>" * 300_000).answer is None
    assert read_answer("the answer is " * 300_000).answer is None


@pytest.mark.parametrize(
    "piece", ["\n", " ", "**", "$$", r"\[", "because ", ", so ", "is ", "what is ", "(", "the answer we "]
)
def test_a_hostile_tail_is_read_in_linear_time(piece):
    start = time.process_time()
    for text in (piece * 4000, "Since the answer is " + piece * 4000, piece * 4000 + ", so the answer is 7"):
        stated_answer(text)
    assert time.process_time() - start < 0.5  # seconds; quadratic patterns take several


@pytest.mark.parametrize(
    ("completion", "stated"),
    [
        ("so we get 3 + 4 = 7 and", None),
        ("The Answer is 7.", "7"),
        ("The answer is 3.5. I hope it helps.", "3.5"),
        ("**Answer:** $7$", "$7$"),
        ("The answer to the question of $x$ is 7, because 3 + 4 = 7.", "7"),
        ("# Final Answer\n\n7", "7"),
        ("The answer is 7 million.", "7 million"),
        ("The answer is not 7.", None),
        ("The answer cannot be 7", None),
        ("Perhaps the answer is 7.", None),
        ("Suppose the answer is 7.", None),
        ("Is the answer 7?", None),
        ("The answer is 7. No, I made a mistake.", None),
        ("The answer is 6. The answer is 7.", "7"),
        ("The answer is 7 ... or is it?", None),
        ('The answer is "7".', "7"),
        ("The answer is 7...", None),
        ("We seek an answer", None),
        ("the answer is 7." + " It was long." * 40, "7"),
        ("the answer is 7." + " It was long." * 4000, None),
    ],
)
def test_a_sentence_states_the_answer(completion, stated):
    assert stated_answer(completion) == stated


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (r"\left( 3, \dfrac{\pi}{2} \right)", r"(3,\frac{\pi}{2})", True),
        ("x + 1 = 2", "x+1=2", True),
        (r"\pi r", r"\pir", False),
        (r"\leftarrow", "arrow", False),
        ("1 2", "12", False),
        ("15, 600", "15,600", False),  # two numbers, and one
        ("(1,234)", "(1234)", False),
        (r"34,\!650", r"34{,}650", True),
        ("1 234 567", "1,234,567", True),
        ("(1, 2)", "(1,2)", True),
        (r"\text{a b}", r"\text{ab}", False),
        ("½", r"\frac12", True),
        ("√2", r"\sqrt2", True),
        ("x²", "x^{2}", True),
        ("１２", "12", True),
        ("5 cm", "5 m", False),
        (r"5\text{ cm}", r"5\text{ m}", False),
        (r"44\%", "44", False),
        (r"\$5", "5", False),
        ("0.5", r"\frac{1}{2}", False),
        (r"\frac{2}{4}", r"\frac{1}{2}", False),
        (r"\mathrm{e}", "e", True),
        (r"\text{E}", "E", False),
    ],
)
def test_typesetting_makes_no_difference_and_nothing_else_is_lost(one, other, same):
    assert (canonical(one) == canonical(other)) is same


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="\\frac{}12/.=sqrtex %$^!_,()[]|text½√２", max_size=60))
def test_any_text_has_a_canonical_form(text):
    assert canonical(canonical(text)) is not None


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
        r"\binom{10^9}{500000000}",
        r"\dbinom{1000000}{2}",
    ],
)
def test_absurd_answers_are_refused(answer):
    assert refusal(answer)


def test_a_power_is_refused_by_its_number_of_digits():
    assert refusal("10^20000") is None
    assert refusal("10^20001")
    assert refusal("10^{100^2}") is None  # 10,000 digits
    assert refusal("10^{142^2}")  # 20,164 digits


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
        r"\binom{2005}{1002}",
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
