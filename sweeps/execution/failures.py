"""Classes of failures. A retry can help with the transient ones only.

    timeout         still running when its time was up
    signal          ended by a signal that the sweep did not send
    infrastructure  OSError and the like: a full disk, a lost connection, a broken device
    oom             out of memory, on the device or in the machine
    diverged        the loss or gradient is no longer finite
    config          ValueError and the like: something to be corrected
    error           any other exception, or an early exit

The first three are transient. Running out of memory is not: a retry resumes from the same checkpoint with the same
batch and needs as much memory. It needs a smaller hardware.per_device_batch_size, or fewer slots.
"""

from __future__ import annotations

import builtins
import re
import signal
from pathlib import Path

TRANSIENT = frozenset({"timeout", "signal", "infrastructure"})
CLASSES = (*sorted(TRANSIENT), "oom", "diverged", "config", "error")

INFRASTRUCTURE_EXIT = 74  # EX_IOERR: from a worker that cannot write its error to disk

_TIMEOUT = "timeout: "
# Messages of libraries whose exception types are too general.
_MESSAGE_PATTERNS = (
    ("timeout", re.compile(rf"^{_TIMEOUT}|DUE TO TIME LIMIT")),
    ("oom", re.compile(r"out of memory|OutOfMemoryError|OUT_OF_MEMORY|[Cc]an(no|')t allocate memory")),
    (
        "infrastructure",
        re.compile(
            r"No space left|[Qq]uota exceeded|PytorchStreamWriter failed|Connection (refused|reset|aborted|timed out)"
            r"|Network is unreachable|name resolution|ECC error|NCCL error|NODE_FAIL"
        ),
    ),
)
_NETWORK_ERRORS = re.compile(r"(HTTP|Connect|Read|SSL|Proxy|Protocol)(Error|Timeout)$")
_CONFIG_ERRORS = ("ConfigError", "ModelError", "RunError")


def classify(exit_code: int | None, error_text: str | None, status: str) -> str:
    """Return one of CLASSES.

    Args:
        exit_code: of the run's process; negative or 128 + n for signal n, None if not known.
        error_text: `<exception type>: <message>`, or a sentence of `exit_error` or `timeout_error`.
        status: the run's own status (runs.STATUSES).
    """
    text = error_text or ""
    if status == "diverged":
        return "diverged"
    for name, pattern in _MESSAGE_PATTERNS:
        if pattern.search(text):
            return name
    if exit_code == INFRASTRUCTURE_EXIT:
        return "infrastructure"
    if signal_name(exit_code) is not None:
        return "signal"
    return _class_of_exception(text.partition(":")[0].rpartition(".")[2])


def _class_of_exception(name: str) -> str:
    cls = getattr(builtins, name, object)
    kinds = cls.__mro__ if isinstance(cls, type) else ()
    if MemoryError in kinds:
        return "oom"
    if OSError in kinds or _NETWORK_ERRORS.search(name):
        return "infrastructure"
    return "config" if ValueError in kinds or name in _CONFIG_ERRORS else "error"


def signal_name(exit_code: int | None) -> str | None:
    """Return `SIGKILL` for −9 and for 137; None for a normal exit code."""
    if exit_code is None or 0 <= exit_code <= 128:
        return None
    try:
        return signal.Signals(-exit_code if exit_code < 0 else exit_code - 128).name
    except ValueError:
        return None


def exit_error(exit_code: int | None, *, out_of_memory: bool) -> str:
    """Return the error of a run whose process ended without writing one.

    Args:
        exit_code: None if the fork server died, so that nobody has the code.
        out_of_memory: the kernel has killed some process for lack of memory meanwhile.
    """
    if exit_code is None:
        return "ConnectionError: the fork server of the runs has died"
    if exit_code == INFRASTRUCTURE_EXIT:
        return "OSError: see the run's log (missing if the disk is full)"
    name = signal_name(exit_code)
    if name == "SIGKILL" and out_of_memory:
        return "the run's process was killed by SIGKILL: the machine is out of memory"
    if name is not None:
        return f"the run's process was ended by {name}, which the sweep did not send"
    return f"the run's process ended with exit code {exit_code} before the run was over"


def timeout_error(seconds: float) -> str:
    """Return the error of a run past its time limit."""
    return f"{_TIMEOUT}still running after {seconds:g} s, the limit of a run"


def num_oom_kills() -> int:
    """Return the number of processes that the kernel has killed for lack of memory since boot; 0 if unknown."""
    path = Path("/proc/vmstat")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
