"""Interval strips over seeds show the numbers of the table of aggregates, and nothing without seeds."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from analysis_lab import description

from agrae_lab.runs import list_experiments
from analysis.figures import discover, seed_intervals
from analysis.io.study import Study, load_study
from analysis.presentation.render import build
from analysis.presentation.style import STYLE
from analysis.tables import aggregates


@pytest.fixture
def study(new_root) -> Study:
    """GRPO and A-GRAE with four seeds, Hard-Focused with one."""
    root = new_root(num_problems=30, num_samples=16, num_steps=4)
    runs = [root.run(arm, seed) for arm in ("grpo", "a_grae") for seed in range(4)]
    root.experiment("x", [*runs, root.run("hard_focused")])
    return load_study(root.path, list_experiments(root.path)[0])


def test_strips_are_the_table_of_aggregates(study: Study) -> None:
    table = seed_intervals.table(study)
    numbers = aggregates.table(study).dropna(subset="estimate")
    assert seed_intervals in discover()
    assert table["arm"].tolist() == numbers["arm"].tolist()
    columns = ["k", "estimate", "lo", "hi"]
    np.testing.assert_array_equal(table[columns].to_numpy(dtype=float), numbers[columns].to_numpy(dtype=float))
    with mpl.rc_context(STYLE):
        figure = build(seed_intervals, table)
    assert len(figure.axes) == 4
    for ax, (_, rows) in zip(figure.axes, table.groupby("panel", sort=False), strict=True):
        strips = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
        expected = sorted(rows.dropna(subset="lo")[["lo", "hi"]].itertuples(index=False, name=None))
        np.testing.assert_allclose(strips, expected)
        marks = [segment[0, 0] for segment in ax.collections[0].get_segments()]
        assert sorted(marks) == pytest.approx(sorted(rows["estimate"]))
    probability = table[table["quantity"] == "probability of improvement"]
    assert set(probability["arm"]) == {"a_grae"}  # the reference is not compared with itself, one seed says nothing


def test_it_names_methods_and_what_is_missing(study: Study) -> None:
    text = description(seed_intervals, seed_intervals.table(study))
    for words in ("seeds: 4 each", "interquartile mean", "Fewer than 5 seeds", "the base model, which has no seeds"):
        assert words in text


def test_without_several_seeds_there_is_no_figure(new_root) -> None:
    root = new_root(num_problems=8, num_samples=8, num_steps=4)
    root.experiment("x", [root.run("grpo"), root.run("a_grae")])
    assert seed_intervals.table(load_study(root.path, list_experiments(root.path)[0])).empty
