"""Gains with and without the update mass of GRPO: which arms belong together, and what is drawn of them."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from analysis_lab import description

from agrae_lab.runs import list_experiments
from analysis.figures import mass_control, passk_gain
from analysis.io.study import Study, load_study
from analysis.presentation.render import build
from analysis.presentation.style import STYLE


@pytest.fixture
def study(new_root) -> Study:
    root = new_root(num_problems=30, num_samples=64)
    runs = [root.run("grpo"), root.run("hard_focused"), root.run("negative_dominant")]
    matched = {**runs[2].config["advantage"], "match": {"name": "l1", "ddof": 0, "epsilon": 0.0}}
    runs.append(root.run("a_grae", arm="negative_dominant+l1", advantage=matched))  # a_grae's numbers
    unlike = {**matched, "group": {"name": "scale_positive", "beta": 0.5}}  # has no counterpart
    runs.append(root.run("easy_focused", arm="negative_dominant+beta=0.5+l1", advantage=unlike))
    root.experiment("mass_control", runs)
    return load_study(root.path, list_experiments(root.path)[0])


def test_pairs_differ_in_their_matching_alone(study: Study) -> None:
    table = mass_control.table(study)
    assert set(table["arm"]) == {"negative_dominant"}
    assert set(table["matched_arm"]) == {"negative_dominant+l1"}
    assert set(table["k"]) == {1, 16}  # n = 64


def test_gains_are_those_of_the_gain_figure_and_their_difference_is_paired(study: Study) -> None:
    table = mass_control.table(study).set_index(["kind", "k"])
    gains = passk_gain.table(study)
    gains = gains[gains["reference"] == "grpo"].set_index(["arm", "k"])
    for k in (1, 16):
        free, matched, lost = (table.loc[(kind, k)] for kind in ("free", "matched", "matched minus free"))
        for row, arm in ((free, "negative_dominant"), (matched, "negative_dominant+l1")):
            for column in ("estimate", "lo", "hi"):
                assert row[column] == pytest.approx(gains.loc[(arm, k), column])
        assert lost["estimate"] == pytest.approx(matched["estimate"] - free["estimate"])
        assert lost["lo"] < lost["estimate"] < lost["hi"]


def test_both_are_drawn(study: Study) -> None:
    table = mass_control.table(study)
    with mpl.rc_context(STYLE):
        figure = build(mass_control, table)
    drawn = {float(x) for ax in figure.axes for line in ax.get_lines() for x in np.atleast_1d(line.get_xdata())}
    shown = table[table["kind"] != "matched minus free"]
    assert set(shown["estimate"]) <= drawn
    assert "advantages of each batch are multiplied" in description(mass_control, table)


def test_without_pairs_there_is_no_figure(demo_root) -> None:
    assert mass_control.table(load_study(demo_root.path, list_experiments(demo_root.path)[0])).empty
