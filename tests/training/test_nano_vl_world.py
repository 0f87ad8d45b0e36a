"""The nano_vl world: a run trains on pictures and is evaluated in and out of its domain; and, slowly, GRPO learns."""

import numpy as np
import pandas as pd
import pytest

from agrae_lab import runs
from agrae_lab.lifecycle import execute
from agrae_lab.tasks import load_problems, load_task
from agrae_lab.tasks.problems import shipped_file
from tests.training.conftest import compose_config
from tests.training.test_runs_end_to_end import metrics, rollouts

SMALL = [
    "world=nano_vl",
    "train.num_steps=2",
    "train.num_prompts=6",
    "train.num_generations=4",
    "train.checkpoint_every=2",
    "train.validate_every=0",
    "evaluation.num_samples=4",
    "evaluation.batch_size=64",
    "evaluation.benchmarks.shapes_test.limit=6",
    "evaluation.benchmarks.shapes_strange_test.limit=6",
    "hardware.device=cpu",
]
BENCHMARKS = {"shapes_test": "shapes", "shapes_strange_test": "shapes_strange"}


def finished(root, *overrides):
    run_dir = runs.create_run(compose_config(f"root={root}", *overrides))
    execute(run_dir)
    return runs.read_run(run_dir)


def test_a_small_run_learns_from_pictures_and_is_judged_in_both_domains(tmp_path):
    few = tmp_path / "few.jsonl"  # all pictures of a file are measured before training
    few.write_text("".join(shipped_file("shapes", "train").read_text().splitlines(keepends=True)[:24]))
    run = finished(tmp_path, *SMALL, f"task.train_file={few}", "advantage=a_grae")
    assert run.status == "done"
    drawn, task = rollouts(run), load_task("shapes")
    problems = {p["id"]: p for p in load_problems(task, "train")}
    assert len(drawn) == 2 * 6 * 4
    judged = [
        task.verify(text, problems[name]).correct
        for text, name in zip(drawn["completion"], drawn["prompt_id"], strict=True)
    ]
    assert drawn["correct"].tolist() == judged
    assert 0 < sum(judged) < len(judged)
    assert metrics(run)["loss"].notna().all()
    for benchmark, name in BENCHMARKS.items():
        samples = pd.read_parquet(run.samples_path(benchmark))
        expected = [p["id"] for p in load_problems(load_task(name), "test", limit=6)]
        assert sorted(set(samples["problem_id"])) == sorted(expected)
        assert (samples["decoding"] == "sample").sum() == 6 * 4
    assert [run.config["evaluation"]["benchmarks"][b]["domain"] for b in BENCHMARKS] == ["in", "out"]


@pytest.mark.slow
def test_grpo_raises_pass_at_1_by_eight_points(tmp_path):
    run = finished(tmp_path, "world=nano_vl", "hardware.device=cpu")
    gain = {}
    for benchmark in BENCHMARKS:
        paths = run.samples_path(benchmark), run.base_samples_path(benchmark)
        after, before = (
            frame[frame["decoding"] == "sample"].groupby("problem_id")["correct"].mean()
            for frame in (pd.read_parquet(path) for path in paths)
        )
        gain[benchmark] = (after - before).to_numpy()
    inside = gain["shapes_test"]
    draws = np.random.default_rng(0).integers(len(inside), size=(2000, len(inside)))
    assert inside.mean() >= 0.08
    assert np.quantile(inside[draws].mean(axis=1), 0.025) > 0
    assert gain["shapes_strange_test"].mean() < inside.mean()
