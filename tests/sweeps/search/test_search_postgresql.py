"""A search on a real PostgreSQL server, as several machines would share it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_search_train import steps
from search_lab import Quiet, SearchLab, in_lab, quest

from agrae_lab import runs
from sweeps.errors import PlanError


@dataclass
class Postgresql:
    """A server on a free port of the loopback interface."""

    bin: Path
    data: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.data} -c fsync=off"
        self._do("pg_ctl", "start", "-w", "-D", str(self.data), "-o", options, "-l", str(self.data / "log"))

    def stop(self) -> None:
        self._do("pg_ctl", "stop", "-m", "immediate", "-D", str(self.data))

    def make(self) -> None:
        self._do("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync")

    def _do(self, program: str, *words: str) -> None:
        account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses to be root's
        subprocess.run([*account, str(self.bin / program), *words], check=True, stdout=subprocess.DEVNULL, cwd="/tmp")


@pytest.fixture
def postgresql() -> Iterator[Postgresql]:
    pytest.importorskip("psycopg", reason="PostgreSQL's driver is not installed (pip install 'psycopg[binary]')")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [*filter(None, [shutil.which("initdb")])]
    if not found:
        pytest.skip("no PostgreSQL server is installed (Debian's package postgresql)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = Postgresql(Path(found[-1]).parent, folder / "data", port)
    server.make()
    server.start()
    yield server
    with suppress(subprocess.CalledProcessError):  # stopped already
        server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchLab]:
    with in_lab(tmp_path, monkeypatch) as lab:
        yield lab


def test_postgresql(lab: SearchLab, postgresql: Postgresql) -> None:
    """A real server: killed controllers and a restarted server lose nothing."""
    plain = quest(search={"num_trials": 4, "sampler": "random"})

    class Restarting(Quiet):
        def ended(self, outcome: Any) -> None:
            postgresql.stop()

    with pytest.raises(runs.RunError, match="the search's storage has failed"):
        lab.search(plain, storage=postgresql.url, display=Restarting())
    with pytest.raises(PlanError, match="cannot be used"):
        lab.search(plain, storage=postgresql.url)
    postgresql.start()
    lab.search(plain, storage=postgresql.url, slots=2)
    table = lab.table()
    assert [row["status"] for row in table if row["status"] != "requeued"] == ["done"] * 4
    assert [steps(run.path) for run in lab.runs()] == [[1, 2]] * 4
