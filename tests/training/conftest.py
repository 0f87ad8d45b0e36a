"""Small real runs in the nano world: seconds each, on one core."""

import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import hydra
import pytest
from filelock import FileLock
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, freeze
from agrae_lab.evaluation.benchmarks import base_policy
from agrae_lab.lifecycle import execute

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


@cache
def _is_group(key: str) -> bool:
    return bool(GlobalHydra.instance().config_loader().get_group_options(key))


@cache
def _composed(choices: tuple[str, ...]) -> bytes:
    return pickle.dumps(hydra.compose("config", overrides=list(choices)))


def compose(*overrides: str) -> DictConfig:
    """`hydra.compose("config", overrides)`, which takes 0.4 s, in a tenth of it; once for each choice of groups.

    Hydra follows the defaults list by the choices of groups alone, and sets all other values in the finished config.
    """
    with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        values = [o for o in parsed if not o.is_sweep_override() and not _is_group(o.key_or_group)]
        config: DictConfig = pickle.loads(_composed(tuple(o.input_line for o in parsed if o not in values)))
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
    return config


def compose_config(*overrides: str) -> dict:
    """Return a frozen config as `python -m agrae_lab.train <overrides>` would make it."""
    return freeze(compose(*overrides))


def copy_base(run: runs.Run, base: Path) -> None:
    """Copy the finished evaluations of a run's base model, which are the same in all runs, from another root."""
    for benchmark in run.config["evaluation"]["benchmarks"]:
        place = base_policy(run).directory(run.config, benchmark)
        found = [base / place.name / name for name in ("evaluation.json", "samples.parquet")]
        if not place.exists() and all(path.exists() for path in found):
            place.mkdir(parents=True)
            for path in found:
                shutil.copy(path, place)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Callable[..., runs.Run]:
    """Return a function that makes a finished small run, or finds it again, under a root that all tests share.

    A run under another root takes the shipped model's evaluation from there too, if there is one.
    """
    # workers of pytest-xdist have folders of their own beneath one that they share
    base = tmp_path_factory.getbasetemp()
    shared_root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small_runs"
    locks = shared_root.with_name("small_runs_locks")
    locks.mkdir(exist_ok=True)

    def make(*overrides: str, root: Path = shared_root) -> runs.Run:
        config = compose_config(f"root={root}", *SMALL, *overrides)
        with FileLock(locks / runs.run_dir_for(config).parent.name) if root == shared_root else nullcontext():
            run_dir = runs.create_run(config)
            if root != shared_root and config["model"]["path"] == "nano":
                copy_base(runs.read_run(run_dir), shared_root / "base")
            execute(run_dir)
        return runs.read_run(run_dir)

    return make
