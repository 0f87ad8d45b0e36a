"""Benchmark of two slots against one in the demo's sweep, with a twelfth of its steps and samples, on CPU.

One after the other, a run has all cores; side by side, each has half of them. Both ways load their libraries once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXPERIMENTS = ("group_symmetry", "sample_symmetry", "a_grae")
SETTINGS = (
    "world=nano",
    "hardware.device=cpu",
    "train.num_steps=6",
    "train.validate_every=3",
    "evaluation.num_samples=43",
)


def main() -> None:
    seconds = {num_slots: _sweep(num_slots) for num_slots in (1, 2)}
    print(
        f"demo at small settings, two slots: {seconds[2]:.0f} s; one slot {seconds[1]:.0f} s; "
        f"ratio {seconds[2] / seconds[1]:.2f}"
    )


def _sweep(num_slots: int) -> float:
    with tempfile.TemporaryDirectory() as root:
        words = [*EXPERIMENTS, *SETTINGS, f"root={root}", "--slots", str(num_slots)]
        start = time.perf_counter()
        command = [sys.executable, "-m", "sweeps", "run", *words]
        env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL, cwd=Path(__file__).parents[1])
        return time.perf_counter() - start
