"""The Pareto front of a search: drawn from what the search and its runs have recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from analysis_lab import BENCHMARK, Root

from agrae_lab.runs import Run
from analysis import pareto
from analysis.io.eval_counts import read_counts
from analysis.io.parquet import FrameError
from analysis.io.study import BASE
from analysis.presentation.render import build
from analysis.presentation.style import STYLE
from analysis.statistics.passk import pass_at_k

PASS_1, PASS_16 = f"pass@1/{BENCHMARK}", f"pass@16/{BENCHMARK}"


def mean_pass(run: Run, k: int) -> float:
    counts = read_counts(run.samples_path(BENCHMARK))
    return float(pass_at_k(counts.correct_P, counts.num_samples, (k,)).mean())


def write_search(root: Root, arms: Sequence[str], *, seeds: Sequence[int], front: Sequence[int]) -> Path:
    """trials.csv with one trial for each arm, as sweeps.search.table writes it."""
    rows = []
    for i, arm in enumerate(arms):
        runs = [root.run(arm, seed) for seed in seeds]
        row = {
            "trial": i,
            "status": "done",
            "front": "yes" if i in front else "no",
            "feasible": "yes",
            "attempt": 1,
            "retry_of": "",
            "reason": "",
            "runs": " ".join(run.key for run in runs),
            "param advantage/group": "attenuate" if i % 2 else "none",
            "param train.learning_rate": 1e-4 * (i + 1),
        }
        row |= {f"maximize {m}": np.mean([mean_pass(run, k) for run in runs]) for m, k in ((PASS_1, 1), (PASS_16, 16))}
        for m, k in ((PASS_1, 1), (PASS_16, 16)):
            row |= {f"seed {run.seed} {m}": mean_pass(run, k) for run in runs}
        rows.append(row)
    failed = {**dict.fromkeys(rows[0], ""), "trial": len(arms), "status": "failed", "front": "no", "reason": "inf"}
    path = root.path / "studies" / "quest"
    path.mkdir(parents=True)
    pd.DataFrame([*rows, failed]).to_csv(path / "trials.csv", index=False)
    return path


def test_points_are_the_trials_values_with_the_intervals_of_all_figures(new_root: Callable[..., Root]) -> None:
    root = new_root()
    path = write_search(root, ["grpo", "a_grae", "hard_focused"], seeds=[0], front=[1])
    table = pareto.table(pareto.load_trials(path))
    trials = pd.read_csv(path / "trials.csv").head(3)
    rows = table[table["group"] != BASE]
    assert rows["x"].to_numpy() == pytest.approx(trials[f"maximize {PASS_1}"].to_numpy(float))
    assert rows["y"].to_numpy() == pytest.approx(trials[f"maximize {PASS_16}"].to_numpy(float))
    assert (rows["x_lo"] < rows["x"]).all()
    assert (rows["y_hi"] > rows["y"]).all()
    assert set(rows["x_method"]) == {"t over problems"}
    assert rows["group"].tolist() == ["dominated", "front", "dominated"]
    assert rows["choice"].tolist() == ["none", "attenuate", "none"]
    assert rows["settings"].iloc[1] == "advantage/group=attenuate train.learning_rate=0.0002"
    assert len(table[table["group"] == BASE]) == 1


def test_several_seeds_give_intervals_over_seeds_also_without_the_runs(new_root: Callable[..., Root]) -> None:
    root = new_root(num_problems=10, num_samples=32, num_steps=4)
    path = write_search(root, ["grpo", "a_grae"], seeds=[0, 1, 2], front=[0, 1])
    with_runs = pareto.table(pareto.load_trials(path))
    elsewhere = root.path.parent / "moved" / "studies" / "quest"
    elsewhere.mkdir(parents=True)
    (elsewhere / "trials.csv").write_text((path / "trials.csv").read_text())
    without = pareto.table(pareto.load_trials(elsewhere))
    assert set(without["group"]) == {"front"}
    assert set(without["x_method"]) == {"t over seeds"}
    trials_only = with_runs[with_runs["group"] != BASE]
    assert set(trials_only["x_method"]) == {"t over seeds and over problems"}
    assert (without["x_lo"].to_numpy() > trials_only["x_lo"].to_numpy()).all()  # there the problems vary too
    assert "3 training seeds" in pareto.caption(with_runs)
    assert "Fewer than 5 seeds" in " ".join(pareto.details(with_runs))


def drawn_texts_and_bars(table: pd.DataFrame) -> tuple[set[str], int]:
    with mpl.rc_context(STYLE):
        (ax,) = build(pareto, table).axes
    return {text.get_text() for text in ax.texts}, len(ax.collections)


def test_trials_of_equal_values_have_one_name_and_two_seeds_no_bars(new_root: Callable[..., Root]) -> None:
    path = write_search(new_root(), ["grpo", "a_grae", "easy_focused"], seeds=[0], front=[0, 1])
    table = pareto.table(pareto.load_trials(path))
    assert drawn_texts_and_bars(table) == ({"0", "1"}, 2)
    alike = table.assign(**{axis: table[axis].where(table["trial"] != "1", table[axis].iloc[0]) for axis in "xy"})
    assert drawn_texts_and_bars(alike.assign(seeds=2)) == ({"0, 1"}, 0)
    assert "in the CSV only" in " ".join(pareto.details(alike.assign(seeds=2)))


def test_the_command_draws_and_what_is_drawn_is_in_the_csv(
    new_root: Callable[..., Root], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_search(new_root(), ["grpo", "a_grae", "easy_focused"], seeds=[0], front=[0, 1])
    assert pareto.main([str(path)]) == 0
    assert str(path / "figures" / "pareto.png") in capsys.readouterr().out
    for ending in ("png", "pdf", "csv", "md"):
        assert (path / "figures" / f"pareto.{ending}").stat().st_size > 100
    assert "3 of 4 with values" in (path / "figures" / "pareto.md").read_text()
    csv = pd.read_csv(path / "figures" / "pareto.csv")
    with mpl.rc_context(STYLE):
        figure = build(pareto, csv)
    (ax,) = figure.axes
    drawn = {tuple(point) for line in ax.get_lines() for point in np.round(np.column_stack(line.get_data()), 9)}
    assert {(round(x, 9), round(y, 9)) for x, y in zip(csv["x"], csv["y"], strict=True)} <= drawn
    assert {text.get_text() for text in ax.texts} == {"0", "1"}
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("Pass@1 (%)", "Pass@16 (%)", BENCHMARK)


def test_a_search_without_a_finished_trial_is_no_data_yet(
    new_root: Callable[..., Root], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_search(new_root(num_problems=4, num_samples=4, num_steps=4), ["grpo"], seeds=[0], front=[])
    file = path / "trials.csv"
    file.write_text(file.read_text().replace(",done,", ",running,"))
    assert pareto.main([str(path)]) == 0
    assert "no data yet" in capsys.readouterr().out
    assert not (path / "figures").exists()


def test_what_is_no_search_is_told_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pareto.main([str(tmp_path)]) == 2
    assert "not the directory of a search" in capsys.readouterr().err
    assert pareto.main([]) == 2
    (tmp_path / "trials.csv").write_text("trial,status\n0,done\n")
    with pytest.raises(FrameError, match="the columns front, feasible, runs are missing"):
        pareto.load_trials(tmp_path)
    (tmp_path / "trials.csv").write_text("trial,status,front,feasible,runs,maximize pass@1/x\n")
    with pytest.raises(FrameError, match="one objective, so the front is one point"):
        pareto.load_trials(tmp_path)
