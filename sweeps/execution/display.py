"""Display of a sweep: a live table on a terminal, a few lines elsewhere, and a summary at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agrae_lab import runs
from sweeps.execution import eta
from sweeps.execution.correctness import Correctness
from sweeps.execution.executor import ActiveRun
from sweeps.execution.names import RunNames
from sweeps.execution.run_status import BUSY, Outcome
from sweeps.execution.shutdown import StopLevel
from sweeps.execution.time_left import TimeLeft
from sweeps.execution.worker import GRACE_SECONDS

_STYLES = {"done": "green", "failed": "red", "diverged": "red"} | dict.fromkeys(
    ("interrupted", "pruned", BUSY), "yellow"
)
_PLAIN_WIDTH = 160
_MAX_ROWS = 200
_UNLIMITED_WIDTH = 2000  # a table pads no further than its cells
_MARKS = (25, 50, 75)  # per cent of training at which the plain display prints a line


def duration(seconds: float | None) -> str:
    """Return a duration as `48 s`, `3 min 05 s` or `2 h 10 min`; `–` for None."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def read_progress(run: runs.Run) -> dict[str, Any]:
    """Return the run's progress.json; {} for one torn by a power cut, which the run will write again."""
    try:
        return run.progress()
    except runs.RunError:
        return {}


def make_console() -> Console:
    """Return a console on stdout; in a log or pipe, its lines may be longer than rich assumes."""
    console = Console()
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    return console


def make_display(
    console: Console,
    *,
    num_runs: int,
    finished_before: Sequence[runs.Run],
    num_slots: int,
    planned: Iterable[runs.Run] = (),
) -> LineDisplay | LiveDisplay:
    """Return the display for this console: a live table on a terminal, lines elsewhere.

    Args:
        planned: all runs of the sweep, as far as they are known, for their names.
    """
    planned = list(planned)
    if console.is_terminal:
        return LiveDisplay(console, num_slots=num_slots, finished_before=finished_before, planned=planned)
    return LineDisplay(console.file, num_runs=num_runs, names=RunNames(planned))


class LineDisplay:
    """Display for logs and pipes: a line when a run starts, at 25, 50 and 75 % of training, and when it ends."""

    def __init__(self, out: IO[str], *, num_runs: int, names: RunNames | None = None) -> None:
        self._out = out
        self._names = names or RunNames()
        self._num_runs = num_runs
        self._num_ended = 0
        self._printed: dict[str, int] = {}  # run key → last mark

    def __enter__(self) -> LineDisplay:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def started(self, run: runs.Run) -> None:
        self._print(f"{self._names.run(run)}: started, log in {run.path / 'log.txt'}")

    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None:
        for active_run in active:
            progress = read_progress(active_run.run)
            if progress.get("phase") != "train" or not progress.get("total"):
                continue
            reached = max((m for m in _MARKS if 100 * progress["done"] >= m * progress["total"]), default=0)
            if reached > self._printed.get(active_run.run.key, 0):
                self._printed[active_run.run.key] = reached
                elapsed = duration(time.monotonic() - active_run.started)
                steps = f"step {progress['done']} of {progress['total']}"
                self._print(f"{self._names.run(active_run.run)}: {reached} % ({steps}, {elapsed})")

    def stopping(self, level: StopLevel, num_active: int, reason: str) -> None:
        self._print(_stop_sentence(level, num_active, reason))

    def retrying(self, outcome: Outcome, pause: float) -> None:
        self._print(_retry_sentence(outcome, pause, self._names))

    def ended(self, outcome: Outcome) -> None:
        self._num_ended += 1
        self._print(f"[{self._num_ended}/{self._num_runs}] {_end_sentence(outcome, self._names)}")

    def _print(self, line: str) -> None:
        print(line, file=self._out, flush=True)


class LiveDisplay:
    """Display for terminals: a table of the active runs with their phases, and the remaining time of the sweep."""

    def __init__(
        self,
        console: Console,
        *,
        num_slots: int,
        finished_before: Sequence[runs.Run],
        planned: Sequence[runs.Run] = (),
    ) -> None:
        self._console = console
        self._names, self._correctness = RunNames(planned), Correctness()
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._time_left = TimeLeft(num_slots, finished_before, planned)
        self._counts: Counter[str] = Counter(run.status for run in finished_before)
        self._notice = Text()

    def __enter__(self) -> LiveDisplay:
        self._live.__enter__()
        self._live.update(Text("loading libraries ..."), refresh=True)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._live.__exit__(*exception)

    def started(self, run: runs.Run) -> None:
        self._time_left.take(run)  # the next tick shows it

    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None:
        self._live.update(self._render(active, num_waiting), refresh=True)

    def stopping(self, level: StopLevel, num_active: int, reason: str) -> None:
        self._notice = Text(_stop_sentence(level, num_active, reason), "yellow")  # the next tick shows it

    def retrying(self, outcome: Outcome, pause: float) -> None:
        self._time_left.put_back(outcome.run)
        self._console.print(Text(_retry_sentence(outcome, pause, self._names), "yellow"))

    def ended(self, outcome: Outcome) -> None:
        self._counts[outcome.status] += 1
        self._time_left.take(outcome.run, has_finished=outcome.status == "done")
        self._console.print(Text(_end_sentence(outcome, self._names), _STYLES.get(outcome.status, "")))

    def _render(self, active: Collection[ActiveRun], num_waiting: int) -> RenderableType:
        table = Table("arm", "seed", "phase", "", "done", "accuracy", "elapsed", "left", box=None, pad_edge=False)
        progresses = [read_progress(active_run.run) for active_run in active]
        seconds = [time.monotonic() - active_run.started for active_run in active]
        left_list, all_left = self._time_left.estimate(
            [active_run.run for active_run in active], progresses, seconds, num_waiting=num_waiting
        )
        for active_run, progress, elapsed, left in zip(active, progresses, seconds, left_list, strict=True):
            done, total = progress.get("done", 0), progress.get("total") or 0
            bar = ProgressBar(total=total or 1, completed=done, width=20)
            name = (Text(self._names.cell(active_run.run)), str(active_run.run.seed), progress.get("phase", "start"))
            count, accuracy = f"{done}/{total}" if total else "", self._correctness.latest(active_run.run)
            table.add_row(*name, bar, count, accuracy, duration(elapsed), duration(left))
        counts = "".join(f", {number} {status}" for status, number in sorted(self._counts.items()))
        line = f"{len(active)} running, {num_waiting} waiting{counts}"
        line += "; time left not known" if all_left is None else f"; about {duration(all_left)} left"
        return Group(table, Text(line), *([self._notice] if self._notice else []))


def print_summary(console: Console, outcomes: Sequence[Outcome], finished_before: Sequence[runs.Run]) -> None:
    """Print all runs of the sweep, then the failed, interrupted and busy ones with their logs."""
    table = Table("arm", "seed", "status", "duration", box=None, pad_edge=False)
    names = RunNames([*finished_before, *(outcome.run for outcome in outcomes)])
    if len(finished_before) > _MAX_ROWS:
        console.print(f"{len(finished_before)} runs finished before")
    for run in finished_before if len(finished_before) <= _MAX_ROWS else ():
        seconds = eta.recorded_seconds(run)
        table.add_row(Text(names.cell(run)), str(run.seed), Text(f"{run.status} before", "dim"), duration(seconds))
    for outcome in outcomes:
        styled = Text(outcome.status, _STYLES.get(outcome.status, ""))
        table.add_row(Text(names.cell(outcome.run)), str(outcome.run.seed), styled, duration(outcome.seconds))
    console.print(table)
    ended = [(run.status, run) for run in finished_before] + [(o.status, o.run) for o in outcomes]
    _print_failures(console, [run for status, run in ended if status in ("failed", "diverged")], names)
    for status in ("interrupted", BUSY):
        named = [f"{names.run(run)} ({run.path / 'log.txt'})" for found, run in ended if found == status]
        if named:
            title = "busy elsewhere" if status == BUSY else status
            console.print(Text(f"{title}: {', '.join(named)}"), soft_wrap=True)


def _print_failures(console: Console, failed: Sequence[runs.Run], names: RunNames) -> None:
    """Print one line per failure, however long, so that its paths can be copied."""
    if not failed:
        return
    table = Table("failure", "run", "attempts", "error", "log", box=None, pad_edge=False)
    failures = {run.path: run.meta.get("failure") or {"class": run.status, "attempt": 1} for run in failed}
    for run in sorted(failed, key=lambda run: failures[run.path]["class"]):
        failure, error = failures[run.path], Text(_first_line(run.meta.get("error")))
        log = Text(str(run.path / "log.txt"))
        table.add_row(Text(failure["class"], "red"), Text(names.run(run)), str(failure["attempt"]), error, log)
    console.print()
    Console(file=console.file, force_terminal=console.is_terminal, width=_UNLIMITED_WIDTH).print(table)
    if any(failure["class"] == "oom" for failure in failures.values()):
        advice = "oom: resume such a run with a smaller hardware.per_device_batch_size, or with fewer slots"
        console.print(advice, soft_wrap=True)


def _stop_sentence(level: StopLevel, num_active: int, reason: str) -> str:
    runs_now = "the active run" if num_active == 1 else f"the {num_active} active runs"
    them = "it" if num_active == 1 else "them"
    if level == StopLevel.DRAIN:
        return (
            f"{reason}: no more runs start, {runs_now} will finish. Ctrl-C stops {them} now; the same command then "
            f"resumes {them}"
        )
    if level == StopLevel.STOP:
        killed = "it is killed" if num_active == 1 else "they are killed"
        return (
            f"{reason}: stopping {runs_now}; {killed} after {GRACE_SECONDS:.0f} s, or now by another Ctrl-C. The same "
            f"command then resumes {them}"
        )
    return f"{reason}: killing {runs_now}"


def _retry_sentence(outcome: Outcome, pause: float, names: RunNames) -> str:
    when = f" in {duration(pause)}" if pause else ""
    failure = outcome.run.meta["failure"]
    return f"{_end_sentence(outcome, names)}; {failure['class']}: retry{when}, from its last checkpoint"


def _end_sentence(outcome: Outcome, names: RunNames) -> str:
    if outcome.status == BUSY:
        return f"{names.run(outcome.run)}: another process is running it"
    error = _first_line(outcome.run.meta.get("error"))
    words = f"{names.run(outcome.run)}: {outcome.status} after {duration(outcome.seconds)}"
    return f"{words}: {error}" if error else words


def _first_line(text: str | None) -> str:
    return text.strip().splitlines()[0] if text and text.strip() else ""
