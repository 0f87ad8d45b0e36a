"""What is seen of a sweep: a live table on a terminal, a few lines elsewhere, a summary at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import IO, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from agrae_lab import runs
from sweeps.execution import eta
from sweeps.execution.executor import BUSY, ActiveRun, Outcome
from sweeps.execution.shutdown import Halt
from sweeps.execution.worker import GRACE_SECONDS

_STYLES = {"done": "green", "failed": "red", "diverged": "red", "interrupted": "yellow", BUSY: "yellow"}
_PLAIN_WIDTH = 160
_MANY = 200  # rows that anybody reads
_AS_WIDE_AS_NEEDED = 2000  # a table pads no further than its cells
_MARKS = (25, 50, 75)  # per cent of a phase at which the plain display says a line


def run_name(run: runs.Run) -> str:
    return f"{run.arm} seed {run.seed}"


def duration(seconds: float | None) -> str:
    """`48 s`, `3 min 05 s`, `2 h 10 min`; `–` for what is not known."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def progress_of(run: runs.Run) -> dict[str, Any]:
    """What the run says it is doing; {} for a file torn by a power cut, which the run will write anew."""
    try:
        return run.progress()
    except runs.RunError:
        return {}


def make_console() -> Console:
    """The terminal, or a log or pipe, whose lines may be longer than rich assumes."""
    console = Console()
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    return console


def make_display(
    console: Console, todo: Sequence[runs.Run], finished_before: Sequence[runs.Run], *, num_slots: int
) -> LineDisplay | LiveDisplay:
    if console.is_terminal:
        return LiveDisplay(console, num_slots=num_slots, finished_before=finished_before)
    return LineDisplay(console.file, num_runs=len(todo))


class LineDisplay:
    """One line when a run starts, at 25, 50 and 75 % of training, and when it ends. For logs and pipes."""

    def __init__(self, out: IO[str], *, num_runs: int) -> None:
        self._out = out
        self._num_runs = num_runs
        self._num_ended = 0
        self._said: dict[str, int] = {}  # run key → last mark said

    def __enter__(self) -> LineDisplay:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def started(self, run: runs.Run) -> None:
        self._say(f"{run_name(run)}: started, log in {run.path / 'log.txt'}")

    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None:
        for one in active:
            progress = progress_of(one.run)
            if progress.get("phase") != "train" or not progress.get("total"):
                continue
            reached = max((m for m in _MARKS if 100 * progress["done"] >= m * progress["total"]), default=0)
            if reached > self._said.get(one.run.key, 0):
                self._said[one.run.key] = reached
                elapsed = duration(time.monotonic() - one.started)
                steps = f"step {progress['done']} of {progress['total']}"
                self._say(f"{run_name(one.run)}: {reached} % ({steps}, {elapsed})")

    def stopping(self, level: Halt, num_active: int, why: str) -> None:
        self._say(_stopping(level, num_active, why))

    def retrying(self, outcome: Outcome, pause: float) -> None:
        self._say(_retrying(outcome, pause))

    def ended(self, outcome: Outcome) -> None:
        self._num_ended += 1
        self._say(f"[{self._num_ended}/{self._num_runs}] {_ending(outcome)}")

    def _say(self, line: str) -> None:
        print(line, file=self._out, flush=True)


class LiveDisplay:
    """A table that stays in place: each active run with its phase, and how long the sweep still takes."""

    def __init__(self, console: Console, *, num_slots: int, finished_before: Sequence[runs.Run]) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._num_slots = num_slots
        self._finished = list(finished_before)
        self._counts: Counter[str] = Counter(run.status for run in finished_before)
        self._notice = Text()

    def __enter__(self) -> LiveDisplay:
        self._live.__enter__()
        self._live.update(Text("loading libraries ..."), refresh=True)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._live.__exit__(*exception)

    def started(self, run: runs.Run) -> None:
        pass  # the next tick shows it

    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None:
        self._live.update(self._render(active, num_waiting), refresh=True)

    def stopping(self, level: Halt, num_active: int, why: str) -> None:
        self._notice = Text(_stopping(level, num_active, why), "yellow")  # the next tick shows it

    def retrying(self, outcome: Outcome, pause: float) -> None:
        self._console.print(Text(_retrying(outcome, pause), "yellow"))

    def ended(self, outcome: Outcome) -> None:
        self._counts[outcome.status] += 1
        if outcome.status == "done":
            self._finished.append(outcome.run)
        self._console.print(Text(_ending(outcome), _STYLES.get(outcome.status, "")))

    def _render(self, active: Collection[ActiveRun], num_waiting: int) -> RenderableType:
        table = Table("arm", "seed", "phase", "", "done", "elapsed", "left", box=None, pad_edge=False)
        typical = eta.typical_seconds(self._finished)
        elapsed_list: list[float] = []
        left_list: list[float | None] = []
        for one in active:
            progress = progress_of(one.run)
            done, total = progress.get("done", 0), progress.get("total") or 0
            elapsed = time.monotonic() - one.started
            left = eta.run_remaining(progress, elapsed=elapsed, typical=typical)
            bar = ProgressBar(total=total or 1, completed=done, width=20)
            name = (one.run.arm, str(one.run.seed), progress.get("phase", "start"))
            table.add_row(*name, bar, f"{done}/{total}" if total else "", duration(elapsed), duration(left))
            elapsed_list.append(elapsed)
            left_list.append(left)
        all_left = eta.sweep_remaining(
            left_list,
            num_waiting=num_waiting,
            typical=typical if self._finished else eta.longest_seconds(elapsed_list, left_list),
            num_slots=self._num_slots,
        )
        counts = "".join(f", {number} {status}" for status, number in sorted(self._counts.items()))
        line = f"{len(active)} running, {num_waiting} waiting{counts}"
        line += "" if all_left is None else f"; about {duration(all_left)} left"
        return Group(table, Text(line), *([self._notice] if self._notice else []))


def print_summary(console: Console, outcomes: Sequence[Outcome], finished_before: Sequence[runs.Run]) -> None:
    """All runs of the sweep, then once more those that did not end well: why, and where to look."""
    table = Table("arm", "seed", "status", "duration", box=None, pad_edge=False)
    if len(finished_before) > _MANY:
        console.print(f"{len(finished_before)} runs finished before")
    for run in finished_before if len(finished_before) <= _MANY else ():
        seconds = eta.recorded_seconds(run)
        table.add_row(run.arm, str(run.seed), Text(f"{run.status} before", "dim"), duration(seconds))
    for outcome in outcomes:
        styled = Text(outcome.status, _STYLES.get(outcome.status, ""))
        table.add_row(outcome.run.arm, str(outcome.run.seed), styled, duration(outcome.seconds))
    console.print(table)
    ended = [(run.status, run) for run in finished_before] + [(o.status, o.run) for o in outcomes]
    _print_failures(console, [run for status, run in ended if status in ("failed", "diverged")])
    for status in ("interrupted", BUSY):
        named = [f"{run_name(run)} ({run.path / 'log.txt'})" for found, run in ended if found == status]
        if named:
            title = "busy elsewhere" if status == BUSY else status
            console.print(Text(f"{title}: {', '.join(named)}"), soft_wrap=True)


def _print_failures(console: Console, failed: Sequence[runs.Run]) -> None:
    """A line each, as long as it needs to be: a path is copied from it."""
    if not failed:
        return
    table = Table("failure", "run", "attempts", "error", "log", box=None, pad_edge=False)
    failures = {run.path: run.meta.get("failure") or {"class": run.status, "attempt": 1} for run in failed}
    for run in sorted(failed, key=lambda run: failures[run.path]["class"]):
        failure, error = failures[run.path], Text(_first_line(run.meta.get("error")))
        log = Text(str(run.path / "log.txt"))
        table.add_row(Text(failure["class"], "red"), run_name(run), str(failure["attempt"]), error, log)
    console.print()
    Console(file=console.file, force_terminal=console.is_terminal, width=_AS_WIDE_AS_NEEDED).print(table)
    if any(failure["class"] == "oom" for failure in failures.values()):
        advice = "oom: a smaller hardware.per_device_batch_size, or fewer slots, continues such a run"
        console.print(advice, soft_wrap=True)


def _stopping(level: Halt, num_active: int, why: str) -> str:
    runs_now = "the active run" if num_active == 1 else f"the {num_active} active runs"
    if level == Halt.DRAIN:
        return (
            f"{why}: nothing more is started, {runs_now} will be finished; "
            "Ctrl-C again stops at once, and the same command then continues"
        )
    if level == Halt.STOP:
        return f"{why}: stopping {runs_now}; killed after {GRACE_SECONDS:.0f} s, or at once on another Ctrl-C"
    return f"{why}: killing {runs_now}"


def _retrying(outcome: Outcome, pause: float) -> str:
    when = f" in {duration(pause)}" if pause else ""
    failure = outcome.run.meta["failure"]
    return f"{_ending(outcome)}; {failure['class']}: to be tried again{when}, from its last checkpoint"


def _ending(outcome: Outcome) -> str:
    if outcome.status == BUSY:
        return f"{run_name(outcome.run)}: another process is at work on it"
    error = _first_line(outcome.run.meta.get("error"))
    words = f"{run_name(outcome.run)}: {outcome.status} after {duration(outcome.seconds)}"
    return f"{words}: {error}" if error else words


def _first_line(text: str | None) -> str:
    return text.strip().splitlines()[0] if text and text.strip() else ""
