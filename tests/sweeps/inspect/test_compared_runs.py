"""The intervals of a comparison: each column has its own method and scope, which may differ between values of k."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from agrae_lab import runs
from sweeps.inspect.compare import print_comparison, results

NUM_SAMPLES, NUM_PROBLEMS = 4, 40


def evaluated_run(root: Path, arm: str, seed: int) -> runs.Run:
    """Return a finished run with samples of one benchmark, correct at random."""
    path = runs.create_run({"schema_version": 1, "root": str(root), "arm": arm, "seed": seed})
    correct_PN = np.random.default_rng([seed, len(arm)]).random((NUM_PROBLEMS, NUM_SAMPLES)) < 0.3
    samples = pd.DataFrame(
        {
            "problem_id": np.repeat([f"p{i:02d}" for i in range(NUM_PROBLEMS)], NUM_SAMPLES),
            "sample": np.tile(np.arange(NUM_SAMPLES), NUM_PROBLEMS),
            "correct": correct_PN.ravel(),
        }
    )
    (folder := path / "eval" / "sums-1234abcd").mkdir(parents=True)
    constants = {"schema_version": 1, "decoding": "sample", "valid": True, "temperature": 1.0, "top_p": 1.0}
    samples.assign(**constants).to_parquet(folder / "samples.parquet")
    runs.update_meta(path, status="done")
    return runs.read_run(path)


def printed(first: list[runs.Run], second: list[runs.Run]) -> list[str]:
    with (console := Console(width=200)).capture() as shown:
        print_comparison(console, ("grpo", "a_grae"), first, second)
    return shown.get().splitlines()


def test_each_side_has_its_own_method_and_scope(tmp_path: Path) -> None:
    three, one = [evaluated_run(tmp_path, "grpo", seed) for seed in range(3)], [evaluated_run(tmp_path, "a_grae", 0)]
    lines = printed(three, one)
    assert "Pass@k (%) on sums, with 95 % intervals" in lines
    told = [line for line in lines if line.startswith("intervals of ")]
    method, one_seed = (
        "the method (its training seeds) on problems like these",
        "these checkpoints on problems like these",
    )
    assert told[:3] == [
        f"intervals of grpo: t over seeds and over problems, for {method}",
        f"intervals of a_grae at k = 1, 2: t over problems, for {one_seed}",
        f"intervals of a_grae at k = 4: Wilson over problems, for {one_seed}",
    ]
    assert all(line.startswith("intervals of difference") and line.endswith(one_seed) for line in told[3:])
    (table,) = results(three, one)
    assert set(table["first scope"]) != set(table["second scope"])


def test_methods_that_differ_between_values_of_k_are_told_apart(tmp_path: Path) -> None:
    lines = printed([evaluated_run(tmp_path, "grpo", 0)], [evaluated_run(tmp_path, "a_grae", 1)])
    told = [line for line in lines if line.startswith("intervals of difference")]
    assert [line.partition(":")[0] for line in told] == [
        "intervals of difference at k = 1, 2", "intervals of difference at k = 4",
    ]  # fmt: skip
    assert "t over problems" in told[0]
    assert "McNemar" in told[1]
