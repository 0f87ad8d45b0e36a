"""Fixtures of the analysis tests; what they are made of is in analysis_lab.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from analysis_lab import ARMS, EXPERIMENTS, Root


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """The three experiments of the paper, one seed. Read only: tests that change files build their own root."""
    root = Root(tmp_path_factory.mktemp("demo"))
    runs = {arm: root.run(arm) for arm in ARMS}
    for name, arms in EXPERIMENTS.items():
        root.experiment(name, [runs[arm] for arm in arms])
    return root


@pytest.fixture
def new_root(tmp_path: Path) -> Callable[..., Root]:
    """Makes empty roots: `new_root(num_problems=..., num_samples=..., num_steps=...)`."""
    return lambda **sizes: Root(tmp_path / "runs", **sizes)
