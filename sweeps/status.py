"""What stands in a root, whoever wrote it: `python -m sweeps status ROOT`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agrae_lab import runs


@dataclass(frozen=True)
class Row:
    """One run as a reader sees it. `status`: runs.STATUSES, or "cut off" (says running, but nobody is)."""

    run: str
    arm: str
    seed: int
    status: str
    phase: str | None
    done: int | None
    total: int | None
    error: str | None


def status_rows(root: Path) -> list[Row]:
    """All runs of a root, sorted by name.

    Raises:
        agrae_lab.runs.RunError: a run directory that cannot be read.
    """
    return [_row(run) for run in runs.list_runs(root)]


def _row(run: runs.Run) -> Row:
    progress = run.progress()
    return Row(
        run=run.key,
        arm=run.arm,
        seed=run.seed,
        # The lock is tried only where it matters: trying it takes it for a moment.
        status="cut off" if run.status == "running" and not run.is_locked() else run.status,
        phase=progress.get("phase"),
        done=progress.get("done"),
        total=progress.get("total"),
        error=run.meta.get("error"),
    )


def as_json(rows: list[Row]) -> list[dict[str, object]]:
    return [asdict(row) for row in rows]


def print_status(console: Console, rows: list[Row]) -> None:
    """One line per run; phase and progress only where they are still of interest."""
    table = Table("run", "status", "phase", "progress", "error", box=None, pad_edge=False)
    for row in rows:
        over = row.status in runs.FINAL_STATUSES
        phase = "" if over or row.phase is None else row.phase
        progress = "" if over or row.done is None else f"{row.done}/{row.total}"
        table.add_row(row.run, row.status, phase, progress, (row.error or "").partition("\n")[0])
    console.print(table, markup=False)
