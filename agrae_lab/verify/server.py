"""The verifier's server: imports sympy once, forks workers, and kills workers that hang.

    client ── socket ── server ── pipes ── workers, one answer at a time

A worker has a limit on processor time per answer (the kernel's SIGPROF ends it even inside one endless operation in C)
and on memory. An answer that ends its worker is invalid; the next answer gets a new worker, forked in milliseconds.
If a worker is killed from outside, another worker judges its answer, once.
The limit is processor time, not wall time, so that a busy machine gives the same verdicts as an idle one.

The server ends by itself when its client's end of the socket closes.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import NamedTuple

from agrae_lab.verify.outcomes import Outcome

CPU_SECONDS = 2.0  # per answer; real answers take milliseconds
WALL_SECONDS = 60.0  # per answer, in case it waits without computing
MEMORY_BYTES = 2 << 30  # of address space
MAX_ANSWERS = 2000  # of one worker; the parser's tables and sympy's caches only ever grow

Comparison = tuple[str, str]  # gold answer, answer
Judge = Callable[[str, str], Outcome]


class Reply(NamedTuple):
    """Verdict on one comparison."""

    outcome: str  # correct, incorrect, or the cause if invalid: timeout, crash, error
    rule: str  # that decided; if invalid, the cause again

    @classmethod
    def of(cls, outcome: Outcome) -> Reply:
        return cls("correct" if outcome.equal else "incorrect", outcome.rule)

    @classmethod
    def invalid(cls, cause: str) -> Reply:
        return cls(cause, cause)


@dataclass
class Worker:
    """A forked process and its current comparison."""

    pid: int
    connection: Connection
    comparison_index: int = -1
    gold: str = ""
    deadline: float = 0.0
    num_answers: int = 0


class Queue:
    """Queue of comparisons with their indices; a worker preferably gets those whose gold answer it has parsed."""

    def __init__(self, comparisons: list[Comparison]) -> None:
        self._by_gold: OrderedDict[str, list[tuple[int, Comparison]]] = OrderedDict()
        for index, comparison in enumerate(comparisons):
            self.add(index, comparison)

    def __bool__(self) -> bool:
        return bool(self._by_gold)

    def add(self, index: int, comparison: Comparison) -> None:
        self._by_gold.setdefault(comparison[0], []).append((index, comparison))

    def take(self, gold: str) -> tuple[int, Comparison]:
        """Remove and return a comparison with this gold answer, else one whose gold answer is first in turn."""
        if gold not in self._by_gold:
            gold = next(iter(self._by_gold))
            self._by_gold.move_to_end(gold)
        group = self._by_gold[gold]
        taken = group.pop()
        if not group:
            del self._by_gold[gold]
        return taken


class Workers:
    """Worker processes that reply to a batch of comparisons together."""

    def __init__(self, judge: Judge, client: Connection, *, num_workers: int, cpu_seconds: float) -> None:
        self._judge, self._client = judge, client
        self._num_workers, self._cpu_seconds = num_workers, cpu_seconds
        self._idle: list[Worker] = []
        self._busy: dict[Connection, Worker] = {}

    def reply_all(self, comparisons: list[Comparison]) -> list[Reply]:
        """Return replies in the order of the comparisons.

        Raises:
            EOFError: the client has closed its end.
        """
        todo = Queue(comparisons)
        replies: dict[int, Reply] = {}
        killed: set[int] = set()  # comparisons whose worker was killed from outside
        while todo or self._busy:
            while todo and len(self._busy) < self._num_workers:
                worker = self._take_idle() or self._fork()
                self._send(worker, *todo.take(worker.gold))
            soonest = min(worker.deadline for worker in self._busy.values())
            ready = wait([*self._busy, self._client], timeout=max(0.0, soonest - time.monotonic()))
            if self._client in ready:  # a client that waits sends nothing, so its end is closed
                raise EOFError
            for worker in [self._busy[c] for c in ready if isinstance(c, Connection)]:
                reply = self._receive(worker)
                index = worker.comparison_index
                if reply is None and index not in killed:
                    killed.add(index)
                    todo.add(index, comparisons[index])
                else:
                    replies[index] = reply or Reply.invalid("crash")
            for worker in [w for w in self._busy.values() if w.deadline <= time.monotonic()]:
                os.kill(worker.pid, signal.SIGKILL)
                self._remove(worker)
                replies[worker.comparison_index] = Reply.invalid("timeout")
        return [replies[i] for i in range(len(comparisons))]

    def close(self) -> None:
        for worker in [*self._idle, *self._busy.values()]:
            os.kill(worker.pid, signal.SIGKILL)

    def _take_idle(self) -> Worker | None:
        """Return an idle worker that is alive, None without one."""
        while self._idle:
            worker = self._idle.pop()
            if not worker.connection.poll():  # an idle worker sends nothing, so its end is closed
                return worker
            self._reap(worker)
        return None

    def _send(self, worker: Worker, index: int, comparison: Comparison) -> None:
        worker.comparison_index, worker.gold = index, comparison[0]
        worker.deadline = time.monotonic() + WALL_SECONDS
        worker.num_answers += 1
        self._busy[worker.connection] = worker
        with suppress(OSError):  # a dead worker is noticed when its reply is read
            worker.connection.send(comparison)

    def _receive(self, worker: Worker) -> Reply | None:
        """Return a worker's reply; for a worker that died, the cause; None if it was killed from outside."""
        try:
            reply: Reply = worker.connection.recv()
        except (EOFError, OSError):
            status = self._remove(worker)
            signal_number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            if signal_number == signal.SIGKILL:
                return None
            return Reply.invalid("timeout" if signal_number == signal.SIGPROF else "crash")
        if worker.num_answers >= MAX_ANSWERS:
            os.kill(worker.pid, signal.SIGKILL)
            self._remove(worker)
        else:
            del self._busy[worker.connection]
            self._idle.append(worker)
        return reply

    def _remove(self, worker: Worker) -> int:
        """Remove a dead or dying worker; return its wait status."""
        del self._busy[worker.connection]
        return self._reap(worker)

    def _reap(self, worker: Worker) -> int:
        worker.connection.close()
        return os.waitpid(worker.pid, 0)[1]

    def _fork(self) -> Worker:
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            # An inherited copy of a connection would keep it open after the server or the client has ended.
            for connection in (ours, self._client, *self._busy, *(w.connection for w in self._idle)):
                connection.close()
            work(theirs, self._judge, self._cpu_seconds)
        theirs.close()
        return Worker(pid, ours)


def work(connection: Connection, judge: Judge, cpu_seconds: float) -> None:
    """Reply to comparisons in a worker until the server closes the connection. Never returns."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the default action ends the process
    while True:
        try:
            gold, answer = connection.recv()
        except (EOFError, OSError):
            os._exit(0)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            outcome = judge(gold, answer)
            reply = Reply.of(outcome)
        except Exception:  # sympy raises many types; the answer is hostile, or math-verify has a gap
            reply = Reply.invalid("error")
        signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            connection.send(reply)
        except OSError:
            os._exit(0)


def main() -> None:
    """Serve a client. Command line: file descriptor of the socket, number of workers, processor seconds per answer."""
    client, num_workers, cpu_seconds = Connection(int(sys.argv[1])), int(sys.argv[2]), float(sys.argv[3])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the client handles Ctrl-C
    from agrae_lab.verify.algebra import judge, warm_up

    warm_up()
    gc.freeze()  # keeps the collector from touching, and so copying, the memory that workers share
    workers = Workers(judge, client, num_workers=num_workers, cpu_seconds=cpu_seconds)
    try:
        while True:
            client.send(workers.reply_all(client.recv()))
    except (EOFError, OSError):
        workers.close()
