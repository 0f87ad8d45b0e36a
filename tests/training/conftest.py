"""Small real runs in the nano world: seconds each, on one core."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, freeze, register_advantages
from agrae_lab.lifecycle import execute

register_advantages()

# checkpoints at steps 2 and 4, so that a run can be interrupted between them
SMALL = [
    "train.num_steps=6",
    "train.num_prompts=8",
    "train.num_generations=4",
    "train.checkpoint_every=2",
    "train.validate_every=3",
    "evaluation.num_samples=8",
    "evaluation.batch_size=256",
    "evaluation.benchmarks.countdown_test.limit=16",
    "hardware.device=cpu",
]


def compose_config(*overrides: str) -> dict:
    """Return a frozen config as `python -m agrae_lab.train <overrides>` would make it."""
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return freeze(compose("config", overrides=list(overrides)))


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Callable[..., runs.Run]:
    """Return a function that makes a finished small run, or finds it again, under a root that all tests share."""
    shared_root = tmp_path_factory.mktemp("runs")

    def make(*overrides: str, root: Path = shared_root) -> runs.Run:
        run_dir = runs.create_run(compose_config(f"root={root}", *SMALL, *overrides))
        execute(run_dir)
        return runs.read_run(run_dir)

    return make
