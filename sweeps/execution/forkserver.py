"""Fork server of the runs: it loads the heavy modules once, so that a run starts in 0.1 s."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from agrae_lab.runs import RunError
from sweeps.execution.worker import STOP_SIGNALS


def load(preload: Sequence[str]) -> ForkServerContext:
    """Start the server and wait until it has loaded its modules (seconds).

    A server that is killed meanwhile, or that this process cannot start, starts again with each run, which fails if
    that fails too.

    Raises:
        RunError: a module of `preload` cannot be loaded; its traceback is on stderr by then.
    """
    # Without this, torch.cuda.is_available() in some module's import would spoil CUDA for all forks.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, "sweeps.execution.worker"])
    try:
        first = start(context, _do_nothing)  # returns when the modules are loaded
    except OSError:
        return context
    except EOFError as error:
        if _was_killed():
            return context
        how = "the error is printed above. No run was started; the same command resumes"
        raise RunError(f"loading {', '.join(preload)} failed: {how}") from error
    first.join()
    return context


def _was_killed() -> bool:
    """Return whether the server, which has ended, was ended by a signal."""
    server: Any = forkserver._forkserver
    ended = os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOWAIT)  # its owner still has to reap it
    return ended is not None and ended.si_code != os.CLD_EXITED


def start(context: ForkServerContext, target: Callable[..., None], *args: Any) -> ForkServerProcess:
    """Fork a process that calls target(*args), after restarting a server that has died.

    Raises:
        OSError, EOFError: the server could not fork.
    """
    resource_tracker.ensure_running()  # the server would start it with unblocked signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        forkserver.ensure_running()  # inherits the mask: Ctrl-C in the terminal must not kill it
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process = context.Process(target=target, args=args)
    with _without_main_module():
        process.start()
    return process


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide the main module from a new process, which would import it again without need."""
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: vars(main).pop(name) for name in ("__spec__", "__file__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(kept)


def _do_nothing() -> None:
    pass
