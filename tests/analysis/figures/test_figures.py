"""Every figure draws from run directories, and what is drawn is what the CSV says."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from analysis_lab import description
from matplotlib.figure import Figure

from agrae_lab.runs import list_experiments
from analysis import figures, tables
from analysis.io.study import Study, load_study, merge_studies
from analysis.presentation.render import build, render
from analysis.presentation.style import STYLE, label

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
    assert {module.NAME for module in MODULES} >= NAMES
    for module in MODULES:
        assert module.QUESTION.endswith("?")


@pytest.mark.parametrize("name", sorted(NAMES - {"mass_control"}))
def test_drawing_and_csv_agree(name: str, study: Study) -> None:
    """Every labelled curve of the drawing is found in the CSV, number for number, and every arm is drawn."""
    module = next(module for module in MODULES if name == module.NAME)
    table = module.table(study)
    csv = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    with mpl.rc_context(STYLE):
        figure = build(module, table)
    x, y = {"passk": ("k", "estimate"), "passk_gain": ("k", "estimate"), "mass_vs_p": ("p", "value")}.get(
        module.NAME, ("step", "value")
    )
    lines = drawn_points(figure)
    for (arm, _), rows in csv.groupby(["arm", "panel"], dropna=False):
        rows = rows[rows["kind"] == "measured"] if name == "mass_vs_p" else rows
        expected = rows[[x, y]].to_numpy(dtype=float)
        assert any(points.shape == expected.shape and np.allclose(points, expected) for points in lines[label(arm)])


def test_caption_and_details_name_setting_seeds_and_scope(study: Study) -> None:
    from analysis.figures import passk

    caption = description(passk, passk.table(study))
    for words in (
        "(40 problems): n = 64 samples",
        "T = 0.6, top_p = 0.95",
        "Seeds: 1 each",
        "t over problems",
        "these checkpoints on problems like these",
        "One seed says nothing of the method",
    ):
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
    assert f"A-GRAE {omega:.2f}" in description(mass_vs_p, table)


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


def test_a_study_without_runs_has_no_data() -> None:
    assert all(module.table(Study("x", "?", ())).empty for module in (*MODULES, *tables.discover()))


def test_a_figure_file_is_all_it_takes_to_add_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new_one.py").write_text('NAME = "new_one"\nQUESTION = "?"\n')
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    assert {module.NAME for module in figures.discover()} - {module.NAME for module in MODULES} == {"new_one"}
    del sys.modules["analysis.figures.new_one"]


def test_the_paper_s_success_rates_are_marked(study: Study) -> None:
    """Figure 6: rings on every closed form at p = 0.25, 0.5 and 0.75; for GRPO 2G√(p(1−p)) with G = 8."""
    from analysis.figures import mass_vs_p

    with mpl.rc_context(STYLE):
        figure = build(mass_vs_p, mass_vs_p.table(study))
    lines = figure.axes[0].get_lines()
    rings = [line.get_xydata() for line in lines if line.get_markerfacecolor() == "none"]
    assert len(rings) == len(study.arms)
    assert all(ring[:, 0].tolist() == [0.25, 0.5, 0.75] for ring in rings)
    assert any(np.allclose(ring[:, 1], [np.sqrt(48), 8.0, np.sqrt(48)]) for ring in rings)
