"""`python -m analysis simulation=<dir>`: what the simulator recorded is what is drawn; anything else is refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from agrae_lab.advantages.simulator.__main__ import main as simulate
from analysis import simulation
from analysis.__main__ import main
from analysis.io.parquet import FrameError
from analysis.presentation.render import FIGURE_ENDINGS, FORMATS, build
from analysis.presentation.style import STYLE, label
from analysis.simulation import dynamics, load_simulation, symmetries

ARMS = ["grpo", "positive_dominant", "negative_dominant", "a_grae"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulation")
    assert simulate([f"out={folder}", "num_prompts=60", "num_trajectories=16", "num_steps=12", "record_every=4"]) == 0
    return folder


def drawn(module, path: Path) -> Figure:
    with mpl.rc_context(STYLE):
        return build(module, module.table(load_simulation(path)))


def test_the_command_draws_every_figure(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([f"simulation={recorded}", f"out={tmp_path}"]) == 0
    names = {module.NAME for module in simulation.FIGURES}
    assert names == {"symmetries", "simulation"}
    endings = (*FIGURE_ENDINGS, *FORMATS)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{ending}" for name in names for ending in endings}
    printed = capsys.readouterr().out
    for module in simulation.FIGURES:
        assert f"{module.NAME}: {tmp_path / module.NAME}.png" in printed
        assert module.QUESTION in (tmp_path / f"{module.NAME}.md").read_text()


def test_figures_lie_in_the_simulation_unless_told_otherwise(recorded: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(simulation, "FIGURES", (symmetries,))
    shutil.copytree(recorded, tmp_path / "s", ignore=shutil.ignore_patterns("figures"))
    assert main([f"simulation={tmp_path / 's'}"]) == 0
    assert (tmp_path / "s/figures/symmetries.pdf").is_file()


def test_curves_are_the_recorded_numbers(recorded: Path) -> None:
    figure, rows = drawn(dynamics, recorded), pd.read_csv(recorded / "simulation.csv")
    panels = {ax.get_title(): ax for ax in figure.axes}
    columns = {
        "Pass@1": "pass_at_1",
        "Pass@64": "pass_at_64",
        "Entropy": "entropy",
        "Unsolved prompts": "unsolved_share",
    }
    assert set(panels) == set(columns)
    for panel, column in columns.items():
        lines = {line.get_label(): line for line in panels[panel].get_lines()}
        assert list(lines) == [label(arm) for arm in ARMS]
        for arm in ARMS:
            own = rows[rows["estimator"] == arm]
            np.testing.assert_allclose(lines[label(arm)].get_xydata(), own[["step", column]])
    simulation = load_simulation(recorded)
    assert "seed 0" in dynamics.caption(dynamics.table(simulation))
    for figure in (dynamics, symmetries):  # two sentences at most, the rest are details
        assert len(re.findall(r"[.!?](?=\s|$)", figure.caption(figure.table(simulation)))) <= 2


def test_bars_are_the_recorded_updates_and_dots_the_closed_form(recorded: Path) -> None:
    """Every trajectory has its bar, in its kind's part of the axis, and the dot lies on its end."""
    ax = next(ax for ax in drawn(symmetries, recorded).axes if ax.containers)
    rows = pd.read_csv(recorded / "logit_updates.csv")
    assert [bars.get_label() for bars in ax.containers] == ["GRPO", "Negative-Dominant"]
    for arm, bars in zip(("grpo", "negative_dominant"), ax.containers, strict=True):
        own = rows[rows["estimator"] == arm]
        assert sorted(bar.get_height() for bar in bars) == pytest.approx(sorted(own["update"]))
    ends = sorted((bar.get_x() + bar.get_width() / 2, bar.get_height()) for bars in ax.containers for bar in bars)
    dots = next(line for line in ax.get_lines() if line.get_linestyle() == "None")
    np.testing.assert_allclose(sorted(map(tuple, dots.get_xydata())), ends, atol=1e-12)
    assert [text.get_text().replace("\n", " ") for text in ax.get_xticklabels()] == [
        "drawn, correct", "drawn, wrong", "not drawn, correct", "not drawn, wrong"
    ]  # fmt: skip
    middles = ax.get_xticks()
    in_kind = rows[(rows["estimator"] == "grpo") & (rows["num_draws"] > 0)].groupby("correct").size()
    assert middles[:2] == pytest.approx([(in_kind[True] - 1) / 2, in_kind[True] + (in_kind[False] - 1) / 2])


def test_measured_mass_lies_on_the_closed_form(recorded: Path) -> None:
    table = symmetries.table(load_simulation(recorded))
    mass = table[(table["panel"] == "Σ|A| of a group") & table["p"].between(0.01, 0.99)]
    omega = pd.read_csv(recorded / "simulation.csv")["omega"].iloc[0]
    forms = {
        "grpo": lambda p: 16 * np.sqrt(p * (1 - p)),
        "positive_dominant": lambda p: 88 * np.sqrt(p * (1 - p)),
        "negative_dominant": lambda p: 8.8 * np.sqrt(p * (1 - p)),
        "a_grae": lambda p: 8 * (omega * np.sqrt(1 - p) + (1 - omega) * np.sqrt(p)) * (1 + omega) / 2,
    }
    for arm, form in forms.items():
        rows = mass[mass["arm"] == arm]
        assert set(rows["kind"]) == {"measured", "theory"}
        assert rows["value"].to_numpy() == pytest.approx(form(rows["p"].to_numpy()), rel=1e-5)
    assert f"ω = {omega:.2f}" in " ".join(symmetries.details(table))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulation=nowhere"], "nowhere: no simulation here, simulation.json is missing"),
        (["simulation=x", "runs=y"], "simulation= takes out= and formats= only, not runs"),
        (["simulation="], "cannot read 'simulation=': it has no value"),
    ],
)
def test_what_cannot_be_carried_out_is_one_sentence(arguments, message, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_files_that_are_not_whole_are_refused(recorded: Path, tmp_path: Path) -> None:
    def broken(name: str, text: str) -> Path:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        shutil.copytree(recorded, folder)
        (folder / name).write_text(text)
        return folder

    about = json.loads((recorded / "simulation.json").read_text())
    cases = {
        broken("simulation.json", "{"): "simulation.json: damaged JSON",
        broken("simulation.json", json.dumps(about | {"schema_version": 9})): "schema version 9, but .* version 1",
        broken("simulation.json", json.dumps({"schema_version": 1})): "the settings seed, num_prompts",
        broken("simulation.csv", "estimator,step\ngrpo,1\n"): "the columns pass_at_1, pass_at_64",
        broken("update_mass.csv", ""): "update_mass.csv: cannot be read",
    }
    for folder, message in cases.items():
        with pytest.raises(FrameError, match=message):
            load_simulation(folder)
    (folder / "logit_updates.csv").unlink()
    with pytest.raises(FrameError):
        load_simulation(folder)
