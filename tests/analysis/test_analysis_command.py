"""`python -m analysis`: what it writes, prints and refuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from analysis_lab import BENCHMARK, EXPERIMENTS, samples_frame

from analysis import figures
from analysis.__main__ import main


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that are not about figures, which take most of the time."""
    monkeypatch.setattr(figures, "discover", list)


def test_a_whole_root(demo_root, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    from analysis.figures import passk

    monkeypatch.setattr(figures, "discover", lambda: [passk])
    assert main([f"runs={demo_root.path}", f"out={tmp_path}"]) == 0
    for name in EXPERIMENTS:
        folder = tmp_path / name
        assert {path.name for path in folder.iterdir()} == {
                "passk.csv", "passk.md", "passk.pdf",
            "passk.png", "passk_table.csv", "passk_table.md", "summary.md",
        }  # fmt: skip
        summary = (folder / "summary.md").read_text()
        assert "[passk](passk.png)" in summary
        assert "Which arm | explores?" in summary
        assert "Multiplicity:" in summary or "no data" in summary
    top = (tmp_path / "summary.md").read_text()
    for claim in ("C1", "C2", "C3", "C5", "C8"):
        assert f"**{claim}: " in top
    assert "no data" not in top.split("## Pass@k")[0]
    printed = capsys.readouterr().out
    assert f"{tmp_path / 'summary.md'}" in printed
    assert printed.count("Pass@k (%) on countdown_test: 40 problems, n = 64") == 1
    for words in ("Base model", "A-GRAE", "C8 "):
        assert words in printed


def test_the_table_is_tidy_and_the_markdown_says_the_same(demo_root, tmp_path: Path, no_figures: None) -> None:
    main([f"runs={demo_root.path}", "experiment=a_grae", f"out={tmp_path}"])
    table = pd.read_csv(tmp_path / "a_grae/passk_table.csv")
    assert list(table["arm"].unique()) == ["base", "grpo", "a_grae"]
    assert len(table) == 27
    row = table[(table["arm"] == "grpo") & (table["k"] == 4)].iloc[0]
    cell = f"{100 * row['estimate']:.1f} [{100 * row['lo']:.1f}, {100 * row['hi']:.1f}]"
    line = next(x for x in (tmp_path / "a_grae/passk_table.md").read_text().splitlines() if x.startswith("| GRPO"))
    assert line.split(" | ")[4] == cell
    assert line.endswith("| – | – |")  # k = 128, 256 exceed n = 64
    assert table.loc[table["k"] > 64, ["estimate", "lo", "hi"]].isna().all(axis=None)
    assert not (tmp_path / "group_symmetry").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say where the runs are: python -m analysis runs=<root>"),
        (["runs=nowhere"], "there is no directory nowhere"),
        (["run=x"], "cannot read 'run=x'; give runs=..., experiment=..., out=..."),
        (["runs="], "cannot read 'runs='"),
        (["--help"], "cannot read '--help'"),
    ],
)
def test_what_cannot_be_carried_out_is_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_root_without_experiments_and_an_unknown_experiment(demo_root, tmp_path: Path, capsys) -> None:
    assert main([f"runs={tmp_path}"]) == 2
    assert "lists no experiments" in capsys.readouterr().err
    assert main([f"runs={demo_root.path}", "experiment=x"]) == 2
    assert "has no experiment 'x'; choose from a_grae, group_symmetry, sample_symmetry" in capsys.readouterr().err


def test_an_experiment_of_another_schema_is_refused(demo_root, tmp_path: Path, capsys) -> None:
    root = tmp_path / "runs"
    shutil.copytree(demo_root.path / "experiments", root / "experiments")
    (root / "experiments/a_grae.json").write_text('{"schema_version": 9}')
    assert main([f"runs={root}"]) == 2
    assert "schema version 9" in capsys.readouterr().err


def test_unfinished_and_missing_runs_are_named(new_root: Callable, tmp_path: Path, capsys, no_figures: None) -> None:
    from agrae_lab.runs import update_meta, write_json

    root = new_root(num_problems=12, num_samples=8)
    failed, running = root.run("hard_focused", status="failed", steps=5), root.run("a_grae", status="running", steps=9)
    update_meta(failed.path, error="out of memory")
    write_json(running.path / "progress.json", {"phase": "train", "done": 9, "total": 36, "seconds": 3.0})
    root.experiment("x", [root.run("grpo"), failed, running])
    shutil.copytree(failed.path, gone := root.path / "easy_focused-00000000/seed-0")
    root.experiment("x", [type(failed)(gone, failed.config)])
    shutil.rmtree(gone.parent)
    assert main([f"runs={root.path}", f"out={tmp_path / 'out'}"]) == 0
    summary, printed = (tmp_path / "out/x/summary.md").read_text(), capsys.readouterr().out
    for text in (summary, printed):
        assert f"{failed.key}: failed: out of memory" in text
        assert f"{running.key}: running (train 9 of 36)" in text
        assert "easy_focused-00000000/seed-0 has not started" in text
        assert "no data: needs a finished run of a_grae" in text


def test_refused_data_are_named_and_the_rest_is_done(new_root: Callable, tmp_path: Path, capsys, monkeypatch) -> None:
    from analysis.figures import entropy, passk

    monkeypatch.setattr(figures, "discover", lambda: [entropy, passk])

    root = new_root(num_problems=12, num_samples=8)
    grpo, other = root.run("grpo"), root.run("a_grae")
    samples_frame(pd.Series([1, 2, 3]).to_numpy(), 8).to_parquet(other.samples_path(BENCHMARK))
    root.experiment("x", [grpo, other])
    assert main([f"runs={root.path}", f"out={tmp_path / 'out'}"]) == 1
    folder = tmp_path / "out/x"
    summary, printed = (folder / "summary.md").read_text(), capsys.readouterr().out
    for text in (summary, printed):
        assert "their problem sets differ (12 problems in" in text
    assert not (folder / "passk.png").exists()
    assert (folder / f"{entropy.NAME}.png").exists()
    assert "No data yet" in (folder / "passk_table.md").read_text()


def test_diverged_runs_are_said_to_be_an_outcome(new_root: Callable, tmp_path: Path, no_figures: None) -> None:
    root = new_root(num_problems=12, num_samples=8)
    root.experiment("x", [root.run("grpo"), root.run("grpo", 1, status="diverged", steps=10)])
    main([f"runs={root.path}", f"out={tmp_path}"])
    assert "A diverged run is an outcome too" in (tmp_path / "x/summary.md").read_text()


def test_the_room_imports_nothing_heavy() -> None:
    """Neither torch nor a trainer, and of agrae_lab only runs.py."""
    code = (
        "import sys, analysis.__main__ as m; m.figures.discover();"
        "bad = {'torch', 'trl', 'vllm', 'wandb', 'transformers', 'datasets', 'matplotlib.pyplot'} & set(sys.modules);"
        "own = {n for n in sys.modules if n.startswith('agrae_lab.')} - {'agrae_lab.runs'};"
        "sys.exit(f'{bad} {own}' if bad or own else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
