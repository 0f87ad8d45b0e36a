"""Record of the project's behaviour on a fixed set of commands, and its comparison with another record.

python -m tests.behaviour record before.json     # 3 minutes on one core
python -m tests.behaviour record after.json      # after a change that should change nothing
python -m tests.behaviour compare before.json after.json

A record holds a digest of every column of metrics, rollouts, samples and figure tables, and the numbers of every
verdict. Paths, times, and the names of run directories are no part of it. A column that was renamed on purpose is named
on both sides: `compare before.json after.json undecided_count=invalid_count`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

SMALL = [
    *("train.num_steps=4", "train.num_prompts=8", "train.num_generations=4", "train.validate_every=2"),
    *("evaluation.num_samples=8", "evaluation.batch_size=256", "evaluation.benchmarks.countdown_test.limit=16"),
]
VISION = [
    *("train.num_steps=2", "train.num_prompts=8", "train.num_generations=4", "train.validate_every=0"),
    *("evaluation.num_samples=4", "evaluation.batch_size=64", "evaluation.benchmarks.shapes_test.limit=8"),
]
COMMANDS = [
    ["sweeps", "run", "group_symmetry", "sample_symmetry", "a_grae", "mass_control", "root={root}/runs", *SMALL],
    ["sweeps", "run", "group_symmetry", "root={root}/runs", "seed=range(1,3)", *SMALL],
    ["agrae_lab.train", "advantage=grpo", "loss=dapo", "root={root}/single", *SMALL],
    ["agrae_lab.train", "advantage=dr_grpo", "loss=dr_grpo", "root={root}/single", *SMALL],
    ["agrae_lab.train", "advantage=grpo", "advantage/token=entropy", "root={root}/single", *SMALL],
    ["agrae_lab.train", "world=nano_vl", "advantage=a_grae", "task.reward=code", "root={root}/vision", *VISION],
    ["agrae_lab.evaluate", "{root}/runs", "evaluation.num_samples=12"],
    ["analysis", "runs={root}/runs"],
    ["analysis", "runs={root}/vision"],
    ["agrae_lab.advantages.simulator", "grpo", "a_grae", "out={root}/theory", "num_steps=50"],
    ["analysis", "simulation={root}/theory"],
]
UNSTABLE = re.compile(r"seconds|path|^run$|run_dir|hash|time|fingerprint|schema_version")  # columns of no behaviour
INTERVAL = re.compile(r"[-+−]?[\d.]+ (?:pp|nats|%) \[[^\]]+\]|(?<!top-)p = [\d.]+")

Record = dict[str, dict[str, Any]]


def digest(values: pd.Series) -> str:
    """Return a digest of a column's values: numbers to 12 digits, all else as text."""
    if pd.api.types.is_numeric_dtype(values):
        values = pd.Series(np.char.mod("%.11e", values.to_numpy(float, na_value=np.nan)))
    return hashlib.sha256("\n".join(map(str, values.tolist())).encode()).hexdigest()[:16]


def columns(frame: pd.DataFrame, *, sort: bool = False) -> dict[str, str]:
    """Return a digest of every stable column; with `sort`, of its rows in the order of all their values."""
    kept = frame[[c for c in frame.columns if not UNSTABLE.search(str(c))]]
    if sort:
        kept = kept.sort_values(list(kept.columns), ignore_index=True, key=lambda column: column.astype(str))
    return {"rows": str(len(kept))} | {str(name): digest(kept[name]) for name in kept.columns}


def run_key(run_dir: Path) -> str:
    """Return root, arm, loss and seed of a run: names that outlive another layout of directories."""
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    return f"{config['world']}/{config['arm']}/{config['loss']['name']}/seed-{config['seed']}"


def record(root: Path) -> Record:
    """Return the behaviour found in everything that the commands wrote under a root."""
    found: Record = {}
    for path in sorted(root.rglob("metrics.parquet")):
        run_dir = path.parent
        key = f"{run_dir.relative_to(root).parts[0]}: {run_key(run_dir)}"
        found[f"{key} metrics"] = columns(pd.read_parquet(path))
        steps = [pd.read_parquet(file) for file in sorted((run_dir / "rollouts").glob("*.parquet"))]
        found[f"{key} rollouts"] = columns(pd.concat(steps, ignore_index=True))
        for samples in sorted(run_dir.glob("eval/**/samples.parquet")):
            found[f"{key} samples"] = columns(pd.read_parquet(samples))
    for path in sorted(root.rglob("base/**/samples.parquet")):
        found[f"{path.relative_to(root).parts[0]}: base samples"] = columns(pd.read_parquet(path))
    for path in sorted(root.rglob("figures/**/*.csv")):
        found[str(path.relative_to(root))] = columns(pd.read_csv(path), sort=True)
    for path in sorted(root.rglob("figures/**/summary.md")):
        found[str(path.relative_to(root))] = {"numbers": INTERVAL.findall(path.read_text())}
    return found


def differences(before: Record, after: Record, renamed: dict[str, str]) -> list[str]:
    """Return a line for every table or column that is missing, new, or of other values."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            lines.append(f"{name}: only {'after' if name in after else 'before'}")
            continue
        old = {renamed.get(column, column): value for column, value in before[name].items()}
        new = after[name]
        for column in sorted(old.keys() | new.keys()):
            if old.get(column) != new.get(column):
                kind = (
                    "differs" if column in old and column in new else "only " + ("after" if column in new else "before")
                )
                lines.append(f"{name}: {column}: {kind}")
    return lines


def run_commands(root: Path) -> None:
    """Run all commands, one after the other, on one core each.

    Raises:
        SystemExit: a command failed; its last lines are printed.
    """
    for words in COMMANDS:
        command = [sys.executable, "-m", *(word.format(root=root) for word in words)]
        print(" ".join(command[2:]), flush=True)
        ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if ended.returncode:
            sys.exit(f"{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}\nexit status {ended.returncode}")


def main(arguments: list[str]) -> None:
    """Run `record FILE` or `compare BEFORE AFTER [OLD=NEW …]`."""
    match arguments:
        case ["record", file]:
            with tempfile.TemporaryDirectory() as folder:
                run_commands(Path(folder))
                Path(file).write_text(json.dumps(record(Path(folder)), indent=1, ensure_ascii=False))
        case ["compare", before, after, *renamed]:
            names = dict(pair.split("=") for pair in renamed)
            lines = differences(json.loads(Path(before).read_text()), json.loads(Path(after).read_text()), names)
            print("\n".join(lines) or "equal")
            sys.exit(bool(lines))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
