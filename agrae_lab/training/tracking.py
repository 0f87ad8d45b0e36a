"""Mirrors of the metrics for the eye: Weights & Biases, TensorBoard.

The run directory stays the source: a mirror that fails is switched off with a line in the log, and the run goes on.

TensorBoard is the local one, rather than trackio: its event files lie in the run directory, which is the only place
where a run leaves anything, are appended to step by step without a server, and survive a kill; trackio keeps one
database for all projects outside of it and brings a web stack of its own into every training process.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from agrae_lab.runs import Run, config_hash

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]  # metric → number, list of numbers or None, as in metrics.parquet; "step" among them


def make_mirror(run: Run) -> Mirror | None:
    """The mirror that a run's `tracking` asks for; None for tracking=none."""
    wanted = run.config["tracking"]["name"]
    return next((kind(run) for kind in (WandbMirror, TensorBoardMirror) if kind.name == wanted), None)


class Mirror(ABC):
    """Shows the rows of one run elsewhere; none of its methods raises an Exception."""

    name: ClassVar[str]

    def __init__(self, run: Run) -> None:
        self._run = run
        self._off = False
        self._guard("is off for this run", self._open)

    def log(self, row: Row) -> None:
        """Mirror one step's row of metrics."""
        self._guard(f"stopped at step {row['step']}", lambda: self._log(row))

    def finish(self) -> None:
        self._guard("did not end well", self._finish)

    def _guard(self, fault: str, act: Callable[[], None]) -> None:
        if self._off:
            return
        try:
            act()
        except Exception as error:
            self._off = True
            logger.warning("tracking=%s %s: %s", self.name, fault, error)

    @abstractmethod
    def _open(self) -> None: ...
    @abstractmethod
    def _log(self, row: Row) -> None: ...
    @abstractmethod
    def _finish(self) -> None: ...


class WandbMirror(Mirror):
    """One W&B run per run directory, whichever attempt sends it: the id is the arm's hash and the seed, the group
    `<experiment>/<arm>-<hash8>`. Online, a continued run continues there; offline, each attempt is a run of its own on
    disk, and `wandb sync` joins them under the id."""

    name = "wandb"

    def _open(self) -> None:
        import wandb

        run, tracking = self._run, self._run.config["tracking"]
        cell, experiment = run.path.parent.name, run.config["experiment"]["name"]
        self._wandb = wandb.init(
            project=tracking["project"],
            mode=tracking["mode"],
            dir=run.path,
            id=f"{config_hash(run.config, without=('seed',))}-{run.seed}",
            name=run.key,
            group=f"{experiment}/{cell}" if experiment else cell,
            config=run.config,
            resume="allow",
        )

    def _log(self, row: Row) -> None:
        self._wandb.log({k: v for k, v in row.items() if v is not None}, step=row["step"])

    def _finish(self) -> None:
        self._wandb.finish()


class TensorBoardMirror(Mirror):
    """Event files in `<run>/tensorboard`, one per attempt: `tensorboard --logdir <root>` shows every number of every
    run of a root, step by step. Steps that a killed attempt did in vain are hidden behind those done again."""

    name = "tensorboard"

    def _open(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(f"{error}; install agrae-lab[tensorboard]") from error
        self._make_writer = SummaryWriter
        self._writer: Any = None  # made at the first row, which says where this attempt begins

    def _log(self, row: Row) -> None:
        step = row["step"]
        if self._writer is None:
            self._writer = self._make_writer(str(self._run.path / "tensorboard"), purge_step=step)
        for name, value in row.items():
            if name not in ("schema_version", "step") and isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
