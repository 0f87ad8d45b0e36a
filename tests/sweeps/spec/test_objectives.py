"""Objective values are read from a run's files, and a metric that no run will have is refused by name."""

from __future__ import annotations

from pathlib import Path

import fake_search_train
import pytest
import yaml

from agrae_lab import runs
from analysis.io.parquet import FrameError
from sweeps.errors import PlanError
from sweeps.spec.objectives import check_metric, metric_value

CONFIG = {
    "schema_version": 1,
    "arm": "trial",
    "seed": 0,
    "kind": {"name": "plain"},
    "train": {"num_steps": 4, "step_seconds": 0.0, "x": 0.3, "mood": "ok"},
    "evaluation": {"num_samples": 40, "benchmarks": {"problems": {}}},
}


@pytest.fixture
def run(tmp_path: Path) -> runs.Run:
    """Not executed yet."""
    return runs.read_run(runs.create_run({**CONFIG, "root": str(tmp_path)}))


def test_values_of_a_finished_run(run: runs.Run) -> None:
    fake_search_train.execute(str(run.path))
    assert metric_value(run, "pass@1/problems") == pytest.approx(0.8, abs=0.02)
    # the largest k is 1 wherever any sample is correct, and here every problem has some
    assert metric_value(run, "pass@40/problems") == 1.0
    assert metric_value(run, "metrics.greedy_accuracy:last") == pytest.approx(0.8)
    assert metric_value(run, "metrics.greedy_accuracy:min") == pytest.approx(0.2)
    assert metric_value(run, "metrics.greedy_accuracy:mean") == pytest.approx(0.5)
    assert metric_value(run, "metrics.loss:max") == 1.0


def test_a_run_without_the_files_has_no_value(run: runs.Run) -> None:
    assert metric_value(run, "pass@1/problems") is None
    assert metric_value(run, "metrics.loss:last") is None


def test_a_step_without_a_value_is_passed_over(run: runs.Run) -> None:
    rows = {"schema_version": [1, 1], "step": [1, 2], "greedy_accuracy": [0.5, None]}
    fake_search_train._write(run.metrics_path, rows)
    assert metric_value(run, "metrics.greedy_accuracy:last") == 0.5


def test_files_that_cannot_give_the_value_are_named(run: runs.Run) -> None:
    fake_search_train.execute(str(run.path))
    with pytest.raises(FrameError, match="too few for Pass@41"):
        metric_value(run, "pass@41/problems")
    with pytest.raises(FrameError, match=r"the columns .'entropy'. are missing"):
        metric_value(run, "metrics.entropy:last")


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        ("pass@1", "'pass@1' is not a metric; write pass@<k>/<benchmark> or metrics.<column>:last|mean|max|min"),
        ("pass@0/problems", "is not a metric"),
        ("pass@1/problem", "evaluation.benchmarks has no 'problem'; did you mean 'problems'?"),
        ("pass@41/problems", "evaluation.num_samples = 40 gives no Pass@41; raise it, or lower k"),
        ("metrics.greedy_acuracy:last", "runs record no column 'greedy_acuracy'; did you mean 'greedy_accuracy'?"),
        ("metrics.loss:sum", "a column has no reduction 'sum'; choose from last, mean, max, min"),
    ],
)
def test_a_metric_that_no_run_will_have_is_refused(metric: str, sentence: str) -> None:
    with pytest.raises(PlanError) as refused:
        check_metric(metric, CONFIG)
    assert sentence in str(refused.value)


def test_metrics_that_runs_will_have(tmp_path: Path) -> None:
    config = yaml.safe_load(yaml.safe_dump(CONFIG))
    check_metric("pass@40/problems", config)
    check_metric("metrics.approx_kl:max", config)


@pytest.mark.parametrize(
    ("metric", "config", "sentence"),
    [
        ("metrics.kl:last", {"loss": {"kl_coefficient": 0.0}}, "no run records kl while loss.kl_coefficient is 0"),
        ("metrics.greedy_accuracy:last", {"train": {"validate_every": 0}}, "while train.validate_every is 0"),
        ("metrics.final_greedy_entropy:last", {"train": {"validate_every": 0}}, "while train.validate_every is 0"),
    ],
)
def test_a_column_that_the_settings_leave_empty_is_refused(metric: str, config: dict, sentence: str) -> None:
    with pytest.raises(PlanError) as refused:
        check_metric(metric, {**CONFIG, **config})
    assert sentence in str(refused.value)
    check_metric(metric, {**CONFIG, "loss": {"kl_coefficient": 0.1}, "train": {"validate_every": 5}})
