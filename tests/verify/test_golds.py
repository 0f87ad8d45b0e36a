"""Every gold answer of the sets that we have: it is read from its box, parsed, and equal to itself."""

import json
from pathlib import Path

import pytest

from agrae_lab.tasks import load_problems, load_task
from agrae_lab.tasks.problems import SETS
from agrae_lab.verify import judge
from agrae_lab.verify.answers import boxed_answer, refusal
from agrae_lab.verify.official import normalise
from agrae_lab.verify.pool import POOL

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not (DATA / "math_train.jsonl").is_file(), reason=f"no problem sets in {DATA}")

SIZES = {
    "math500": 500, "gsm8k": 1319, "amc23": 40, "aime2024": 30, "aime2025": 30, "minerva_math": 272,
    "olympiadbench": 675, "math": 5000,
}  # fmt: skip


def problems(task, split="test"):
    return load_problems(load_task(task), split, data_dir=DATA)


@pytest.mark.parametrize("name", ["math_train", "math_test", "gsm8k_train", "gsm8k_test"])
def test_the_answers_that_the_hub_has_within_solutions(name):
    """The columns of the pinned sets; what is read from a solution is the answer that our file has."""
    rows = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text().split("\n") if line]
    assert [SETS[name].read_answer(row["solution"]) for row in rows] == [row["answer"] for row in rows]


def check(golds):
    for gold in golds:
        assert boxed_answer(rf"So it is $\boxed{{{gold}}}$.") == gold
        assert refusal(gold) is None, gold
    # past all short cuts, but for whole numbers, which are most
    asked = sorted({gold for gold in golds if not gold.removeprefix("-").isdigit()})
    replies = POOL.ask([(gold, gold, False) for gold in asked])
    assert [gold for gold, (outcome, _) in zip(asked, replies, strict=True) if outcome != "correct"] == []
    assert {j.outcome for j in judge([rf"\boxed{{{gold}}}" for gold in golds], golds)} == {"correct"}


def test_golds_of_the_papers_benchmarks():
    check([row["answer"] for name in ("math500", "amc23", "aime2024", "aime2025") for row in problems(name)])


@pytest.mark.slow
def test_every_gold_of_every_set():
    sets = {name: problems(name) for name in SIZES} | {f"{n}/train": problems(n, "train") for n in ("math", "gsm8k")}
    assert {name: len(rows) for name, rows in sets.items()} == {**SIZES, "math/train": 7500, "gsm8k/train": 7473}
    check([row["answer"] for rows in sets.values() for row in rows])


def test_percent_golds_take_the_number_with_and_without_its_sign():
    golds = [p["answer"] for split in ("train", "test") for p in problems("math", split) if p["answer"].endswith("%")]
    numbers = [gold.removesuffix("%").removesuffix("\\").strip() for gold in golds]
    assert len(golds) > 40
    for answers in (numbers, [rf"{n} \%" for n in numbers], [f"{n}%" for n in numbers]):
        outcomes = [j.outcome for j in judge([rf"\boxed{{{a}}}" for a in answers], golds)]
        assert set(outcomes) == {"correct"}
    wrong = judge([rf"\boxed{{{n}1}}" for n in numbers], golds)
    assert {j.outcome for j in wrong} == {"incorrect"}


def test_the_official_normal_form_is_that_of_the_authors_targets():
    rows = [row for split in ("train", "test") for row in problems("math", split)]
    changed = [row for row in rows if "target" in row]
    assert len(changed) == 1150 + 768
    # six targets are damaged beyond their own rules: empty, cut off, or a piece of the solution's prose
    assert sum(normalise(row["answer"]) != row["target"] for row in changed) == 6
    assert all(normalise(row["answer"]) == row["answer"] for row in rows if "target" not in row)
