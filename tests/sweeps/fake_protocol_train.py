"""fake_search_train whose score has noise between seeds: `beta` raises it, and train.x = 0.3 is best."""

from __future__ import annotations

from unittest.mock import patch

import fake_search_train
import numpy as np
import numpy.random  # imported before the runs are forked
from fake_search_train import freeze

__all__ = ["execute", "freeze"]


def noisy_score(config: dict) -> float:
    """Return 0.5 + a tenth of beta, less the square of x − 0.3, with a deviation of 0.02 between seeds."""
    kind = config["kind"]
    noise = np.random.default_rng([config["seed"], *kind["name"].encode()]).standard_normal()
    return 0.5 + 0.1 * kind.get("beta", 0.0) - (config["train"]["x"] - 0.3) ** 2 + 0.02 * float(noise)


def execute(run_dir: str) -> str:
    """Execute a run with the noisy score; other tests of this process keep theirs."""
    with patch.object(fake_search_train, "score", noisy_score):
        return fake_search_train.execute(run_dir)
