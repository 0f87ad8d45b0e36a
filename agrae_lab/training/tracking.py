"""Mirrors of the metrics in displays: Weights & Biases, TensorBoard.

The run directory stays the source. A mirror that fails is switched off with a line in the log, and the run trains on.

TensorBoard, rather than trackio, is the local display. Its event files lie in the run directory, grow step by step
without a server, and survive a kill; trackio keeps one database for all projects outside of the run directory and
brings a web stack of its own into every training process.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from agrae_lab.runs import Run, training_hash

logger = logging.getLogger(__name__)

Row = Mapping[str, Any]  # metric → number, list of numbers or None, as in metrics.parquet; "step" among them


def make_mirror(run: Run) -> Mirror | None:
    """Return the mirror of a run's `tracking`; None for tracking=none."""
    name = run.config["tracking"]["name"]
    return next((kind(run) for kind in (WandbMirror, TensorBoardMirror) if kind.name == name), None)


class Mirror(ABC):
    """Display of one run's rows elsewhere; none of its methods raises an Exception."""

    name: ClassVar[str]

    def __init__(self, run: Run) -> None:
        self._run = run
        self._off = False
        self._guard("is off for this run", self._open)

    def log(self, row: Row) -> None:
        """Mirror one step's row of metrics."""
        self._guard(f"stopped at step {row['step']}", lambda: self._log(row))

    def finish(self) -> None:
        """Close the mirror at the end of the run."""
        self._guard("did not close", self._finish)

    def _guard(self, fault: str, act: Callable[[], None]) -> None:
        """Act, unless the mirror is off; switch it off with a warning if that fails."""
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
    """One W&B run per run directory, shared by its attempts.

    The id is the arm's hash and the seed, the group `<experiment>/<arm>-<hash8>`. Online, a resumed run is resumed
    there; offline, each attempt is a run of its own on disk, and `wandb sync` joins them under the id.
    """

    name = "wandb"

    def _open(self) -> None:
        import wandb

        run, tracking = self._run, self._run.config["tracking"]
        cell, experiment = run.path.parent.name, run.config["experiment"]["name"]
        self._wandb = wandb.init(
            project=tracking["project"],
            mode=tracking["mode"],
            dir=run.path,
            id=f"{training_hash(run.config, without=('seed',))}-{run.seed}",
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
    """Event files in `<run>/tensorboard`, one per attempt: `tensorboard --logdir <root>` shows every run of a root.

    Steps that an interrupted attempt has lost are hidden behind the same steps of the next attempt.
    """

    name = "tensorboard"

    def _open(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(f"{error}; install agrae-lab[tensorboard]") from error
        self._make_writer = SummaryWriter
        self._writer: Any = None  # made at the first row, whose step is the first of this attempt

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
