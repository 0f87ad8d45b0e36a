"""The paper's numbers as they were printed, and where they belong beside ours."""

from __future__ import annotations

import hashlib

import pytest

from analysis import published
from analysis.published import COLUMNS, PAPER_TABLES, match, models, parse, published_rows


def test_the_file_is_the_one_that_its_source_describes() -> None:
    digest = hashlib.sha256(PAPER_TABLES.read_bytes()).hexdigest()
    assert digest in (PAPER_TABLES.parent / "SOURCE.md").read_text()


def test_numbers_are_the_printed_ones_as_shares() -> None:
    rows = published_rows("Qwen2.5-Math-7B", "MATH")
    assert tuple(rows.columns) == COLUMNS
    first = rows[(rows["table"] == 3) & (rows["arm"] == "grpo")].set_index("k")
    assert (first.loc[256, "estimate"], first.loc[256, "plus_minus"]) == (0.95, 0.012)
    assert published_rows("DeepSeek-R1-7B")["plus_minus"].isna().all()
    assert len(published._rows()) == 825
    assert published._rows()["estimate"].between(0, 1).all()


def test_every_published_method_has_an_arm_as_runs_are_called() -> None:
    from agrae_lab.advantages import preset_names

    rows = published._rows()
    assert set(rows["method"]) == set(published.ARMS)
    known = {*preset_names(), "base", "dapo"}
    assert all(part in known for arm in published.ARMS.values() for part in arm.split("+"))


def test_arms_are_named_as_the_config_names_them() -> None:
    from agrae_lab.advantages import make
    from agrae_lab.config.frozen import _name_of

    runs = {
        "DAPO": (make("grpo"), ["dapo"]),
        "DAPO + A-GRAE": (make("a_grae"), ["dapo"]),
        "Dr.GRPO": (make("dr_grpo"), ["dr_grpo"]),
        "Dr.GRPO + A-GRAE": (make("a_grae", base="dr_grpo"), ["dr_grpo"]),
        "GRPO + A-GRAE": (make("a_grae"), []),
    }
    assert {method: _name_of(*run) for method, run in runs.items()} == {m: published.ARMS[m] for m in runs}


def test_a_panel_gets_each_arm_and_k_once() -> None:
    rows = match("Qwen2.5-Math-7B", "amc23")
    assert not rows.duplicated(["arm", "k"]).any()
    assert set(rows["benchmark"]) == {"AMC23"}
    grpo = rows[(rows["arm"] == "grpo") & (rows["k"] == 1)].iloc[0]
    assert (grpo["table"], grpo["estimate"]) == (3, 0.602)  # tables 6 and 7 print 59.2
    assert {"positive_dominant", "a_grae_sample_only", "grpo+dapo"} < set(rows["arm"])


@pytest.mark.parametrize(
    ("benchmark", "theirs"),
    [("math_test", "MATH"), ("math", "MATH"), ("MATH", "MATH"), ("aime2025", "AIME 2025"), ("AIME 2025", "AIME 2025")],
)
def test_benchmarks_are_matched_where_the_problems_are_the_same(benchmark: str, theirs: str) -> None:
    assert set(match("DeepSeek-R1-7B", benchmark)["benchmark"]) == {theirs}


@pytest.mark.parametrize("benchmark", ["math500", "aime2024", "countdown_test", "geo3k"])
def test_other_benchmarks_get_nothing(benchmark: str) -> None:
    rows = match("Qwen2.5-Math-7B", benchmark)
    assert rows.empty
    assert tuple(rows.columns) == COLUMNS


def test_a_named_benchmark_is_shown_in_every_panel() -> None:
    rows = match("Qwen2.5-Math-7B/AIME 2025", "countdown_test")
    assert set(rows["benchmark"]) == {"AIME 2025"}
    assert rows.equals(match("Qwen2.5-Math-7B", "aime2025"))


def test_nothing_is_shown_unless_asked_for() -> None:
    assert match(None, "amc23").empty


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Qwen", "no model 'Qwen'; choose from DeepSeek-R1-7B, Qwen2.5-Math-7B, Qwen2.5-VL-3B-Instruct"),
        ("DeepSeek-R1-7B/Geo3K", "no published benchmark 'Geo3K'; choose from MATH, AIME 2025, AMC23"),
        ("DeepSeek-R1-7B/", "no published benchmark ''"),
        ("", "no model ''"),
    ],
)
def test_unknown_names_list_the_choices(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(text)
    with pytest.raises(ValueError, match=words):
        match(text, "amc23")


def test_the_models_are_the_paper_s() -> None:
    assert models() == ["DeepSeek-R1-7B", "Qwen2.5-Math-7B", "Qwen2.5-VL-3B-Instruct"]


def test_a_caller_cannot_change_the_numbers() -> None:
    rows = published_rows("Qwen2.5-Math-7B")
    rows["estimate"] = 0.0
    assert published_rows("Qwen2.5-Math-7B")["estimate"].max() == 1.0
