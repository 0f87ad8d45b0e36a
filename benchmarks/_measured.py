"""One part of the analysis on a root of runs in its own process, with its cost: `_measured <part> <root>`."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

from agrae_lab.runs import list_experiments, list_runs
from analysis.estimates.passk_curves import collect
from analysis.io.eval_counts import read_counts
from analysis.io.study import load_study
from analysis.io.training_records import read_groups
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import Evaluations
from analysis.statistics.passk import KS


def evaluations(root: Path) -> Callable[[], int]:
    """Return a call that counts every evaluation under the root and returns the number of samples."""
    paths = [*root.glob("*/seed-*/eval/*/samples.parquet"), *root.glob("base/*/samples.parquet")]
    return lambda: sum(len(counts.correct_P) * counts.num_samples for counts in map(read_counts, paths))


def rollouts(root: Path) -> Callable[[], int]:
    """Return a call that reads the groups of every run and returns the number of completions."""
    return lambda: sum(int(read_groups(run)["size"].sum()) for run in list_runs(root))


def paired(root: Path) -> Callable[[], int]:
    """Return a call that makes the intervals of all arms and their differences at every k, and returns their number."""
    study = load_study(root, list_experiments(root)[0])
    found = collect(study, study.benchmarks[0])
    assert found is not None
    return lambda: len(contrast_intervals(found, all_contrasts(found)))


def all_contrasts(found: Evaluations) -> list[dict[str, Any]]:
    arms = list(found.correct)
    single: list[dict[str, Any]] = [{arm: {k: 1.0}} for arm in arms for k in KS]
    return single + [{a: {k: 1.0}, b: {k: -1.0}} for a, b in combinations(arms, 2) for k in KS]


def reset_peak() -> None:
    """Reset the peak, which so far is that of imports and preparation."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """Return this program's peak memory; ru_maxrss would include the calling process's."""
    kib = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kib[1]) / 1024 if kib else float("nan")


if __name__ == "__main__":
    pieces = {"evaluations": evaluations, "rollouts": rollouts, "paired": paired}
    piece = pieces[sys.argv[1]](Path(sys.argv[2]))
    reset_peak()
    before = peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    done = piece()
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print(json.dumps({"done": done, **spent, "before_mib": before, "peak_mib": peak_mib()}))
