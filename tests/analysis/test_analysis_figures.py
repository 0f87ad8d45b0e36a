"""Every figure draws from run directories, and what is drawn is what the CSV says."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from agrae_lab.runs import list_experiments
from analysis import figures
from analysis.frames import Study, load_study, merge_studies
from analysis.render import build, render
from analysis.style import STYLE, colour, label, marker, sort_arms

MODULES = figures.discover()
NAMES = {"passk", "passk_gain", "entropy", "correct_counts", "fully_unsolved", "mass_vs_p", "greedy", "mass_control"}


@pytest.fixture(scope="module")
def study(demo_root) -> Study:
    studies = [load_study(demo_root.path, experiment) for experiment in list_experiments(demo_root.path)]
    return merge_studies(studies, name="all", question="?")


def drawn_points(figure: Figure) -> dict[str, list[np.ndarray]]:
    """Label → [N, 2] data of every labelled line, over all panels."""
    lines: dict[str, list[np.ndarray]] = {}
    for ax in figure.axes:
        for line in ax.get_lines():
            lines.setdefault(str(line.get_label()), []).append(np.column_stack(line.get_data()).astype(float))
    return lines


def test_all_figures_are_discovered() -> None:
    assert {module.NAME for module in MODULES} == NAMES
    for module in MODULES:
        assert module.QUESTION.endswith("?")


@pytest.mark.parametrize("module", [m for m in MODULES if m.NAME != "mass_control"], ids=lambda module: module.NAME)
def test_picture_and_csv_agree(module: ModuleType, study: Study, tmp_path: Path) -> None:
    """Every labelled curve of the picture is found in the CSV, number for number, and every arm is drawn."""
    rendered = render(module, study, tmp_path)
    assert rendered.reason == ""
    for ending in ("png", "pdf", "csv", "md"):
        assert (tmp_path / f"{module.NAME}.{ending}").stat().st_size > 100
    csv = pd.read_csv(tmp_path / f"{module.NAME}.csv")
    with mpl.rc_context(STYLE):
        figure = build(module, module.table(study), "caption")
    x, y = {"passk": ("k", "estimate"), "passk_gain": ("k", "estimate"), "mass_vs_p": ("p", "value")}.get(
        module.NAME, ("step", "value")
    )
    lines = drawn_points(figure)
    for (arm, _), rows in csv.groupby(["arm", "panel"], dropna=False):
        rows = rows[rows["kind"] == "measured"] if "kind" in rows else rows
        expected = rows[[x, y]].to_numpy(dtype=float)
        assert any(points.shape == expected.shape and np.allclose(points, expected) for points in lines[label(arm)])


def test_every_number_of_a_band_is_in_the_csv(study: Study) -> None:
    from analysis.figures import passk

    table = passk.table(study)
    with mpl.rc_context(STYLE):
        figure = build(passk, table, "caption")
    bands = [band.get_paths()[0].vertices for band in figure.axes[0].collections]
    for arm, band in zip(sort_arms(list(table["arm"].unique())), bands, strict=True):
        rows = table[table["arm"] == arm]
        for bound in ("lo", "hi"):
            corners = np.column_stack([rows["k"], rows[bound]]).astype(float)
            assert all(np.isclose(band, corner).all(axis=1).any() for corner in corners)


def test_k_is_drawn_up_to_n_and_hollow_above_half_of_it(study: Study) -> None:
    from analysis.figures import passk

    table = passk.table(study)
    assert table["k"].max() == 64  # n of the fixture
    with mpl.rc_context(STYLE):
        figure = build(passk, table, "caption")
    hollow = [line for line in figure.axes[0].get_lines() if line.get_markerfacecolor() == "white"]
    assert len(hollow) == table["arm"].nunique()
    assert all(list(line.get_xdata()) == [64] for line in hollow)
    assert "k > n/2" in passk.caption(table)


def test_the_caption_says_what_the_interval_speaks_of(study: Study) -> None:
    from analysis.figures import passk

    caption = passk.caption(passk.table(study))
    for words in ("40 problems, n = 64", "T = 0.6, top_p = 0.95", "GRPO 1", "paired bootstrap over problems",
                  "these checkpoints on problems like these", "One seed does not speak of the method"):  # fmt: skip
        assert words in caption


def test_measured_mass_lies_on_the_closed_form(study: Study) -> None:
    """G = 8: 2G√(p(1−p)); (β+1)G√(p(1−p)); G√(1−p) and G√p with γ = 0.5 (paper Eq. 10, Table 1)."""
    from analysis.figures import mass_vs_p

    table = mass_vs_p.table(study)
    forms = {
        "grpo": lambda p: 16 * np.sqrt(p * (1 - p)),
        "positive_dominant": lambda p: 88 * np.sqrt(p * (1 - p)),
        "negative_dominant": lambda p: 8.8 * np.sqrt(p * (1 - p)),
        "hard_focused": lambda p: 8 * np.sqrt(1 - p),
        "easy_focused": lambda p: 8 * np.sqrt(p),
    }
    for arm, form in forms.items():
        rows = table[(table["arm"] == arm) & table["p"].between(0.01, 0.99)]
        assert set(rows["kind"]) == {"measured", "theory"}
        assert rows["value"].to_numpy() == pytest.approx(form(rows["p"].to_numpy()))
    dynamic = table[(table["arm"] == "a_grae") & (table["kind"] == "theory")]
    p, omega = dynamic["p"], dynamic["omega"].iloc[0]
    expected = 8 * (omega * np.sqrt(1 - p) + (1 - omega) * np.sqrt(p)) * (1 + omega) / 2
    assert dynamic["value"].to_numpy() == pytest.approx(expected.to_numpy())
    assert f"A-GRAE {omega:.2f}" in mass_vs_p.caption(table)


def test_unfinished_runs_are_dashed_and_named_and_enter_no_mean(new_root) -> None:
    from analysis.figures import entropy

    root = new_root(num_problems=5, num_samples=4)
    runs = [root.run("grpo", 0), root.run("grpo", 1), root.run("grpo", 2, status="diverged", steps=15)]
    root.experiment("x", runs)
    table = entropy.table(load_study(root.path, list_experiments(root.path)[0]))
    mean = table[table["seed"] == "mean"]
    both = table[table["seed"].isin(["0", "1"])].groupby("step")["value"].mean()
    assert mean["value"].to_numpy() == pytest.approx(both.to_numpy())
    assert (mean["lo"] < mean["value"]).all()
    with mpl.rc_context(STYLE):
        figure = build(entropy, table, "caption")
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert lines["GRPO (diverged)"].get_linestyle() == ":"
    assert len(lines["GRPO (diverged)"].get_xdata()) == 15
    assert lines["GRPO"].get_linestyle() == "-"
    assert "unfinished" in entropy.caption(table)


def test_a_figure_without_data_says_so(new_root, tmp_path: Path) -> None:
    root = new_root(num_problems=5, num_samples=4)
    run = root.run("grpo", status="running")
    for path in (run.metrics_path, *run.rollout_paths()):
        path.unlink()
    root.experiment("x", [run])
    study = load_study(root.path, list_experiments(root.path)[0])
    for module in MODULES:
        rendered = render(module, study, tmp_path / "out")
        assert (rendered.reason, rendered.refused) == ("no data yet", False)
    assert not (tmp_path / "out").exists()


def test_a_figure_file_is_all_it_takes_to_add_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new_one.py").write_text('NAME = "new_one"\nQUESTION = "?"\n')
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    assert [module.NAME for module in figures.discover() if module.NAME not in NAMES] == ["new_one"]
    del sys.modules["analysis.figures.new_one"]


def test_an_arm_looks_the_same_everywhere_and_unlike_the_others() -> None:
    arms = ["base", "grpo", "positive_dominant", "negative_dominant", "hard_focused", "easy_focused", "a_grae",
            "a_grae_sample_only", "a_grae_group_only"]  # fmt: skip
    assert len({colour(arm) for arm in arms}) == len({marker(arm) for arm in arms}) == len(arms)
    assert colour("my_own") == colour("my_own")
    assert to_hex(colour("base")) == "#7f7f7f"
    assert sort_arms(["zeta", "a_grae", "grpo", "base"]) == ["base", "grpo", "a_grae", "zeta"]


def test_names_for_readers() -> None:
    assert label("a_grae_sample_only") == "A-GRAE (sample level only)"
    assert label("grpo-1a2b3c4d") == "GRPO (1a2b3c4d)"
    assert label("my_own_$x$") == "my own $x$"


def test_the_style_is_one_that_matplotlib_knows_and_embeds_fonts() -> None:
    with mpl.rc_context(STYLE):
        assert mpl.rcParams["pdf.fonttype"] == 42
    assert mpl.rcParams["pdf.fonttype"] == 3  # nothing global


def test_the_paper_s_success_rates_are_marked(study: Study) -> None:
    """Figure 6: rings on every closed form at p = 0.25, 0.5 and 0.75; for GRPO 2G√(p(1−p)) with G = 8."""
    from analysis.figures import mass_vs_p

    with mpl.rc_context(STYLE):
        figure = build(mass_vs_p, mass_vs_p.table(study), "caption")
    lines = figure.axes[0].get_lines()
    rings = [line.get_xydata() for line in lines if line.get_markerfacecolor() == "none"]
    assert len(rings) == len(study.arms)
    assert all(ring[:, 0].tolist() == [0.25, 0.5, 0.75] for ring in rings)
    assert any(np.allclose(ring[:, 1], [np.sqrt(48), 8.0, np.sqrt(48)]) for ring in rings)
