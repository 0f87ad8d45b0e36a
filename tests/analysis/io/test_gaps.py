"""Broken and missing records: each is named once, costs its own run only, and shows in the exit status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from analysis_lab import BENCHMARK, Root

from agrae_lab.runs import Run
from analysis import figures, tables
from analysis.__main__ import main
from analysis.figures import find, mass_vs_p, passk
from analysis.io.gaps import gap_sentences
from analysis.io.study import Study
from analysis.tables import main as table_main


@pytest.fixture
def lab(new_root: Callable[..., Root], monkeypatch: pytest.MonkeyPatch) -> tuple[Root, list[Run]]:
    """Three arms, and the seven runs of the second, which tests break; a figure of each kind of file, and a table."""
    drawn = [passk, find("entropy"), mass_vs_p]
    monkeypatch.setattr(figures, "discover", lambda: drawn)
    monkeypatch.setattr(tables, "discover", lambda: [table_main])
    root = new_root(num_problems=12, num_samples=8, num_steps=12, all_rollouts=True)
    broken = [root.run("a_grae", seed) for seed in range(7)]
    root.experiment("x", [root.run("grpo"), *broken, root.run("positive_dominant")])
    return root, broken


def analysed(root: Root, out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    """Exit status, the refusals, and the summary."""
    status = main([f"runs={root.path}", f"out={out}"])
    refused = [line for line in capsys.readouterr().out.splitlines() if line.startswith("refused")]
    return status, refused, (out / "x" / "summary.md").read_text()


def test_whole_records_are_no_matter(lab: tuple[Root, list[Run]], tmp_path: Path, capsys) -> None:
    root, _ = lab
    status, refused, summary = analysed(root, tmp_path, capsys)
    assert (status, refused) == (0, [])
    assert "## Refused" not in summary


def rewrite(path: Path, **columns: object) -> None:
    """Columns of a Parquet file set to other values; a NaN stays one and does not become a null."""
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, path)


def break_meta(run: Run) -> None:
    (run.path / "meta.json").write_text("{not json")


def cut_samples(run: Run) -> None:
    path = run.samples_path(BENCHMARK)
    path.write_bytes(path.read_bytes()[:-200])


def cut_metrics(run: Run) -> None:
    run.metrics_path.write_bytes(run.metrics_path.read_bytes()[:-200])


def cut_rollouts(run: Run) -> None:
    path = run.path / "rollouts" / "step-000002.parquet"
    path.write_bytes(path.read_bytes()[:300])


def no_verdict_in_samples(run: Run) -> None:
    path = run.samples_path(BENCHMARK)
    rewrite(path, correct=[None, *pq.read_table(path)["correct"].to_pylist()[1:]])


def no_verdict_in_rollouts(run: Run) -> None:
    path = run.path / "rollouts" / "step-000003.parquet"
    rewrite(path, correct=[None, *pq.read_table(path)["correct"].to_pylist()[1:]])


def step_twice(run: Run) -> None:
    frame = pd.read_parquet(run.metrics_path)
    frame.loc[1, "step"] = 1
    frame.to_parquet(run.metrics_path)


BROKEN = {
    break_meta: "meta.json is not readable as JSON",
    cut_samples: "not a whole Parquet file",
    cut_metrics: "not a whole Parquet file",
    cut_rollouts: "not a whole Parquet file",
    no_verdict_in_samples: "1 rows are valid but have no verdict",
    no_verdict_in_rollouts: "1 rows are valid but have no verdict",
    step_twice: "step 1 is recorded twice",
}


def test_a_broken_file_costs_its_own_run_in_one_sentence(lab: tuple[Root, list[Run]], tmp_path: Path, capsys) -> None:
    root, runs = lab
    for damage, run in zip(BROKEN, runs, strict=True):
        damage(run)
    status, refused, summary = analysed(root, tmp_path, capsys)
    assert status == 1
    for words, run in zip(BROKEN.values(), runs, strict=True):
        found = [line for line in refused if f"seed-{run.seed}" in line and "completions of" not in line]
        assert len([line for line in found if words in line]) == 1, words
        assert summary.count(f"seed-{run.seed}") >= 1
    for name in ("passk", "entropy", "mass_vs_p", "table_main"):
        assert set(pd.read_csv(tmp_path / "x" / f"{name}.csv")["arm"]) >= {"grpo", "positive_dominant"}


def drop_step(run: Run) -> None:
    (run.path / "rollouts" / "step-000007.parquet").unlink()


def drop_last_steps(run: Run) -> None:
    for step in (11, 12):
        (run.path / "rollouts" / f"step-{step:06d}.parquet").unlink()


def drop_metrics_step(run: Run) -> None:
    frame = pd.read_parquet(run.metrics_path)
    frame[frame["step"] != 9].to_parquet(run.metrics_path)


def nan_entropy(run: Run) -> None:
    values = pd.read_parquet(run.metrics_path)["entropy"].to_numpy().copy()
    values[3:5] = [np.nan, np.inf]
    rewrite(run.metrics_path, entropy=values)


def no_metrics(run: Run) -> None:
    run.metrics_path.unlink()


GAPS = {
    drop_step: "rollouts lack step 7",
    drop_last_steps: "rollouts lack steps 11, 12",
    drop_metrics_step: "metrics.parquet lacks step 9",
    nan_entropy: "metric entropy is NaN or infinite at steps 4, 5",
    no_metrics: "it is done, but has no metrics.parquet",
}


def test_a_gap_is_named_once_and_the_rest_is_used(lab: tuple[Root, list[Run]], tmp_path: Path, capsys) -> None:
    root, runs = lab
    gapped = dict(zip(GAPS, runs[2:], strict=True))
    for damage, run in gapped.items():
        damage(run)
    status, refused, summary = analysed(root, tmp_path, capsys)
    assert status == 1
    assert len(refused) == len(GAPS)
    for damage, words in GAPS.items():
        told = f"refused in x, All experiments: {gapped[damage].key} is incomplete: "
        (line,) = [line for line in refused if words in line]
        assert line.startswith(told)
        assert words in summary
    table = pd.read_csv(tmp_path / "x" / "passk.csv")
    assert set(table.loc[table["arm"] == "a_grae", "seeds"]) == {7}  # evaluations are whole


def test_the_last_step_of_a_diverged_run_is_no_gap(new_root: Callable[..., Root]) -> None:
    root = new_root(num_problems=5, num_samples=4)
    run = root.run("grpo", status="diverged", steps=5)
    for loss, gaps in (([0.1] * 4 + [np.nan], 0), ([0.1, np.nan] + [0.1] * 2 + [np.nan], 1)):
        rewrite(run.metrics_path, entropy=loss)
        assert len([line for line in gap_sentences(Study("x", "?", (run,))) if "NaN" in line]) == gaps


def test_a_broken_base_model_is_left_out_and_arms_are_compared(
    lab: tuple[Root, list[Run]], tmp_path: Path, capsys
) -> None:
    root, runs = lab
    path = runs[0].base_samples_path(BENCHMARK)
    assert path is not None
    path.write_bytes(b"no Parquet")
    status, refused, _ = analysed(root, tmp_path, capsys)
    assert status == 1
    assert len([line for line in refused if "the base model is left out" in line]) == 1
    assert set(pd.read_csv(tmp_path / "x" / "passk.csv")["arm"]) == {"grpo", "a_grae", "positive_dominant"}
