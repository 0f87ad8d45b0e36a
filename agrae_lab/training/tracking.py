"""A mirror of the metrics in Weights & Biases. The run directory stays the source; a failing mirror fails nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from agrae_lab.runs import Run, config_hash

logger = logging.getLogger(__name__)


class WandbMirror:
    """One W&B run per run directory: its id is the config's hash. Online, a continued run continues there; offline,
    each attempt is a run of its own on disk, and `wandb sync` joins them under the id."""

    def __init__(self, run: Run) -> None:
        self._run = None
        try:
            import wandb

            self._run = wandb.init(
                project=run.config["tracking"]["project"],
                mode=run.config["tracking"]["mode"],
                dir=run.path,
                id=config_hash(run.config),
                name=run.key,
                group=run.config["experiment"]["name"],
                config=run.config,
                resume="allow",
            )
        except Exception as error:
            logger.warning("tracking=wandb is off for this run: %s", error)

    def log(self, row: Mapping[str, Any]) -> None:
        """Mirror one step's row of metrics."""
        if self._run is None:
            return
        try:
            self._run.log({k: v for k, v in row.items() if v is not None}, step=row["step"])
        except Exception as error:
            logger.warning("tracking=wandb stopped at step %s: %s", row["step"], error)
            self._run = None

    def finish(self) -> None:
        if self._run is not None:
            self._run.finish()
