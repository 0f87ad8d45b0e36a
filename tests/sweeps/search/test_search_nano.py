"""A real search in the nano world, through the command line, to its Pareto front."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from agrae_lab import runs
from analysis import pareto
from sweeps.__main__ import main
from sweeps.search.table import read_table
from sweeps.spec.objectives import COLUMNS
from sweeps.spec.read import as_data, read_study

SMALL = [
    "train.num_steps=2",
    "train.num_prompts=8",
    "train.num_generations=4",
    "train.validate_every=1",
    "evaluation.num_samples=64",
    "evaluation.batch_size=2048",
    "evaluation.benchmarks.countdown_tune.limit=8",
    "hardware.device=cpu",
]


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped search with small runs: three trials of one seed."""
    plain = as_data(read_study("agrae_search"))
    plain["base"] += SMALL
    plain["seeds"] = [0]
    plain["search"]["num_trials"] = 3
    path = tmp_path_factory.mktemp("study") / "small_search.yaml"
    path.write_text(yaml.safe_dump(plain | {"name": "small_search"}))
    return path


@pytest.mark.slow
def test_the_shipped_search_in_small(study_file: Path) -> None:
    root = study_file.parent / "runs"
    words = ["run", str(study_file), f"root={root}"]
    assert main(words) == 0
    path = root / "studies" / "small_search"
    table = read_table(path / "trials.csv")
    assert [row["status"] for row in table] == ["done"] * 3
    assert any(row["front"] == "yes" for row in table)
    for row in table:
        run = runs.read_run(root / row["runs"])
        assert run.config["advantage"]["group"]["name"] == row["param advantage/group"]
        assert run.config["train"]["learning_rate"] == float(row["param train.learning_rate"])
        for k in (1, 64):
            assert math.isfinite(float(row[f"maximize pass@{k}/countdown_tune"]))
        recorded = set(pq.read_schema(run.metrics_path).names)
        assert recorded - {"schema_version", "step", "p_histogram"} == set(COLUMNS)
    assert pareto.main([str(path)]) == 0
    assert (path / "figures" / "pareto.png").is_file()

    before = {run.key: run.meta["updated"] for run in runs.list_runs(root)}
    assert main(words) == 0
    assert {run.key: run.meta["updated"] for run in runs.list_runs(root)} == before


def test_the_shipped_search_can_be_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "agrae_search", f"root={tmp_path / 'runs'}"]) == 0
    output = capsys.readouterr().out
    assert "advantage.group.alpha" in output
    assert "24 trials by tpe" in output
    assert not (tmp_path / "runs").exists()
