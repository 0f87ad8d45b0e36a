"""Acts that a failpoint breaks, in a forked process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing import forkserver

from agrae_lab.runs import failpoints

SECONDS = 60.0


def broken(act: Callable[[], object], name: str, number: int, kind: str) -> bool:
    """Act in a forked process with this failpoint; return True if it broke: a signal, or an error on a full disk."""

    def child() -> None:
        forkserver._forkserver.__init__()  # a fork server of its own: that of this process is no child of its fork
        os.environ[failpoints.VARIABLE] = f"{name}:{number}:{kind}"
        code = 1
        try:
            code = int(bool(act()))
        except OSError:  # of the kind "full"
            traceback.print_exc()
        finally:
            os._exit(code)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(SECONDS)
    return process.exitcode not in (None, 0) if kind == "full" else process.exitcode == -signal.SIGKILL
