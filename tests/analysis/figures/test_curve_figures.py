"""Pass@k figures read back from their drawings: intervals, what is dotted, shaded and hollow, all of it in the CSV."""

from __future__ import annotations

import io
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from analysis_lab import description
from evaluated import DIFFICULTY_P, binomial, evaluations
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from agrae_lab.runs import list_experiments
from analysis import published
from analysis.estimates.passk_curves import gain_table
from analysis.figures import cover, passk, passk_gain
from analysis.io.study import Study, View, load_study
from analysis.presentation.render import build
from analysis.presentation.style import STYLE, colour, label, sort_arms

MODEL = "Qwen2.5-Math-7B"


def load(root, name: str = "group_symmetry") -> Study:
    return next(load_study(root.path, e) for e in list_experiments(root.path) if e.name == name)


@pytest.fixture(scope="module")
def study(demo_root) -> Study:
    return load(demo_root)


def draw(module, table: pd.DataFrame) -> Figure:
    with mpl.rc_context(STYLE):
        return build(module, table)


def segments(ax: Axes) -> list[tuple[float, np.ndarray]]:
    """Line width, and [x, low, high] of each interval, in the order in which they are drawn."""
    return [
        (c.get_linewidth()[0], np.array([(s[0, 0], s[0, 1], s[1, 1]) for s in c.get_segments()]))
        for c in ax.collections
        if isinstance(c, LineCollection)
    ]


def hollow(ax: Axes) -> list:
    return [line for line in ax.get_lines() if line.get_markerfacecolor() == "none" and len(line.get_xdata())]


@pytest.mark.parametrize(("module", "x"), [(passk, "k"), (passk_gain, "k"), (cover, "tau")])
def test_both_intervals_are_those_of_the_csv(module, x: str, study: Study) -> None:
    """For each arm of a panel the simultaneous interval, then the thicker pointwise one; nothing translucent."""
    table = module.table(study)
    csv = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    figure = draw(module, table)
    for ax, (_, panel) in zip(figure.axes, csv.groupby("panel", sort=False), strict=True):
        found = iter(segments(ax))
        for arm in sort_arms(list(panel["arm"].unique())):
            rows = panel[panel["arm"] == arm]
            shown = rows[rows["marked"]] if "marked" in rows else rows
            widths = []
            for bounds in (["band_lo", "band_hi"], ["lo", "hi"]):
                expected = shown[[x, *bounds]].dropna().to_numpy(dtype=float)
                if bounds == ["band_lo", "band_hi"]:  # those that enclose all else in the panel are left out
                    low, high = panel[["estimate", "lo"]].min().min(), panel[["estimate", "hi"]].max().max()
                    expected = expected[(expected[:, 1] > low) | (expected[:, 2] < high)]
                if len(expected):
                    width, drawn = next(found)
                    np.testing.assert_allclose(drawn, expected)
                    widths.append(width)
            assert widths == sorted(set(widths))
            assert (rows["band_lo"].isna() | (rows["band_lo"] <= rows["lo"])).all()
        assert next(found, None) is None
        assert not [c for c in ax.collections if isinstance(c, PolyCollection)]


def test_a_simultaneous_interval_that_encloses_all_else_is_in_the_csv_only(study: Study) -> None:
    table = passk.table(study)
    banded = table["band_lo"].notna()
    assert banded.sum() > 1
    wide = table.assign(band_lo=table["band_lo"].where(~banded, -5.0), band_hi=table["band_hi"].where(~banded, 5.0))
    drawn = [width for ax in draw(passk, wide).axes for width, _ in segments(ax)]
    assert len(drawn) == len(set(map(str, table["arm"])))  # the pointwise intervals alone
    caption = description(passk, wide)
    assert "those that enclose all else in the panel are in the CSV only" in caption


@pytest.mark.parametrize(("module", "x"), [(passk, "k"), (passk_gain, "k"), (cover, "tau")])
def test_arms_of_equal_values_stand_side_by_side(module, x: str, study: Study) -> None:
    """Each arm's curve is shifted on paper, at least a point from the next and all within the axes."""
    table = module.table(study)
    figure = draw(module, table)
    for ax in figure.axes:
        lines = [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]
        inches = [line.get_transform().transform(line.get_xydata())[:, 0] / figure.dpi for line in lines]
        first = sorted(72 * x_inches[0] for x_inches in inches)
        assert min(np.diff(first)) >= 1.0
        box = ax.get_window_extent()
        for x_inches in inches:
            assert box.x0 <= figure.dpi * x_inches.min()
            assert figure.dpi * x_inches.max() <= box.x1


def test_captions_name_both_bands(study: Study) -> None:
    for module in (passk, passk_gain):
        caption = description(module, module.table(study))
        assert "Thick lines: pointwise in k; thin lines: simultaneous, min-p" in caption
        assert " arms and " in caption
        assert "none (" not in caption


def test_above_half_of_n_the_panel_is_shaded(study: Study) -> None:
    """n = 64 in the fixture: a dashed line at k = 32, shade from there on; all k up to n are drawn, none is hollow."""
    table = passk.table(study)
    assert table["k"].max() == 64
    ax = draw(passk, table).axes[0]
    (line,) = [line for line in ax.get_lines() if list(line.get_xdata()) == [32.0, 32.0]]
    assert line.get_linestyle() == "--"
    (shade,) = ax.patches
    left, right = shade.get_x(), shade.get_x() + shade.get_width()
    assert left == 32.0
    assert right == pytest.approx(ax.get_xlim()[1])
    assert not hollow(ax)
    assert "Shaded: k > n/2" in description(passk, table)
    unshaded = table[table["k"] <= 32]
    assert not draw(passk, unshaded).axes[0].patches
    assert "Shaded" not in description(passk, unshaded)


def test_published_numbers_are_hollow_and_touch_no_statistic(study: Study) -> None:
    shown = replace(study, view=View(published=f"{MODEL}/AMC23"))
    plain, table = passk.table(study), passk.table(shown)
    ours = table[table["source"] == "recorded"]
    pd.testing.assert_frame_equal(ours[plain.columns], plain, check_dtype=False)
    ax = draw(passk, table).axes[0]
    expected = published.match(f"{MODEL}/AMC23", "countdown_test")
    drawn = {line.get_color(): line for line in hollow(ax)}
    filled = {line.get_label(): line for line in ax.get_lines() if line.get_linestyle() != "None"}
    for arm in ("base", "grpo", "positive_dominant", "negative_dominant"):
        rows = expected[expected["arm"] == arm]
        line = drawn.pop(filled[label(arm)].get_color())
        np.testing.assert_allclose(line.get_xydata(), rows[["k", "estimate"]].to_numpy(dtype=float))
        assert line.get_marker() == filled[label(arm)].get_marker()
        assert line.get_zorder() < filled[label(arm)].get_zorder()
    assert ax.get_xlim()[0] < 1 < 256 < ax.get_xlim()[1]  # none is cut off, though n = 64 ends our curves before
    assert not drawn  # methods of the paper that this study lacks are in the table alone
    assert [text for text in ax.get_legend_handles_labels()[1] if text == "published"] == ["published"]
    assert f"Hollow: numbers published in the paper for {MODEL} (AMC23)" in description(passk, table)
    csv = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert set(csv.loc[csv["source"] == "published", "model"]) == {MODEL}
    assert "(40 problems): n = 64 samples" in description(passk, table)


def test_published_numbers_of_another_benchmark_stay_away(study: Study) -> None:
    shown = passk.table(replace(study, view=View(published=MODEL)))  # the paper has no countdown_test
    assert set(shown["source"]) == {"recorded"}
    assert "Hollow" not in description(passk, shown)


def test_an_unfinished_arm_is_dotted_and_named(new_root) -> None:
    root = new_root(num_problems=12, num_samples=16)
    running = root.run("a_grae", status="interrupted")
    root.samples("a_grae", 0, running.samples_path("countdown_test"))
    root.experiment("x", [root.run("grpo"), running])
    table = passk.table(load(root, "x"))
    figure = draw(passk, table)
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert "GRPO" in lines
    assert "A-GRAE (unfinished)" in lines
    assert lines["A-GRAE (unfinished)"].get_linewidth() < lines["GRPO"].get_linewidth()
    dotted = [c for c in figure.axes[0].collections if c.get_linestyle() != [(0.0, None)]]
    assert {to_hex(c.get_edgecolor()[0]) for c in dotted} == {colour("a_grae").lower()}
    assert "Dotted intervals: no finished run (A-GRAE)" in description(passk, table)


def test_single_seeds_are_in_the_table_and_not_drawn(new_root) -> None:
    root = new_root(num_problems=12, num_samples=16)
    root.experiment("x", [root.run("grpo", seed) for seed in (0, 1, 2)])
    table = passk.table(load(root, "x"))
    assert set(table["seed"]) == {"", "mean", "0", "1", "2"}
    lines = [line for line in draw(passk, table).axes[0].get_lines() if len(line.get_xdata()) > 2]
    assert [line.get_label() for line in lines] == ["Base model", "GRPO"]
    assert "Fewer than 5 seeds" in description(passk, table)


def test_seeds_are_counted_benchmark_by_benchmark(new_root) -> None:
    """Of two seeds one is evaluated on the other benchmark too, where it cannot speak of the method."""
    root = new_root(num_problems=12, num_samples=16)
    runs = [root.run("grpo", seed) for seed in (0, 1)]
    root.samples("grpo", 0, runs[0].path / "eval" / "other-1234abcd" / "samples.parquet")
    root.experiment("x", runs)
    caption = description(passk, passk.table(load(root, "x")))
    assert "Seeds: GRPO 2 on countdown_test; GRPO 1 on other." in caption
    assert "One seed says nothing of the method" in caption
    assert "Fewer than 5 seeds" in caption


def test_a_wide_band_does_not_set_the_axis() -> None:
    """A Bonferroni band over three seeds may span hundreds of points; the axis shows estimates and intervals."""
    counts = {"grpo": np.stack([binomial(DIFFICULTY_P + shift, i) for i, shift in enumerate((0.0, 0.6, 1.2))])}
    counts["a_grae"] = np.stack([binomial(DIFFICULTY_P + shift, 9 + i) for i, shift in enumerate((0.9, 0.1, 0.4))])
    table = gain_table(evaluations(counts), "grpo").dropna(subset="estimate").assign(panel="x")
    figure = build(passk_gain, table)
    low, high = figure.axes[0].get_ylim()
    assert table["band_hi"].max() > table["hi"].max() + 0.2
    assert table["lo"].min() > low > table["lo"].min() - 0.1
    assert table["hi"].max() < high < table["hi"].max() + 0.1
