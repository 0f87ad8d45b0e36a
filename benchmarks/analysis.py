"""Benchmark of the analysis on synthetic records of the paper's size: reading, reducing, Pass@k, paired intervals.

The baseline of Pass@k is the published way of the paper's repository and others: JSON lines parsed once per k,
grouped by question, a product per question and k. Times are CPU seconds, which load on the machine changes least.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from agrae_lab.runs import Run
from analysis.io import parquet
from analysis.io.eval_counts import read_counts
from analysis.io.training_records import read_groups
from analysis.statistics.passk import KS, pass_at_k
from benchmarks._records import BENCHMARK, PAPER, Sizes, write_records

TOLERANCE = 1e-12


def main(sizes: Sizes = PAPER) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "runs"
        runs = write_records(root, sizes)
        points(runs[0].samples_path(BENCHMARK), sizes, Path(folder))
        growth(runs[0], Path(folder))
        measured(root, "evaluations", "evaluation rows read and reduced", "10 s, 1,024 MiB")
        measured(root, "rollouts", "training rows read and reduced", "30 s, 2,048 MiB")
        what = "intervals and simultaneous bands of arms and their differences from counts"
        measured(root, "paired", what, "1.2 s CPU, 500 MiB")


def points(samples: Path, sizes: Sizes, folder: Path) -> None:
    """Time one arm's Pass@k three ways in turn, so that drift of the machine affects all."""
    lines = write_lines(samples, folder / "samples.jsonl")
    spent: dict[str, list[float]] = {"published": [], "parquet": [], "lines": []}
    for k in KS:
        published, seconds = timed(lambda k=k: published_pass_at_k(lines, k, num_samples=sizes.samples))
        spent["published"].append(seconds)
        for name, way, path in (("parquet", from_parquet, samples), ("lines", from_lines, lines)):
            values, seconds = timed(lambda way=way, path=path: way(path))
            spent[name].append(seconds)
            assert abs(values[KS.index(k)] - published) <= TOLERANCE, f"{name} at k = {k}: {values}, not {published}"
    baseline = sum(spent["published"])
    print(f"Pass@k of one arm, {sizes.problems} × {sizes.samples}, {len(KS)} k: the published way {baseline:.1f} s CPU")
    for name, goal in (("parquet", 100), ("lines", 20)):
        ours = statistics.median(spent[name])
        what = "Parquet" if name == "parquet" else "the same JSON lines"
        print(
            f"  from {what}: {ours:.3f} s, {baseline / ours:.0f} times as fast (goal: {goal}); equal to {TOLERANCE:g}"
        )


def write_lines(samples: Path, path: Path) -> Path:
    """Write one JSON line per sample with its question and correctness, as the published way needs."""
    table = pq.read_table(samples, columns=["problem_id", "correct"], filters=[("decoding", "==", "sample")])
    rows = zip(table["problem_id"].to_pylist(), table["correct"].to_pylist(), strict=True)
    with path.open("w") as file:
        file.writelines(
            f'{{"question": "{problem}", "correct": {"true" if ok else "false"}}}\n' for problem, ok in rows
        )
    return path


def published_pass_at_k(path: Path, k: int, *, num_samples: int) -> float:
    """Return Pass@k as released evaluation scripts compute it, one k per call."""
    by_question: dict[str, list[bool]] = {}
    with path.open() as lines:
        for line in lines:
            row = json.loads(line)
            by_question.setdefault(row["question"], []).append(row["correct"])
    values = []
    for marks in by_question.values():
        n, c = num_samples, sum(marks[:num_samples])
        values.append(1.0 if n - c < k else 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))
    return float(np.mean(values))


def from_parquet(path: Path) -> np.ndarray:
    path.touch()  # else its counts would be cached
    counts = read_counts(path)
    return pass_at_k(counts.correct_P, counts.num_samples, KS).mean(axis=0)


def from_lines(path: Path) -> np.ndarray:
    problems: dict[str, int] = {}
    schema = pa.schema({"question": pa.string(), "correct": pa.bool_()})
    settings = {
        "read_options": pyarrow.json.ReadOptions(use_threads=False, block_size=1 << 22),
        "parse_options": pyarrow.json.ParseOptions(explicit_schema=schema),
    }
    pieces = []
    with pyarrow.json.open_json(path, **settings) as batches:
        for batch in batches:
            correct = batch["correct"].to_numpy(zero_copy_only=False)
            pieces.append((parquet.text_codes(batch["question"].dictionary_encode(), problems), correct))
    problem_N, correct_N = map(np.concatenate, zip(*pieces, strict=True))
    num_samples, left_over = divmod(len(problem_N), len(problems))
    assert not left_over
    correct_P = np.bincount(problem_N, weights=correct_N).astype(np.int64)
    return pass_at_k(correct_P, num_samples, KS).mean(axis=0)


def growth(run: Run, folder: Path) -> None:
    """Time half the rows against all rows."""
    samples, half_samples = run.samples_path(BENCHMARK), folder / "half.parquet"
    ids = sorted(set(read_counts(samples).problem_ids))
    half = pq.read_table(samples, filters=[("problem_id", "in", ids[: len(ids) // 2])])
    pq.write_table(half, half_samples, compression="zstd")
    report_growth("evaluation", lambda: from_parquet(half_samples), lambda: from_parquet(samples))
    half_run = Run(folder / "half-run", run.config)
    (half_run.path / "rollouts").mkdir(parents=True)
    paths = run.rollout_paths()
    for path in paths[: len(paths) // 2]:
        (half_run.path / "rollouts" / path.name).symlink_to(path)
    report_growth("training", lambda: _read_again(half_run), lambda: _read_again(run))


def _read_again(run: Run) -> None:
    run.rollout_paths()[0].touch()
    read_groups(run)


def report_growth(what: str, half: Callable[[], object], whole: Callable[[], object]) -> None:
    pairs = [(timed(half)[1], timed(whole)[1]) for _ in range(5)]
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"  {what} rows of one run: all take {ratio:.2f} times as long as half of them (linear: 2)")


def measured(root: Path, piece: str, what: str, goal: str) -> None:
    """Run a part of _measured.py and print its cost."""
    command = [sys.executable, "-m", "benchmarks._measured", piece, str(root)]
    took = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(
        f"{took['done']:,} {what}: {took['cpu']:.2f} s CPU, {took['wall']:.2f} s in all, at most "
        f"{took['peak_mib']:.0f} MiB, {took['before_mib']:.0f} of them before it began (goal: {goal})"
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the call's result, and its CPU seconds in all threads."""
    start = time.process_time()
    value = call()
    return value, time.process_time() - start
