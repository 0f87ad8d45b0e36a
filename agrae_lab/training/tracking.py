"""Mirrors of the metrics in displays: Weights & Biases, TensorBoard.

The run directory stays the source. A mirror that fails says so in the log, and the run trains on; the mirror is tried
again later and gets the steps that it has missed, from metrics.parquet. So does the mirror of a resumed run.

TensorBoard, rather than trackio, is the local display. Its event files lie in the run directory, grow step by step
without a server, and survive a kill; trackio keeps one database for all projects outside of the run directory and
brings a web stack of its own into every training process.
"""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import pyarrow.parquet as pq

from agrae_lab.runs import Run, training_hash

WANDB_LENGTH = 128  # of a name or group
LONGEST_PAUSE = 64  # steps between two tries of a mirror that fails

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
        self._is_open = False
        self._next = 1  # the first step that is not mirrored
        self._failures = 0  # in a row
        self._retry_at = 0  # the step of the next try
        self._guard(0, self._ensure_open)

    def log(self, row: Row) -> None:
        """Mirror one step's row of metrics, after the recorded steps before it that are not mirrored yet."""
        step = row["step"]
        if step >= self._retry_at:
            self._guard(step, lambda: self._log_through(step, row))

    def push(self) -> bool:
        """Mirror every recorded step, and return whether that worked."""
        return self._guard(self._next, self._push)

    def finish(self) -> bool:
        """Mirror the steps that are still missing, close the mirror at the end of the run, and return success."""
        if self._failures and not self.push():
            return False
        return not self._is_open or self._guard(self._next, self._finish)

    def _push(self) -> None:
        self._ensure_open()
        if rows := recorded_rows(self._run.metrics_path):
            self._log_through(rows[-1]["step"], rows[-1])

    def _log_through(self, step: int, row: Row) -> None:
        self._ensure_open()
        missing = recorded_rows(self._run.metrics_path, first=self._next, last=step - 1) if self._next < step else []
        for recorded in (*missing, row):
            self._log(recorded)
            self._next = recorded["step"] + 1

    def _ensure_open(self) -> None:
        if not self._is_open:
            self._open()
            self._is_open = True

    def _guard(self, step: int, act: Callable[[], None]) -> bool:
        """Act and return whether that worked; warn of the first failure in a row, and put off the next try."""
        try:
            act()
        except Exception as error:
            if self._is_open:
                with suppress(Exception):
                    self._abandon()
            self._is_open = False
            self._failures += 1
            self._retry_at = step + min(2**self._failures, LONGEST_PAUSE)
            if self._failures == 1:
                later = "the missing steps follow at a later try, or by `agrae-lab track push`"
                logger.warning("tracking=%s failed: %s; %s", self.name, error, later)
            return False
        self._failures = 0
        return True

    @abstractmethod
    def _open(self) -> None: ...
    @abstractmethod
    def _log(self, row: Row) -> None: ...
    @abstractmethod
    def _finish(self) -> None: ...
    @abstractmethod
    def _abandon(self) -> None:
        """Free what a failed mirror holds, so that `_open` can be called again."""


def recorded_rows(path: Path, *, first: int = 1, last: int | None = None) -> list[dict[str, Any]]:
    """Return the rows of metrics.parquet from step `first` to `last`; [] without the file."""
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return [row for row in rows if first <= row["step"] and (last is None or row["step"] <= last)]


class WandbMirror(Mirror):
    """One W&B run per run directory, shared by its attempts.

    The id is the training hash without the seed, the seed, and a hash of root and experiment. The group is the
    experiment and the folder of the run's seeds, `<experiment>/<method>-<hash8>`, cut to W&B's limit. Online, a resumed
    run is resumed there with the steps that it lacks. Offline, each attempt has a file of its own with all steps so far
    under that id, for `wandb sync`.
    """

    name = "wandb"

    def _open(self) -> None:
        import wandb

        run, tracking = self._run, self._run.config["tracking"]
        self._wandb = wandb.init(
            project=tracking["project"],
            mode=tracking["mode"],
            dir=run.path,
            id=wandb_id(run),
            name=shortened(run.key),
            group=shortened("/".join(filter(None, (run.config["experiment"]["name"], run.path.parent.name)))),
            config=run.config,
            resume="allow",
        )

    def _log(self, row: Row) -> None:
        if row["step"] >= self._wandb.step:  # W&B refuses steps that it has
            self._wandb.log({k: v for k, v in row.items() if v is not None}, step=row["step"])

    def _finish(self) -> None:
        self._wandb.finish()

    def _abandon(self) -> None:
        import wandb

        wandb.teardown()  # its service may be what failed; the next `init` starts another


def wandb_id(run: Run) -> str:
    """Return the id of a run's W&B run; copies of the run in other roots or experiments have other ids."""
    place = f"{run.root.resolve()} {run.config['experiment']['name']}"
    digest = hashlib.sha256(place.encode()).hexdigest()[:6]
    return f"{training_hash(run.config, without=('seed',))}-{run.seed}-{digest}"


def shortened(name: str) -> str:
    """Return a name within W&B's limit; the middle of a longer one is left out, so that its hash stays."""
    if len(name) <= WANDB_LENGTH:
        return name
    tail = name[-(WANDB_LENGTH // 2) :]
    return f"{name[: WANDB_LENGTH - len(tail) - 1]}…{tail}"


class TensorBoardMirror(Mirror):
    """Event files in `<run>/tensorboard`, one per attempt: `tensorboard --logdir <root>` shows every run of a root.

    A resumed run writes all its steps again, which hide those of the attempts before.
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

    def _abandon(self) -> None:
        self._next = 1  # the next writer hides what this one wrote
        self._finish()
