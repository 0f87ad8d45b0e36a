"""Python processes of tests, forked from one that has loaded torch, transformers and trl: 0.1 s each instead of 10 s.

`Forked("-m", "agrae_lab.train", "seed=1")` does what `subprocess.Popen([sys.executable, "-m", ...])` does, in a process
of its own with its own environment, as far as tests need it. The first fork server of a sweep in it is forked too.
All workers of pytest-xdist share the one process that forks; it ends when the last of them has ended.
Variables that a library reads on import come too late; a test of those, or of imports, starts an interpreter.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import gc
import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import util
from pathlib import Path
from typing import NoReturn

from filelock import FileLock

from agrae_lab.config import code_fingerprints

ROOT = Path(__file__).resolve().parents[1]
PRELOAD = ("agrae_lab.train", "agrae_lab.training.session", "agrae_lab.training.preflight", "analysis.__main__")


class Forked:
    """A process as of subprocess.Popen; its output is kept in files until it has been waited for."""

    def __init__(self, *command: object, env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> None:
        self.args, self.returncode = [str(word) for word in command], None
        self._folder = Path(tempfile.mkdtemp(prefix="forked-"))
        request = {"command": self.args, "cwd": str(cwd), "env": dict(os.environ if env is None else env)}
        (self._folder / "request").write_text(json.dumps(request))
        os.write(_requests(), f"{self._folder}\n".encode())  # short enough to be written whole
        _wait_until((self._folder / "pid").exists, seconds=240, what=self.args)
        self.pid = int((self._folder / "pid").read_text())

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        if self.returncode is None and (self._folder / "returncode").exists():
            self.returncode = int((self._folder / "returncode").read_text())
        return self.returncode

    def wait(self, timeout: float = 240) -> int:
        """Return the exit code once the process has ended; TimeoutExpired after `timeout` seconds."""
        _wait_until(lambda: self.poll() is not None, seconds=timeout, what=self.args)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float = 240) -> tuple[str, str]:
        """Wait and return the text of stdout and stderr; both are empty the second time."""
        self.wait(timeout)
        texts = [path.read_text() if path.exists() else "" for path in (self._folder / "1", self._folder / "2")]
        shutil.rmtree(self._folder, ignore_errors=True)
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(*command: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """Fork, wait and return what subprocess.run returns with capture_output and text."""
    process = Forked(*command, **settings)  # type: ignore[arg-type]
    stdout, stderr = process.communicate()
    return subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr)


def _wait_until(condition: Callable[[], bool], *, seconds: float, what: list[str]) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise subprocess.TimeoutExpired(what, seconds)
        time.sleep(0.02)


@functools.cache
def _requests() -> int:
    """Return the descriptor of the pipe that the server reads; start the server if no worker has."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    place = Path(tempfile.gettempdir()) / f"forked-{session}"
    place.mkdir(exist_ok=True)
    with FileLock(place / "lock"):
        if not (place / "requests").exists():
            os.mkfifo(place / "requests")
            env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
            server = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(place)], cwd=ROOT, env=env, stdin=subprocess.DEVNULL
            )
            server.returncode = 0  # it may outlive this worker, which therefore does not wait for it
        return os.open(place / "requests", os.O_WRONLY)


def serve(place: Path) -> None:
    """Fork a process for each folder named in a pipe; write down its number and, when it has ended, its exit code.

    All of them have this process for a parent: the processes of one launch know each other by that.
    """
    requests = (place / "requests").open()  # ends when the last worker has closed its end
    for module in PRELOAD:
        importlib.import_module(module)
    for path in code_fingerprints.PACKAGE.rglob("*.py"):  # every run asks for both
        code_fingerprints.fingerprint_source(path)
        code_fingerprints._imports(path)
    gc.freeze()
    folders: dict[int, Path] = {}

    def reap(*_: object) -> None:
        for child in list(folders):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                _write(folders.pop(child) / "returncode", os.waitstatus_to_exitcode(status))

    signal.signal(signal.SIGCHLD, reap)
    for line in iter(requests.readline, ""):
        folder = Path(line.strip())
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        child = os.fork()
        if child:
            folders[child] = folder
            _write(folder / "pid", child)
        else:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        if not child:
            requests.close()
            _end(_exit_code(folder))
    shutil.rmtree(place)


def _write(path: Path, number: int) -> None:
    if path.parent.is_dir():
        temporary = path.with_suffix(".part")
        temporary.write_text(str(number))
        temporary.rename(path)


def _exit_code(folder: Path) -> int:
    """Carry out a request, and return the exit code that an interpreter would have."""
    try:
        _carry_out(folder, json.loads((folder / "request").read_text()))
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException as error:
        traceback.print_exc()
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def _end(code: int) -> NoReturn:
    """End as an interpreter does, but without half a second of taking down the libraries' modules."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code & 0xFF)


def _carry_out(folder: Path, request: dict) -> None:
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(folder / str(number), os.O_WRONLY | os.O_CREAT), number)
    kind, *words = request["command"]
    if kind == "-m":
        _offer_fork_server()
        sys.argv = words
        sys.modules.pop(words[0], None)
        sys.modules.pop(f"{words[0]}.__main__", None)
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv = ["-c", *words[1:]]
        exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [kind, *words]
        runpy.run_path(kind, run_name="__main__")


def _offer_fork_server() -> None:
    """Have the first fork server of this process be a fork of it as it is now, with the modules loaded."""
    ours, its = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        _serve_forks(its)
    its.close()
    spawn, unused = util.spawnv_passfds, [child]

    def spawn_or_use(path: bytes, args: list[str], passed: list[int]) -> int:
        if not unused or "multiprocessing.forkserver" not in args[-1]:
            return spawn(path, args, passed)
        mask = [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
        place = {"cwd": str(Path.cwd()), "env": dict(os.environ)}
        message = {"code": args[-1], "descriptors": passed, "mask": mask, **place}
        socket.send_fds(ours, [json.dumps(message).encode()], passed)
        ours.close()
        return unused.pop()

    util.spawnv_passfds = spawn_or_use


def _serve_forks(link: socket.socket) -> NoReturn:
    """Become the fork server that the parent asks for, as if it had started one; end with the parent otherwise."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    content, received, _, _ = socket.recv_fds(link, 1 << 20, 8)
    if not content:
        os._exit(0)
    message = json.loads(content)
    high = [fcntl.fcntl(number, fcntl.F_DUPFD, 256) for number in received]
    os.closerange(3, 256)
    for number, wanted in zip(high, message["descriptors"], strict=True):
        os.dup2(number, wanted)
        os.close(number)
    os.chdir(message["cwd"])
    os.environ.clear()
    os.environ.update(message["env"])
    signal.pthread_sigmask(signal.SIG_SETMASK, message["mask"])
    code = 0
    try:
        exec(message["code"], {"__name__": "__main__"})
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
