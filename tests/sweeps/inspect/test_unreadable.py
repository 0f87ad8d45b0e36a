"""Folders of a root that are no whole runs cost their own row of a table, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agrae_lab import runs
from agrae_lab.runs import RunError
from sweeps.__main__ import main
from sweeps.errors import PlanError
from sweeps.inspect.compare import find

CONFIG = {"schema_version": 1, "arm": "ok", "train": {"num_steps": 2}}
FAULT = "seed-0-old: the directory of a run is named seed-<number>. Rename it, or move it out of the root"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with two runs, and a backup of one."""
    paths = [runs.create_run({**CONFIG, "root": str(tmp_path / "root"), "seed": seed}) for seed in (0, 1)]
    for path in paths:
        runs.update_meta(path, status="done")
    shutil.copytree(paths[0], paths[0].with_name("seed-0-old"))
    return tmp_path / "root"


def test_a_backup_of_a_run_is_an_unreadable_row(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(root), "--json"]) == 1
    told = capsys.readouterr()
    rows = json.loads(told.out)
    assert [(row["seed"], row["status"]) for row in rows] == [(0, "done"), (-1, "unreadable"), (1, "done")]
    assert FAULT in told.err
    assert main(["status", str(root)]) == 1
    assert "3 runs: 2 done, 1 unreadable" in capsys.readouterr().out
    assert main(["status", str(root), "--watch"]) == 1
    assert FAULT in capsys.readouterr().err


def test_a_backup_of_a_run_is_no_result(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", str(root), "--out", str(root / "all.csv")]) == 1
    told = capsys.readouterr()
    assert "3 runs" in told.out
    assert FAULT in told.err
    backup = (root / "all.csv").read_text().splitlines()[2].split(",")
    assert (backup[0].rpartition("/")[2], backup[2:5]) == ("seed-0-old", ["ok", "-1", "unreadable"])


def test_a_damaged_backup_is_one_row_too(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (backup,) = root.glob("*/seed-0-old")
    (backup / "config.yaml").write_text("{")
    (backup / "meta.json").write_text("{")
    for command in (["status", str(root)], ["collect", str(root), "--out", str(root / "all.csv")]):
        assert main(command) == 1
        assert "seed-0-old" in capsys.readouterr().err
    assert main(["gc", str(root), "--yes"]) == 0
    assert backup.is_dir()


def test_a_comparison_reads_no_other_arms(root: Path) -> None:
    other = runs.create_run({**CONFIG, "root": str(root), "arm": "other", "seed": 0})
    assert [run.path for run in find("other", root)] == [other]
    with pytest.raises(RunError, match="seed-0-old: the directory of a run is named"):
        find("ok", root)
    (backup,) = root.glob("*/seed-0-old")
    assert [run.path for run in find(str(backup), root)] == [backup]  # by its own path
    with pytest.raises(PlanError, match="the arms are ok, other"):
        find("elsewhere", root)


def test_a_root_without_runs_gets_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["collect", str(tmp_path / "empty")]) == 2
    assert f"there are no runs in {tmp_path / 'empty'}" in capsys.readouterr().err
    assert list((tmp_path / "empty").iterdir()) == []
    assert main(["status", str(tmp_path / "empty")]) == 0


@pytest.mark.parametrize("command", ["status", "collect", "gc"])
@pytest.mark.parametrize("form", ["{}", "root={}", "++root={}"])
def test_a_root_that_does_not_exist_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str], command: str, form: str
) -> None:
    typo = root.with_name("roof")
    assert main([command, form.format(typo)]) == 2
    assert capsys.readouterr().err == f"{typo}: there is no such study or root; did you mean 'root'?\n"
    assert not typo.exists()


def test_a_comparison_in_a_root_that_does_not_exist_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "ok", "other", f"root={root.with_name('roof')}"]) == 2
    assert "did you mean 'root'?" in capsys.readouterr().err
