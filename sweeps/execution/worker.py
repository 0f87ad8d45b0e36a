"""Worker: the process of one run. It sets its environment, then calls the train module, or a launcher that does.

A worker stops itself when its controller dies, so that no run stays on a GPU unwatched; the run resumes from its last
checkpoint like any stopped run.
"""

from __future__ import annotations

import faulthandler
import importlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from agrae_lab import runs
from agrae_lab.process import BUSY_EXIT
from agrae_lab.runs.processes import WATCHED_PARENT, Layout
from sweeps.execution import process_group
from sweeps.execution.failures import INFRASTRUCTURE_EXIT
from sweeps.execution.slots import Slot

GRACE_SECONDS = 20.0  # from SIGTERM to SIGKILL: time to end a step and write a checkpoint
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_in_child(run_dir: str, train_module: str, slot: Slot) -> None:
    """Execute one run; exit code 0, BUSY_EXIT if its lock was held, INFRASTRUCTURE_EXIT after an OSError, else 1."""
    os.setsid()  # keeps Ctrl-C from the run, and lets a stop reach all its processes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _redirect_output(Path(run_dir) / "log.txt")
        layout = Layout() if slot.is_elsewhere else Layout.of(runs.read_run(run_dir).config)
        slot.apply(layout.per_node)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # blocked since the server started
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        os.environ[WATCHED_PARENT] = str(os.getppid())  # for a program that replaces this one by exec
        if layout.processes > 1:
            print(f"=== {process_group.execute(run_dir, train_module)}")
            return
        if "torch" in sys.modules:  # preloaded before OMP_NUM_THREADS was set
            sys.modules["torch"].set_num_threads(slot.num_threads)
        status = importlib.import_module(train_module).execute(run_dir)
        print(f"=== {status}")
    except runs.RunBusyError:
        sys.exit(BUSY_EXIT)
    except OSError:
        _exit_after_os_error()
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def _exit_after_os_error() -> NoReturn:
    """Exit with INFRASTRUCTURE_EXIT, which reports the error even if the log cannot be written."""
    with suppress(OSError):
        traceback.print_exc()
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - the old ones would fail again at exit
    sys.exit(INFRASTRUCTURE_EXIT)


def _redirect_output(path: Path) -> None:
    """Append all output of this process and its libraries to `path`."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 - line by line, for a reader of the log
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    print(f"=== attempt {datetime.now(UTC).isoformat(timespec='seconds')} pid {os.getpid()}")


def _stop_with_parent() -> None:
    """Wait for the controller's end, then stop this process."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(os.getpid(), signal.SIGKILL)
