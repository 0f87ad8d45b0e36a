"""The order of training problems: shuffled, or as in their file."""

import json

import pytest

from agrae_lab.config import ConfigError, problem_sets
from tests.training.conftest import compose_config
from tests.training.test_runs_end_to_end import rollouts


def test_listed_problems_are_trained_on_in_the_order_of_their_file(small_run, tmp_path):
    shipped = problem_sets(compose_config())["train"]
    listed = [shipped[i] for i in range(200, 180, -1)]
    path = tmp_path / "listed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in listed))
    run = small_run(f"task.train_file={path}", "train.prompt_order=listed", "train.num_steps=3")
    drawn = rollouts(run).groupby(["step", "group"])["prompt_id"].first().tolist()
    ids = [row["id"] for row in listed]
    assert drawn == [*ids[:16], *ids[:8]]  # 8 a step; the last 4 do not fill a third batch, and the file begins again


def test_rounds_of_other_problems_have_no_order():
    with pytest.raises(ConfigError, match="wants them in the order of the file; set one of them to null"):
        compose_config("train.prompt_order=listed", "train.sampling_rounds=2")
