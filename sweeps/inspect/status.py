"""Status of all runs in a root or a study: `python -m sweeps status`."""

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
from sweeps.execution.display import read_progress
from sweeps.execution.names import RunNames
from sweeps.planning.run_dirs import arm_in_name, read_run_meta, seed_in_name, shown_status

UNREADABLE = "unreadable"  # status of a run whose files cannot be read; the error says which

_MAX_ROWS = 200
_WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Row:
    """Status of one run.

    `status`: runs.STATUSES, pruned, unreadable, or "cut off" for a run that says running but has no process.
    """

    run: str
    cell: str | None  # label of its cell in the study; None outside a study
    arm: str
    seed: int  # -1 where the directory's name has none
    status: str
    phase: str | None
    done: int | None
    total: int | None
    error: str | None


def status_rows(run_dirs: Iterable[Path], *, cells: Mapping[str, str] | None = None) -> list[Row]:
    """Return one row for each run directory, in their order; a missing directory is pending.

    Args:
        cells: run key → label of its cell in a study.
    """
    return [_row_or_fault(path, cells or {}) for path in run_dirs]


def _row_or_fault(path: Path, cells: Mapping[str, str]) -> Row:
    """Return the row of a run; one whose files cannot be read costs its own row only."""
    try:
        return _row(read_run_meta(path), cells)
    except runs.RunError as error:
        key, arm, seed = f"{path.parent.name}/{path.name}", arm_in_name(path), seed_in_name(path)
        return Row(key, cells.get(key), arm, seed, UNREADABLE, None, None, None, str(error))


def _row(run: runs.Run, cells: Mapping[str, str]) -> Row:
    over = run.status in runs.FINAL_STATUSES
    progress = {} if over else read_progress(run)
    return Row(
        run=run.key,
        cell=cells.get(run.key),
        arm=run.arm,
        seed=run.seed,
        # Testing the lock takes it for a moment, so only runs that say "running" are tested.
        status="cut off" if run.status == "running" and not run.is_locked() else shown_status(run),
        phase=progress.get("phase"),
        done=progress.get("done"),
        total=progress.get("total"),
        error=run.meta.get("error"),
    )


def cells_of_root(run_dirs: Sequence[Path]) -> dict[str, str]:
    """Return run key → the settings that tell its cell apart, for arms with several cells."""
    by_arm: dict[str, dict[str, list[Path]]] = {}
    for path in run_dirs:
        by_arm.setdefault(arm_in_name(path), {}).setdefault(path.parent.name, []).append(path)
    labels: dict[str, str] = {}
    for cells in by_arm.values():
        known: dict[str, runs.Run] = {}
        for folder, paths in cells.items() if len(cells) > 1 else ():
            with suppress(runs.RunError):  # its row says so
                known[folder] = runs.read_run(paths[0])
        names = RunNames(known.values())
        for folder, run in known.items():
            label = names.cell(run).rpartition(" (")[0]
            labels |= {f"{folder}/{path.name}": label for path in cells[folder] if label}
    return labels


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    return [asdict(row) for row in rows]


def print_status(console: Console, rows: Sequence[Row]) -> None:
    """Print one line per run, and the number of runs by status.

    Beyond _MAX_ROWS runs only the first _MAX_ROWS that are not done have a line.
    """
    console.print(_table(rows if len(rows) <= _MAX_ROWS else [row for row in rows if row.status != "done"][:_MAX_ROWS]))
    console.print(_counts(rows))


def watch(console: Console, read: Callable[[], Sequence[Row]]) -> Sequence[Row]:
    """Show the active and unsuccessful runs, updated every second, until no run is pending or running, or Ctrl-C.

    Returns:
        the rows as last read.
    """
    rows: Sequence[Row] = ()
    with Live(console=console, auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while True:
            rows = read()
            shown = [row for row in rows if row.status not in ("done", "pending")][: max(1, console.height - 3)]
            live.update(Group(_table(shown), _counts(rows)), refresh=True)
            if not any(row.status in ("running", "pending") for row in rows):
                break
            time.sleep(_WATCH_SECONDS)
    return rows


def _table(rows: Sequence[Row]) -> Table:
    """Return the table; phase and progress are blank for finished runs."""
    table = Table("run", "status", "phase", "progress", "error", box=None, pad_edge=False)
    for row in rows:
        over = row.status in runs.FINAL_STATUSES
        phase = "" if over or row.phase is None else row.phase
        progress = "" if over or row.done is None else f"{row.done}/{row.total}"
        hash_ = row.run.partition("/")[0].rpartition("-")[2]
        name = row.run if row.cell is None else f"{row.cell} seed={row.seed} ({hash_})"
        table.add_row(*map(Text, (name, row.status, phase, progress, (row.error or "").partition("\n")[0])))
    return table


def _counts(rows: Sequence[Row]) -> Text:
    counts = Counter(row.status for row in rows)
    return Text(f"{len(rows)} runs: " + ", ".join(f"{number} {status}" for status, number in counts.most_common()))
