"""The records and measures of benchmarks/analysis.py, in small: what is compared for speed must agree in value."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agrae_lab.runs import Run, list_experiments
from analysis.io.eval_counts import read_counts
from analysis.io.study import load_study
from analysis.io.training_records import read_groups, read_metrics, read_p_histogram
from analysis.statistics.passk import KS
from benchmarks import analysis as benchmark
from benchmarks._records import BENCHMARK, Sizes, write_records

SMALL = Sizes(arms=3, problems=12, samples=256, runs=1, steps=3, prompts=16, generations=8)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return write_records(tmp_path_factory.mktemp("records") / "runs", SMALL)


def test_records_are_as_large_as_they_say(records: list[Run]) -> None:
    root = records[0].root
    paths = [run.samples_path(BENCHMARK) for run in records] + [records[0].base_samples_path(BENCHMARK)]
    counts = [read_counts(path) for path in paths]
    assert sum(len(c.correct_P) * c.num_samples for c in counts) == SMALL.evaluation_rows == 3 * 12 * 256
    assert sum(int(read_groups(run)["size"].sum()) for run in records) == SMALL.training_rows == 3 * 16 * 8
    assert len({c.problem_ids for c in counts}) == 1
    study = load_study(root, list_experiments(root)[0])
    assert len(study.arms) == 2
    assert not study.not_started
    assert not study.settings_differ


def test_the_papers_size() -> None:
    assert Sizes().evaluation_rows == 15_360_000
    assert Sizes().training_rows == 11_468_800


def test_counts_equal_brute_force(records: list[Run]) -> None:
    path = records[1].samples_path(BENCHMARK)
    rows = pd.read_parquet(path)
    rows = rows[rows["decoding"] == "sample"]
    assert read_counts(path).correct_P.tolist() == rows.groupby("problem_id")["correct"].sum().tolist()


def test_metrics_agree_with_the_rollouts(records: list[Run]) -> None:
    run = records[0]
    columns = ["adv_sum", "adv_abs_sum", "adv_positive_mass", "adv_negative_mass", "grpo_abs_sum"]
    sums = read_groups(run).groupby("step")[columns].sum()
    np.testing.assert_allclose(sums, read_metrics(run, columns).set_index("step"), rtol=1e-4, atol=1e-4)
    recorded = read_p_histogram(run)
    without = Run(run.path / "elsewhere", run.config)
    without.path.mkdir()
    (without.path / "rollouts").symlink_to(run.path / "rollouts")
    pd.testing.assert_frame_equal(read_p_histogram(without), recorded)


def test_the_three_ways_to_pass_at_k_agree(records: list[Run], tmp_path: Path) -> None:
    samples = records[0].samples_path(BENCHMARK)
    lines = benchmark.write_lines(samples, tmp_path / "samples.jsonl")
    published = [benchmark.published_pass_at_k(lines, k, num_samples=SMALL.samples) for k in KS]
    np.testing.assert_allclose(benchmark.from_parquet(samples), published, rtol=0, atol=benchmark.TOLERANCE)
    np.testing.assert_allclose(benchmark.from_lines(lines), published, rtol=0, atol=benchmark.TOLERANCE)


@pytest.mark.slow  # its parts stand above
def test_the_benchmark_runs_and_names_its_goals(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark.main(SMALL)
    told = capsys.readouterr().out
    for pattern in (r"Parquet: .* times as fast \(goal: 100\)", r"JSON lines: .* times as fast \(goal: 20\)",
                    r"9,216 evaluation rows .*goal: 10 s, 1,024 MiB",
                    r"384 training rows .*goal: 30 s, 2,048 MiB", r"54 intervals .*goal: 1.2 s"):  # fmt: skip
        assert re.search(pattern, told), told
