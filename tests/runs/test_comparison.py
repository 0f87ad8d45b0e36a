"""The parts of an experiment's question: their forms, their checks, and their way into the manifest."""

import pytest

from agrae_lab.runs import Comparison, Experiment, RunError, list_experiments, write_json
from agrae_lab.runs.files import read_json


def test_nothing_told_is_no_comparison():
    assert Comparison.of({"name": "a", "question": None, "reference": None, "candidates": [], "metrics": ()}) is None


def test_parts_have_defaults():
    found = Comparison.of({"reference": "dr_grpo", "metrics": ["pass@16", "pass@1"]})
    assert found == Comparison("dr_grpo", (), ("pass@16", "pass@1"), "1pp")
    assert (found.ks, found.smallest_share) == ((1, 16), 0.01)
    assert Comparison.of({"smallest_effect": "0.5 %"}) == Comparison("grpo", smallest_effect="0.5 %")


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"reference": "a", "candidates": ["a"]}, "reference: a is a candidate as well"),
        ({"candidates": ["a", "b", "a"]}, "candidates: a is listed more than once"),
        ({"metrics": ["pass@0"]}, "metrics: 'pass@0' is not a metric"),
        ({"metrics": ["pass@1/aime"]}, "is not a metric"),
        ({"smallest_effect": "1"}, "smallest_effect: '1' is not an effect"),
        ({"smallest_effect": "0pp"}, "is not an effect"),
        ({"smallest_effect": "1e9pp"}, "is not an effect"),
        ({"smallest_effect": "150pp"}, "above 0 and at most 100, such as 1pp"),
        ({"metrics": ["pass@1", "pass@4", "pass@1"]}, "metrics: pass@1 is listed more than once. Leave one out"),
        ({"candidates": "a_grae"}, "candidates: 'a_grae' is not a list of names. Write them in brackets"),
        ({"candidates": [["a"]]}, r"candidates: \[\['a'\]\] is not a list of names"),
        ({"candidates": [None]}, r"candidates: \[None\] is not a list of names"),
        ({"metrics": "pass@1"}, "metrics: 'pass@1' is not a list"),
        ({"reference": ["a"]}, r"reference: \['a'\] is not a name"),
        ({"reference": 0.5}, "reference: 0.5 is not a name"),
    ],
)
def test_a_bad_part_is_one_sentence_with_its_key(section, sentence):
    with pytest.raises(ValueError, match=sentence):
        Comparison.of(section)


def test_k_is_at_most_half_of_n():
    Comparison(metrics=("pass@4",)).check_samples(8)
    with pytest.raises(ValueError, match="leaves no variance within a problem"):
        Comparison(metrics=("pass@5",)).check_samples(8)
    with pytest.raises(ValueError, match="k is above n"):
        Comparison(metrics=("pass@9",)).check_samples(8)


def test_arms_must_be_known():
    Comparison("base", ("a",)).check_arms(["a"])
    with pytest.raises(ValueError, match="reference: there is no arm 'grpo'"):
        Comparison().check_arms(["a"])
    with pytest.raises(ValueError, match="candidates: there is no arm 'b'"):
        Comparison("a", ("b",)).check_arms(["a"])


def test_a_manifest_keeps_the_comparison_of_an_earlier_launch(tmp_path):
    told = Comparison("a", ("b",), ("pass@1",), "2pp")
    Experiment("e", "?", ("x/seed-0",), {}, told).write(tmp_path)
    Experiment("e", "?", ("y/seed-0",)).write(tmp_path)
    (found,) = list_experiments(tmp_path)
    assert (found.comparison, found.runs) == (told, ("x/seed-0", "y/seed-0"))


def test_arms_may_be_named_by_whole_numbers():
    assert Comparison.of({"reference": 7, "candidates": [8]}) == Comparison("7", ("8",))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("comparison", {"candidates": "a_grae"}, r"comparison.candidates: 'a_grae' is not a list of names"),
        ("comparison", "a_grae", "comparison must be an object"),
        ("runs", "x/seed-0", "runs must be a list of text"),
        ("runs", [3], "runs must be a list of text"),
        ("arms", ["a"], "arms must be an object"),
        ("name", 3, "name must be text"),
    ],
)
def test_a_manifest_edited_by_hand_is_one_sentence(tmp_path, key, value, sentence):
    path = Experiment("e", "?", ("x/seed-0",)).write(tmp_path)
    write_json(path, {**read_json(path), key: value})
    with pytest.raises(RunError, match=rf"e\.json: {sentence}"):
        list_experiments(tmp_path)
