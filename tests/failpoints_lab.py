"""Acts that a failpoint breaks, in a forked process."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable

from agrae_lab.runs import failpoints

SECONDS = 60.0


def broken(act: Callable[[], object], name: str, number: int, kind: str) -> int | None:
    """Act in a forked process with this failpoint and return its exit code: 0 if `act` returned 0, False or None."""

    def child() -> None:
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
    return process.exitcode
