"""The task shapes: what its images show is what its rows say, and its verifier takes nothing else for an answer."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agrae_lab.tasks import load_problems, load_task, read_problems
from agrae_lab.tasks.vision.shapes import (
    DATA,
    FILES,
    MAX_COMPLETION_CHARS,
    SIDE,
    TASK,
    _colour,
    check,
    content,
    draw,
    make_files,
    random_problems,
    read_answer,
    solve,
)

COUNT = {"id": "x", "problem": "count circles", "scene": "c.s.cc..t..c....", "look": "plain", "seed": 3, "answer": "4"}
BARS = COUNT | {"problem": "add 2 5", "scene": "13942", "answer": "5"}
LINES = COUNT | {"problem": "longest line", "scene": "8 30 56 12", "answer": "c"}


def pixels(problem):
    return np.asarray(draw(problem))


@pytest.mark.parametrize(
    ("problem", "solution"),
    [(COUNT, "1+2+1+0=4"), (BARS, "3+2=5"), (BARS | {"problem": "add 3"}, "9"), (LINES, "c")],
)
def test_solutions_end_with_the_answer(problem, solution):
    assert solve(problem["problem"], problem["scene"]) == solution
    assert read_answer(solution) == solution.rpartition("=")[2]


@pytest.mark.parametrize("look", ["plain", "strange"])
def test_every_random_problem_is_of_the_task_and_solved_by_its_solution(look):
    problems = random_problems(random.Random(0), look=look)
    for _ in range(300):
        problem = next(problems)
        check(problem)
        assert TASK.verify(solve(problem["problem"], problem["scene"]), problem).correct


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("4", "4"),
        ("27", "27"),
        ("0", "0"),
        ("c", "c"),
        ("3+1=4", "4"),
        ("=4", "4"),
        ("1=2=4", "4"),
        ("", None),
        ("04", None),
        ("100", None),
        ("-4", None),
        ("4 ", None),
        ("4\n", None),
        ("4=", None),
        ("3+1", None),
        ("４", None),
        ("²", None),
        ("e", None),
        ("C", None),
        ("cc", None),
        ("four", None),
    ],
)
def test_what_is_read_as_an_answer(text, answer):
    assert read_answer(text) == answer


def test_only_the_answer_counts_and_the_reckoning_does_not():
    assert TASK.verify("4", COUNT).correct
    assert TASK.verify("9+9=4", COUNT).correct
    wrong, broken = TASK.verify("1+2+1+0=5", COUNT), TASK.verify("4!", COUNT)
    assert (wrong.correct, wrong.reward, wrong.components, wrong.answer) == (
        False,
        0,
        {"accuracy": 0, "format": 1},
        "5",
    )
    assert (broken.correct, broken.reward, broken.components, broken.answer) == (
        False,
        0,
        {"accuracy": 0, "format": 0},
        None,
    )


def test_other_rewards_may_be_asked_for():
    task = load_task("shapes", {"reward": "code"})
    assert [task.verify(text, COUNT).reward for text in ("4", "5", "4!")] == pytest.approx([1.0, 0.1, 0.0])


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_text_gets_a_verdict_and_is_right_only_with_the_very_answer(text):
    verdict = TASK.verify(text, COUNT)
    assert verdict.valid
    assert verdict.correct == (len(text) <= MAX_COMPLETION_CHARS and text.split("=")[-1] == "4")


@pytest.mark.parametrize("text", ["=" * 1_000_000, "4" * 1_000_000, "1+" * 500_000 + "=4", "\x00" * 50, "<script>"])
def test_hostile_text_is_wrong_and_nothing_else(text):
    verdict = TASK.verify(text, COUNT)
    assert not verdict.correct
    assert verdict.valid


def test_a_prompt_is_the_image_and_then_the_question():
    ((message),) = TASK.prompt(COUNT)
    image, text = message["content"]
    assert message["role"] == "user"
    assert image["type"] == "image"
    assert (image["image"].mode, image["image"].size) == ("RGB", (SIDE, SIDE))
    assert text == {"type": "text", "text": "count circles"}


@pytest.mark.parametrize("look", ["plain", "strange"])
@pytest.mark.parametrize("problem", [COUNT, BARS, LINES], ids=lambda p: p["problem"])
def test_equal_rows_give_equal_images_and_looks_differ(problem, look):
    np.testing.assert_array_equal(pixels(problem | {"look": look}), pixels(problem | {"look": look}))
    assert (pixels(problem | {"seed": 4, "look": look}) != pixels(problem | {"look": look})).any()
    assert (pixels(problem | {"look": "plain"}) != pixels(problem | {"look": "strange"})).any()


def test_each_cell_holds_its_shape_and_no_more():
    ink = (pixels(COUNT) < 255).any(axis=2).reshape(4, 16, 4, 16).any(axis=(1, 3))
    assert ["".join("#" if cell else "." for cell in row) for row in ink] == ["#.#.", "##..", "#..#", "...."]


def test_shapes_differ_in_the_share_of_their_box_that_they_fill():
    def share(shape):
        image = pixels(COUNT | {"scene": shape * 16})
        ink = (image < 255).any(axis=2)
        return sum(_share_of_box(ink[y : y + 16, x : x + 16]) for y in range(0, 64, 16) for x in range(0, 64, 16)) / 16

    assert share("s") == 1
    assert share("t") < 0.65 < share("c") < 1


def _share_of_box(ink):
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean()


def test_bars_are_as_high_as_the_scene_says():
    for seed in range(20):
        coloured = np.ptp(pixels(BARS | {"seed": seed}).astype(int), axis=2) > 40
        columns = np.array([np.flatnonzero(column)[[0, -1]] if column.any() else (0, -1) for column in coloured.T])
        heights = columns[:, 1] - columns[:, 0] + 1
        runs = [int(h) for h, before in zip(heights, [0, *heights], strict=False) if h != before and h > 0]
        assert runs == [6 * int(h) + 1 for h in BARS["scene"]]


def test_lines_are_as_long_as_the_scene_says():
    for seed in range(20):
        ink = (pixels(LINES | {"seed": seed}) < 255).any(axis=2).reshape(4, 16, SIDE).any(axis=1)
        assert ink.sum(axis=1).tolist() == [int(length) for length in LINES["scene"].split()]


def test_plain_shapes_mostly_have_their_kinds_colour_and_strange_ones_do_not():
    def share_of_red(look):
        images = [pixels(COUNT | {"scene": "c" * 16, "look": look, "seed": seed}).astype(int) for seed in range(10)]
        colours = np.array([image[y, x] for image in images for y in range(8, 64, 16) for x in range(8, 64, 16)])
        return (colours.argmax(axis=1) == 0).mean()

    assert share_of_red("plain") > 0.75
    assert share_of_red("strange") < 0.5


def test_five_in_six_have_the_colour_of_their_kind():
    rng = random.Random(0)
    colours = [_colour(rng, strange=False, favourite=1) for _ in range(20_000)]
    assert np.mean([max(colour) == colour[1] for colour in colours]) == pytest.approx(5 / 6, abs=0.01)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"problem": "count stars"}, "problem must be like 'count circles'"),
        ({"problem": "count circles\n"}, "problem must be"),
        ({"problem": ["count circles"]}, "problem must be"),
        ({"scene": "c.s."}, "the scene of 'count circles' must be of the form"),
        ({"scene": None}, "the scene of"),
        ({"problem": "add 2", "scene": "12045"}, "the scene of 'add 2'"),
        ({"look": "odd"}, "look must be plain or strange, got 'odd'"),
        ({"problem": "longest line", "scene": "8 30 60 12"}, "the scene of 'longest line'"),
        ({"problem": "add 2", "scene": 12345}, "the scene of 'add 2'"),
        ({"seed": 1.5}, "seed must be a whole number of at least 0, got 1.5"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": True}, "seed must be a whole number of at least 0, got True"),
    ],
)
def test_a_row_of_no_use_is_refused_by_its_id(change, said):
    with pytest.raises(ValueError, match=r"problem 'x' of the task shapes: ") as refused:
        TASK.prompt(COUNT | change)
    assert said in str(refused.value)


def test_the_shipped_files_are_the_generators_and_no_content_is_in_two():
    files = make_files()
    shipped = {file: read_problems(DATA / f"{file}.jsonl", TASK.columns) for file in FILES}
    assert shipped == files
    assert {file: len(rows) for file, rows in shipped.items()} == {f: count for f, (count, _) in FILES.items()}
    contents = [content(p) for rows in shipped.values() for p in rows]
    assert len(set(contents)) == len(contents)
    for file, rows in shipped.items():
        assert {p["look"] for p in rows} == {"strange" if file == "shapes_strange_test" else "plain"}


def test_training_and_the_two_benchmarks_find_their_files():
    files = make_files()
    assert load_problems(load_task("shapes"), "train") == files["shapes_train"]
    assert load_problems(load_task("shapes"), "test") == files["shapes_test"]
    assert load_problems(load_task("shapes_strange"), "test") == files["shapes_strange_test"]


def test_kinds_take_turns_and_no_answer_is_a_good_guess():
    rows = make_files()["shapes_train"]
    kinds = Counter(p["problem"].split()[0] for p in rows)
    assert set(kinds) == {"count", "add", "longest"}
    assert max(kinds.values()) - min(kinds.values()) < 6  # a problem whose content was there is left out
    for kind in kinds:
        answers = Counter(p["answer"] for p in rows if p["problem"].split()[0] == kind)
        assert max(answers.values()) / kinds[kind] < 0.3
