"""Names of lines: one row above the panels where it fits, else at the ends of the lines; each name once."""

from __future__ import annotations

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from agrae_lab.runs import list_experiments
from analysis.figures import find
from analysis.io.study import Study, load_study, merge_studies
from analysis.presentation.legend import spread
from analysis.presentation.render import build
from analysis.presentation.style import STYLE, dash, label


@pytest.fixture(scope="module")
def study(demo_root) -> Study:
    studies = [load_study(demo_root.path, experiment) for experiment in list_experiments(demo_root.path)]
    return merge_studies(studies, name="all", question="?")


def drawn(name: str, study: Study) -> Figure:
    figure = find(name)
    with mpl.rc_context(STYLE):
        return build(figure, figure.table(study))


def legend_rows(figure: Figure) -> int:
    """Number of different heights of the names in the legend."""
    FigureCanvasAgg(figure).draw()
    return len({round(text.get_window_extent().y0) for one in figure.legends for text in one.get_texts()})


@pytest.mark.parametrize(
    "name", ["passk", "passk_gain", "cover", "correct_counts", "entropy", "greedy", "mass_by_sign"]
)
def test_every_arm_is_named_once_and_no_legend_has_two_rows(name: str, study: Study) -> None:
    figure = drawn(name, study)
    at_ends = [text.get_text().replace("\n", " ") for ax in figure.axes for text in ax.texts]
    in_legend = [text.get_text() for one in figure.legends for text in one.get_texts()]
    names = [text.replace("- ", "-") for text in (*at_ends, *in_legend)]
    assert len(names) == len(set(names))
    assert set(names) >= {label(arm) for arm in study.arms}
    assert legend_rows(figure) <= 1


def test_names_at_line_ends_overlap_nothing_and_follow_the_ends(study: Study) -> None:
    figure = drawn("passk", study)
    FigureCanvasAgg(figure).draw()
    (ax,) = figure.axes
    boxes = sorted((text.get_window_extent() for text in ax.texts), key=lambda box: box.y0)
    assert len(boxes) == len(study.arms) + 1
    for low, high in pairwise(boxes):
        assert low.y1 <= high.y0 + 0.5
    assert all(box.x0 >= ax.get_window_extent().x1 for box in boxes)
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)
    ends = {str(line.get_label()): line.get_ydata()[-1] for line in ax.get_lines() if len(line.get_xdata()) > 2}
    named = [text.get_text().replace("-\n", "-") for text in sorted(ax.texts, key=lambda text: text.get_position()[1])]
    assert [ends[name] for name in named] == sorted(ends.values())


def test_a_leader_has_its_line_s_look(study: Study) -> None:
    """In grey print the dash tells which line a name belongs to."""
    figure = drawn("passk", study)
    leaders = [artist for artist in figure.artists if isinstance(artist, Line2D)]
    by_colour = {line.get_color(): line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 2}
    assert len(leaders) == len(by_colour)
    for leader in leaders:
        line = by_colour[leader.get_color()]
        assert leader.get_marker() == line.get_marker()
        assert leader._unscaled_dash_pattern == line._unscaled_dash_pattern
    assert {line._unscaled_dash_pattern for line in leaders} >= {dash("grpo"), dash("base")} - {(0.0, ())}


def test_a_row_that_fits_stays_a_legend(new_root) -> None:
    root = new_root(num_problems=8, num_samples=8, num_steps=4)
    root.experiment("x", [root.run("grpo"), root.run("a_grae")])
    figure = drawn("passk", load_study(root.path, list_experiments(root.path)[0]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Base model", "GRPO", "A-GRAE"]
    assert legend_rows(figure) == 1
    assert not figure.axes[0].texts


def test_spread_keeps_boxes_apart_and_as_near_as_possible() -> None:
    assert spread([0.2, 0.8], [0.1, 0.1]) == pytest.approx([0.2, 0.8])
    assert spread([0.5, 0.5], [0.1, 0.1]) == pytest.approx([0.45, 0.55])
    assert spread([0.0, 0.0, 1.0], [0.2, 0.2, 0.2]) == pytest.approx([0.1, 0.3, 0.9])
    rng = np.random.default_rng(0)
    for _ in range(20):
        heights = rng.uniform(0.02, 0.15, 6)
        centres = np.array(spread(sorted(rng.random(6)), list(heights)))
        assert (np.diff(centres) >= (heights[1:] + heights[:-1]) / 2 - 1e-9).all()
        assert centres[0] >= heights[0] / 2 - 1e-9
        assert centres[-1] <= 1 - heights[-1] / 2 + 1e-9
