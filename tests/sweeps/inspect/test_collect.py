"""Collect, compare, export and gc of a study."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from study_lab import StudyLab
from sweep_lab import Lab

from agrae_lab import runs
from sweeps.__main__ import main
from sweeps.errors import PlanError
from sweeps.inspect.collect import collect
from sweeps.inspect.compare import find, settings_that_differ
from sweeps.inspect.gc import find_removable
from sweeps.inspect.status import status_rows

BENCHMARK = "sums"
NUM_SAMPLES = 10
PROBLEMS = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("night")


@pytest.fixture
def night(lab: Lab, place: Path, monkeypatch: pytest.MonkeyPatch) -> StudyLab:
    """Two cells of two seeds, evaluated: of 40 problems, arm ok solves (1 + steps + seed) of 10 samples each.

    Launched once; every test finds the lab in the same place, as it was then.
    """
    here, launched = place / "lab", place / "launched"
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(lab.conf, here / "conf")
    made = StudyLab.make(Lab(here / "conf", here / "root"), monkeypatch)
    made.write(axes={"grid": {"arm": ["ok"], "train.num_steps": [1, 2]}}, seeds=[0, 1])
    if launched.exists():
        shutil.copytree(launched, made.root)
        return made
    assert made.do("run") == 0
    for run in runs.list_runs(made.root):
        share = 1 + run.config["train"]["num_steps"] + run.seed
        _write_samples(run.path / "eval" / f"{BENCHMARK}-1234abcd" / "samples.parquet", np.arange(PROBLEMS) % share + 1)
        _write_samples(made.root / "base" / f"{BENCHMARK}-1234abcd" / "samples.parquet", np.ones(PROBLEMS, dtype=int))
        runs.update_meta(run.path, base_eval={BENCHMARK: f"base/{BENCHMARK}-1234abcd/samples.parquet"})
    shutil.copytree(made.root, launched)
    return made


def _write_samples(path: Path, correct_P: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(
        {
            "problem_id": np.repeat([f"p{i:02d}" for i in range(len(correct_P))], NUM_SAMPLES),
            "sample": np.tile(np.arange(NUM_SAMPLES), len(correct_P)),
            "correct": (np.arange(NUM_SAMPLES)[None, :] < correct_P[:, None]).ravel(),
        }
    )
    constants = {"schema_version": 1, "decoding": "sample", "valid": True, "temperature": 1.0, "top_p": 1.0}
    frame.assign(**constants).to_parquet(path)


def test_collect_gives_a_row_per_run_with_settings_and_values(night: StudyLab) -> None:
    assert night.do("collect") == 0
    table = pd.read_parquet(night.directory.path / "runs.parquet").set_index("run")
    assert len(table) == 4
    for run in runs.list_runs(night.root):
        row = table.loc[run.key]
        assert row["cell"] == f"arm=ok train.num_steps={run.config['train']['num_steps']}"
        assert (row["arm"], row["seed"], row["status"], row["attempts"]) == ("ok", run.seed, "done", 1)
        assert row["train_seconds"] == run.meta["timings"]["train_seconds"]
        assert row["setting train.num_steps"] == run.config["train"]["num_steps"]
        correct_P = np.arange(PROBLEMS) % (1 + run.config["train"]["num_steps"] + run.seed) + 1
        assert row[f"pass@1/{BENCHMARK}"] == pytest.approx(correct_P.mean() / NUM_SAMPLES)
        two = 1 - np.mean((10 - correct_P) * (9 - correct_P) / 90)  # 1 − C(10−c, 2)/C(10, 2)
        assert row[f"pass@2/{BENCHMARK}"] == pytest.approx(two)
    assert [name for name in table.columns if name.startswith("pass@")] == [
        f"pass@{k}/{BENCHMARK}" for k in (1, 2, 4, 8)
    ]
    assert not [name for name in table.columns if name.startswith(("setting hardware", "setting root", "setting seed"))]


def test_a_csv_of_a_whole_root_has_unfinished_runs_too(night: StudyLab, tmp_path: Path) -> None:
    run = runs.list_runs(night.root)[0]
    runs.create_run({**run.config, "seed": 7, "train": {"num_steps": 1, "step_seconds": "slow", "tags": [1, 2]}})
    from sweeps.__main__ import main

    out = tmp_path / "all.csv"
    assert main(["collect", str(night.root), "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert table["status"].tolist().count("pending") == 1
    assert set(table["setting train.step_seconds"]) == {"0.0", '"slow"'}  # one type per column
    assert json.loads(table["setting train.tags"].dropna().item()) == [1, 2]
    assert main(["collect", str(night.root), "--out", str(tmp_path / "all.parquet")]) == 0


def test_a_torn_evaluation_and_another_ending_are_one_sentence(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert night.do("collect", "--out", "table.xlsx") == 2
    assert "must end in .parquet or .csv" in capsys.readouterr().err
    runs.list_runs(night.root)[0].samples_path(BENCHMARK).write_bytes(b"PAR1")
    assert night.do("collect") == 2
    assert "not a whole Parquet file" in capsys.readouterr().err


def test_compare_shows_the_setting_and_the_paired_difference(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = sorted(
        {run.path.parent.name for run in runs.list_runs(night.root)}, key=lambda name: _steps(night, name)
    )
    capsys.readouterr()
    assert night.do("compare", f"{one}/seed-0", f"{two}/seed-0") == 0
    output = capsys.readouterr().out
    assert [line.split()[-3:] for line in output.splitlines() if "num_steps" in line] == [["train.num_steps", "1", "2"]]
    assert "seed" not in output.partition("Pass@k")[0].replace("seed-0", "")
    (row,) = [line.split() for line in output.splitlines() if line.startswith("1 ")]
    counts = [np.arange(PROBLEMS) % share + 1 for share in (2, 3)]
    assert row[1] == f"{10 * counts[0].mean():.1f}"
    lo, hi = (float(bound.strip("[,]")) for bound in row[-2:])
    difference = 10 * (counts[1].mean() - counts[0].mean())
    assert row[-3] == f"{difference:.1f}"
    assert lo < difference < hi
    assert "these checkpoints" in output
    assert night.do("compare", one, two) == 0  # cells: their seeds are the unit
    assert "its training seeds" in capsys.readouterr().out


def test_seeds_of_one_cell_can_be_compared(night: StudyLab) -> None:
    cell = runs.list_runs(night.root)[0].path.parent.name
    first, second = (find(f"{cell}/seed-{seed}", night.root)[0] for seed in (0, 1))
    assert settings_that_differ(first, second) == [("seed", 0, 1)]
    assert night.do("compare", str(first.path), str(second.path)) == 0


def test_names_that_stand_for_nothing_or_too_much_are_refused(night: StudyLab) -> None:
    with pytest.raises(PlanError, match="arm ok has 2 cells; name one of them: ok-"):
        find("ok", night.root)
    with pytest.raises(PlanError, match=r"no run, cell or arm 'okk' .*; did you mean 'ok'"):
        find("okk", night.root)


def test_export_leaves_checkpoints_and_models_behind_and_is_a_root(night: StudyLab, tmp_path: Path) -> None:
    run = runs.list_runs(night.root)[0]
    for name in ("checkpoints/last/weights", "model/weights", ".meta.json.99999999.tmp"):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("large")
    folder, archive = tmp_path / "copy", tmp_path / "copy.tar.gz"
    assert night.do("export", "--out", str(folder)) == 0
    assert night.do("export", "--out", str(archive)) == 0
    with tarfile.open(archive) as opened:
        packed = {name.partition("/")[2] for name in opened.getnames()}
    copied = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert packed == copied
    assert f"base/{BENCHMARK}-1234abcd/samples.parquet" in copied
    assert "studies/night/events.jsonl" in copied
    assert not [name for name in copied if "weights" in name or name.endswith((".tmp", ".lock"))]
    assert [one.key for one in runs.list_runs(folder)] == [one.key for one in runs.list_runs(night.root)]
    assert runs.list_experiments(folder) == runs.list_experiments(night.root)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_export_replaces_nothing(night: StudyLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "there").mkdir()
    assert night.do("export", "--out", str(tmp_path / "there")) == 2
    assert "exists; choose another name" in capsys.readouterr().err
    assert night.do("export", "--out", str(tmp_path / "x.zip")) == 2
    assert "must end in .tar.gz" in capsys.readouterr().err
    assert night.do("export", "--out", str(tmp_path / "export-v0.2")) == 2
    assert "or name a folder without a dot" in capsys.readouterr().err


def test_gc_lists_and_on_request_removes_what_nobody_needs(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    from sweeps.__main__ import main

    first, busy, failed, _ = runs.list_runs(night.root)
    nameless = runs.read_run(runs.create_run({**first.config, "arm": "alone"}))
    for run in (first, busy, failed):
        (run.path / "checkpoints").mkdir()
        (run.path / "checkpoints" / "weights").write_text("large")
    runs.update_meta(failed.path, status="failed")
    torn = first.path / ".meta.json.99999999.tmp"
    torn.write_text("{")
    with runs.lock(busy.path):
        before = night.tree()
        assert main(["gc", str(night.root)]) == 0
        output = capsys.readouterr().out
        assert "--yes removes 3 items" in output
        assert {name for name in before if not name.endswith(".lock")} <= night.tree().keys()
        assert night.do("gc") == 0
        assert "alone" not in capsys.readouterr().out.partition("nothing was removed")[0]
        assert main(["gc", str(night.root), "--yes"]) == 0
    assert not torn.exists()
    assert not (first.path / "checkpoints").exists()
    assert (busy.path / "checkpoints").exists()
    assert (failed.path / "checkpoints").exists()
    assert not nameless.path.parent.exists()
    assert (first.path / "meta.json").exists()


def test_status_of_a_study_names_its_cells(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert night.do("status", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["cell"], row["seed"], row["status"]) for row in rows] == [
        (f"arm=ok train.num_steps={number}", seed, "done") for number in (1, 2) for seed in (0, 1)
    ]
    assert night.do("status", "--watch") == 0  # all is over, so it ends
    assert "4 runs: 4 done" in capsys.readouterr().out


def test_a_study_that_was_never_launched_says_so(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    other = night.study_file.with_name("other.yaml")
    night.study_file.rename(other)
    night.study_file = other
    for command in ("status", "collect", "export", "gc"):
        assert night.do(command) == 2
        assert "study other has not been launched in" in capsys.readouterr().err


def _steps(night: StudyLab, cell: str) -> int:
    steps: int = find(cell, night.root)[0].config["train"]["num_steps"]
    return steps


def test_one_unreadable_meta_json_costs_its_row_only(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    torn, *others = runs.list_runs(night.root)
    (torn.path / "meta.json").write_text('{"status": ')
    rows = {row.run: row for row in status_rows([torn.path, *(run.path for run in others)])}
    assert rows[torn.key].status == "unreadable"
    assert "meta.json is not readable as JSON" in (rows[torn.key].error or "")
    assert {row.status for key, row in rows.items() if key != torn.key} == {run.status for run in others}
    table = collect([torn.path, *(run.path for run in others)]).set_index("run")
    assert table.loc[torn.key, "status"] == "unreadable"
    assert len(table) == len(rows)
    assert all(item.path != torn.path for item in find_removable(night.root, [torn.path], everything=True))
    capsys.readouterr()
    assert night.do("status") == 1
    assert "meta.json is not readable as JSON" in capsys.readouterr().err
    assert night.do("collect") == 1
    assert "meta.json is not readable as JSON" in capsys.readouterr().err


def test_status_of_a_root_says_which_settings_a_hash_stands_for(
    night: StudyLab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(night.root)], config_dir=night.conf) == 0
    shown = capsys.readouterr().out
    for run in runs.list_runs(night.root):
        hash_ = run.path.parent.name.rpartition("-")[2]
        assert f"ok num_steps={run.config['train']['num_steps']} seed={run.seed} ({hash_})" in shown


def test_a_finished_run_that_nobody_names_is_no_rubbish(night: StudyLab) -> None:
    (night.root / "experiments" / "night.json").unlink()
    shutil.rmtree(night.root / "studies")
    done, *others = runs.list_runs(night.root)
    runs.update_meta(others[0].path, status="interrupted")
    found = find_removable(night.root, [run.path for run in (done, *others)], everything=True)
    assert [item.path for item in found] == [others[0].path]


def test_a_pruned_run_is_called_pruned(night: StudyLab, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs.list_runs(night.root)[0]
    runs.update_meta(run.path, status="interrupted", pruned="trial 3 of night: not among the best third at step 1")
    assert status_rows([run.path])[0].status == "pruned"
    assert collect([run.path])["status"].tolist() == ["pruned"]
    assert night.do("plan") == 0
    assert "pruned" in capsys.readouterr().out
