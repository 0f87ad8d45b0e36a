"""What happens in the process of one run: its surroundings are set, then the train module takes over.

The process watches the controller and stops itself if that dies, so that no run stays behind on a GPU that
nobody watches; it continues from its last checkpoint like any stopped run.
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
from sweeps.execution.failures import INFRASTRUCTURE_EXIT
from sweeps.execution.slots import Slot

GRACE_SECONDS = 20.0  # from SIGTERM to SIGKILL: enough for a step to end and a checkpoint to be written
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WATCHED_PARENT = "AGRAE_WATCHED_PARENT"  # as agrae_lab.evaluate reads it
BUSY_EXIT = 75  # EX_TEMPFAIL


def run_in_child(run_dir: str, train_module: str, slot: Slot) -> None:
    """Execute one run; exit code 0, BUSY_EXIT if its lock was held, INFRASTRUCTURE_EXIT after an OSError, else 1."""
    os.setsid()  # Ctrl-C reaches the controller alone, and a stop reaches all that the run started
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    slot.take()
    try:
        _log_to(Path(run_dir) / "log.txt")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # blocked since the server started
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        os.environ[WATCHED_PARENT] = str(os.getppid())  # for a program that goes on in this one's place
        if "torch" in sys.modules:  # preloaded before OMP_NUM_THREADS was set
            sys.modules["torch"].set_num_threads(slot.num_threads)
        status = importlib.import_module(train_module).execute(run_dir)
        print(f"=== {status}")
    except runs.RunBusyError:
        sys.exit(BUSY_EXIT)
    except OSError:
        _end_on_a_bad_disk()
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def _end_on_a_bad_disk() -> NoReturn:
    """The log may be what cannot be written, and the exit code is all that is left to say so."""
    with suppress(OSError):
        traceback.print_exc()
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - the old ones fail again at exit
    sys.exit(INFRASTRUCTURE_EXIT)


def _log_to(path: Path) -> None:
    """Send all that this process and its libraries print to the end of `path`."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 - line by line, for who reads along
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    print(f"=== attempt {datetime.now(UTC).isoformat(timespec='seconds')} pid {os.getpid()}")


def _stop_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.killpg(os.getpid(), signal.SIGKILL)
