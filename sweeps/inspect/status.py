"""What stands in a root or a study, whoever wrote it: `python -m sweeps status`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agrae_lab import runs
from sweeps.execution.display import progress_of
from sweeps.planning.glance import glance

_MANY = 200  # rows that anybody reads
_WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Row:
    """One run as a reader sees it. `status`: runs.STATUSES, or "cut off" (says running, but nobody is)."""

    run: str
    cell: str | None  # what makes it a cell of its study; None outside one
    arm: str
    seed: int
    status: str
    phase: str | None
    done: int | None
    total: int | None
    error: str | None


def status_rows(run_dirs: Iterable[Path], *, cells: Mapping[str, str] | None = None) -> list[Row]:
    """One row for each run directory, in their order; one that is not there yet is pending.

    Args:
        cells: run key → the cell of a study that it is, in words.

    Raises:
        agrae_lab.runs.RunError: a run directory that cannot be read.
    """
    return [_row(glance(path), cells or {}) for path in run_dirs]


def _row(run: runs.Run, cells: Mapping[str, str]) -> Row:
    over = run.status in runs.FINAL_STATUSES
    progress = {} if over else progress_of(run)
    return Row(
        run=run.key,
        cell=cells.get(run.key),
        arm=run.arm,
        seed=run.seed,
        # The lock is tried only where it matters: trying it takes it for a moment.
        status="cut off" if run.status == "running" and not run.is_locked() else run.status,
        phase=progress.get("phase"),
        done=progress.get("done"),
        total=progress.get("total"),
        error=run.meta.get("error"),
    )


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    return [asdict(row) for row in rows]


def print_status(console: Console, rows: Sequence[Row]) -> None:
    """One line per run, of very many only those that are not done, and how many there are of each status."""
    console.print(_table(rows if len(rows) <= _MANY else [row for row in rows if row.status != "done"][:_MANY]))
    console.print(_counts(rows))


def watch(console: Console, read: Callable[[], Sequence[Row]]) -> None:
    """Show what is at work or went wrong, anew every second, until nothing waits or runs any more, or Ctrl-C."""
    with Live(console=console, auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            rows = read()
            shown = [row for row in rows if row.status not in ("done", "pending")][: max(1, console.height - 3)]
            live.update(Group(_table(shown), _counts(rows)), refresh=True)
            if not any(row.status in ("running", "pending") for row in rows):
                return
            time.sleep(_WATCH_SECONDS)


def _table(rows: Sequence[Row]) -> Table:
    """Phase and progress stand only where they are still of interest."""
    table = Table("run", "status", "phase", "progress", "error", box=None, pad_edge=False)
    for row in rows:
        over = row.status in runs.FINAL_STATUSES
        phase = "" if over or row.phase is None else row.phase
        progress = "" if over or row.done is None else f"{row.done}/{row.total}"
        name = row.run if row.cell is None else f"{row.cell} seed={row.seed}"
        table.add_row(*map(Text, (name, row.status, phase, progress, (row.error or "").partition("\n")[0])))
    return table


def _counts(rows: Sequence[Row]) -> Text:
    counts = Counter(row.status for row in rows)
    return Text(f"{len(rows)} runs: " + ", ".join(f"{number} {status}" for status, number in counts.most_common()))
