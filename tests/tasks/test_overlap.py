"""Test problems that are training problems too."""

from pathlib import Path

import pytest

from agrae_lab.tasks import count_shared, load_problems, load_task
from agrae_lab.tasks.vision.images import ImageFile

MATH, COUNTDOWN = load_task("math"), load_task("countdown")


def problem(text, answer="1", id="x"):
    return {"id": id, "problem": text, "answer": answer}


def test_ids_answers_case_and_spacing_do_not_tell_problems_apart():
    train = [problem("Add 1  and\n2.", id="a"), problem("Add 3 and 4.", id="b")]
    test = [problem("add 1 and 2.", answer="3", id="c"), problem("Add 1 and 2", id="a"), problem("Add 34.", id="d")]
    assert count_shared(MATH, test, load_task("amc23"), train) == 1


def test_images_are_compared_by_content():
    task = load_task("geo3k")
    one, copy, other = (
        problem("<image>?") | {"image": [ImageFile(Path(path), sha256)]}
        for path, sha256 in (("/train/a.png", "ab"), ("/test/b.png", "ab"), ("/train/a.png", "cd"))
    )
    assert count_shared(task, [copy], task, [one]) == 1
    assert count_shared(task, [other], task, [one]) == 0


def test_every_column_that_asks_counts():
    one, other = ({"id": i, "digits": "123", "target": target} for i, target in (("a", 6), ("b", 7)))
    assert count_shared(COUNTDOWN, [one], COUNTDOWN, [other]) == 0
    assert count_shared(COUNTDOWN, [one], COUNTDOWN, [{**one, "id": "b"}]) == 1
    assert count_shared(COUNTDOWN, [one], MATH, [problem("123")]) == 0


@pytest.mark.parametrize("name", ["countdown", "shapes"])
def test_the_shipped_sets_share_no_problem(name):
    task = load_task(name)
    assert count_shared(task, load_problems(task, "test"), task, load_problems(task, "train")) == 0
