"""Program of one process of a run, started by torchrun or accelerate: `python -m agrae_lab.process MODULE RUN`.

It ends with its launcher, even if that is killed. `<run>/processes/<rank>.json` says how it has ended:
{"time": seconds since 1970, "end": null (started, or killed by a signal), "done", "busy", "terminated" or "failed",
"error": text}. The main process keeps the run's other records.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from agrae_lab import runs
from agrae_lab.runs.processes import LAUNCHED_BY, WATCHED_PARENT, is_main, num_processes, rank

RECORDS = "processes"  # folder in a run directory
BUSY_EXIT = 75  # EX_TEMPFAIL
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def main(argv: Sequence[str]) -> int:
    """Execute this process's share of a run; return its exit code."""
    module, run_dir = argv
    end_with_parent()
    _end_without_launcher()
    os.environ[WATCHED_PARENT] = str(os.getppid())  # for a program that replaces this one by exec
    signal.signal(signal.SIGTERM, _terminated)
    name = f"process {rank()} of {num_processes()}"
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s")
    faulthandler.enable()
    print(f"=== {name}: pid {os.getpid()}", flush=True)
    record = Path(run_dir) / RECORDS / f"{rank()}.json"
    _write(record, None)
    try:
        if is_main() or runs.read_run(run_dir).status not in runs.FINAL_STATUSES:
            importlib.import_module(module).execute(run_dir)
    except runs.RunBusyError:
        _write(record, "busy")
        return BUSY_EXIT
    except SystemExit:
        _write(record, "terminated")
        raise
    except BaseException as error:
        text = "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
        traceback.print_exc()
        print(f"=== {name}: {text}", flush=True)
        _write(record, "failed", text)
        return 1
    _write(record, "done")
    return 0


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends (Linux)."""
    parent = os.getppid()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended meanwhile
        os.kill(os.getpid(), signal.SIGKILL)


def _end_without_launcher() -> None:
    """Kill this process if its launcher has ended while Python started, or the launcher's owner has (Linux).

    `end_with_parent` sees only what happens after it.
    """
    launcher, owner = os.getppid(), os.environ.get(LAUNCHED_BY)
    with suppress(OSError):
        launched_by = int(Path(f"/proc/{launcher}/stat").read_text().rpartition(")")[2].split()[1])
        if owner is not None and int(owner) not in (launcher, launched_by):
            os.kill(os.getpid(), signal.SIGKILL)


def _write(record: Path, end: str | None, error: str | None = None) -> None:
    with suppress(OSError):  # a full disk, which the run itself reports
        record.parent.mkdir(exist_ok=True)
        content: dict[str, Any] = {"time": time.time(), "pid": os.getpid(), "end": end, "error": error}
        runs.write_json(record, content)


def _terminated(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
