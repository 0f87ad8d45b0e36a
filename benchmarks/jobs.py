"""Overhead of a run in a sweep, against a fresh interpreter for each run, which imports trl every time.

The runs do nothing; each is claimed, forked from the server that has loaded everything, executed in a process of its
own and recorded, one after the other. The loading of the server, once per sweep, is reported separately.
"""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from agrae_lab import runs
from sweeps.execution.display import LineDisplay
from sweeps.execution.executor import run_all
from sweeps.execution.slots import make_slots
from sweeps.launch.cells import PRELOAD

NUM_RUNS = 20
NUM_INTERPRETERS = 3


class Clock(LineDisplay):
    """Display that records the start times of runs."""

    def __init__(self) -> None:
        super().__init__(io.StringIO(), num_runs=NUM_RUNS)
        self.starts: list[float] = []

    def started(self, run: runs.Run) -> None:
        self.starts.append(time.perf_counter())


def main() -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        clock = Clock()
        todo = [runs.read_run(runs.create_run(_config(root, seed))) for seed in range(NUM_RUNS)]
        outcomes, _ = run_all(
            todo, slots=make_slots(1), train_module="benchmarks._idle", preload=PRELOAD, display=clock
        )
        assert all(outcome.status == "done" for outcome in outcomes)
    each = statistics.median(b - a for a, b in zip(clock.starts, clock.starts[1:], strict=False))
    fresh = statistics.median(_fresh_interpreter() for _ in range(NUM_INTERPRETERS))
    print(
        f"overhead of a run in a sweep: {each:.3f} s (the server is loaded once, in {clock.starts[0] - began:.1f} s); "
        f"a fresh interpreter that imports trl {fresh:.1f} s, {fresh / each:.0f} times that"
    )


def _config(root: str, seed: int) -> dict[str, object]:
    return {"schema_version": runs.SCHEMA_VERSION, "root": root, "arm": "idle", "seed": seed}


def _fresh_interpreter() -> float:
    start = time.perf_counter()
    imports = "\n".join(f"import {name}" for name in PRELOAD)
    subprocess.run([sys.executable, "-c", imports], check=True, cwd=Path(__file__).parents[1])
    return time.perf_counter() - start
