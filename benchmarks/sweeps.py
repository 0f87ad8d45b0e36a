"""Cost of a sweep beyond its runs: planning, status, resuming, and starting a run.

Commands are timed as the user waits for them: a new process each, from start to end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from agrae_lab import runs
from agrae_lab.runs.provenance import provenance
from agrae_lab.train import freeze
from sweeps.launch.cells import PRELOAD, TRAIN_MODULE
from sweeps.planning.drift import read_code
from sweeps.planning.plan import plan_study
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec.compose import CONFIG_DIR, compose, config_dir
from sweeps.spec.read import read_study

RUNS = 10_000
JOBS = 20
SAMPLE = 20  # repetitions of slow operations

STUDY = {  # 1,000 cells
    "axes": {
        "grid": {
            "advantage": ["grpo", "a_grae", "positive_dominant", "negative_dominant"],
            "train.learning_rate": [round(1e-5 * (i + 1), 6) for i in range(25)],
            "train.num_minibatches": [1, 2],
            "train.weight_decay": [0.0, 0.01, 0.02, 0.05, 0.1],
        }
    }
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, study = Path(folder) / "runs", Path(folder) / "thousand.yaml"
        study.write_text(yaml.safe_dump(STUDY))
        planning(study, root)
        resuming(study, root)
    with tempfile.TemporaryDirectory() as folder:
        looking(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        starting(Path(folder))


def planning(study: Path, root: Path) -> None:
    with config_dir(CONFIG_DIR):
        points = [["advantage=a_grae", f"train.learning_rate={1e-5 * (i + 1)}"] for i in range(SAMPLE)]
        by_hydra = timed(lambda: [freeze(compose(point)) for point in points]) / SAMPLE * 1000
    ours = command("plan", str(study), f"root={root}")
    report("plan of 1,000 cells", ours, "60 s", by_hydra, "with each composed by Hydra (from 20 of them)")


def resuming(study: Path, root: Path) -> None:
    """Time the resume of a study whose runs are done."""
    beginning = timed(lambda: _finish(study, root))
    ours = command("run", str(study), f"root={root}")
    report("resume of a finished study of 1,000 cells", ours, "10 s", beginning, "to plan and freeze it")


def _finish(study_file: Path, root: Path) -> None:
    study, code = read_study(study_file), read_code(TRAIN_MODULE)
    directory = StudyDirectory(root, study.name)
    with config_dir(CONFIG_DIR):
        planned = plan_study(study, directory, train_module=TRAIN_MODULE, code=code)
    with directory.controller_lock():
        planned.launch_plan.write()
        directory.record(study, planned.cells, code)
    for run in planned.all_runs:
        runs.update_meta(run.path, status="done", timings={"train_seconds": 60.0})


def looking(root: Path) -> None:
    with config_dir(CONFIG_DIR):
        text = yaml.safe_dump(freeze(compose([])))
    attempt = {"started": "2026-01-01T00:00:00+00:00", **provenance()}
    for i in range(RUNS):
        path = root / f"grpo-{i // 10:08x}" / f"seed-{i % 10}"
        path.mkdir(parents=True)
        (path / "config.yaml").write_text(text)
        runs.write_json(path / "meta.json", {"schema_version": 1, "status": "done", "attempts": [attempt]})
    sample = sorted(root.glob("*/seed-*"))[: RUNS // 100]
    reading = timed(lambda: [runs.read_run(path) for path in sample]) * 100
    ours = command("status", str(root))
    report("status of 10,000 finished runs", ours, "3 s", reading, "to read them with their configs (from 100 of them)")


def starting(folder: Path) -> None:
    """Time an idle run from processes that have loaded torch, transformers and trl."""
    fresh = timed(lambda: subprocess.run([sys.executable, "-c", f"import {PRELOAD[0]}"], check=True))
    few, many = (_idle_runs(folder, number) for number in (1, 1 + JOBS))
    report("a run's start and end", (many - few) / JOBS, "0.5 s", fresh, "for a new interpreter that imports trl")


def _idle_runs(folder: Path, number: int) -> float:
    study = folder / f"idle_{number}.yaml"
    study.write_text(yaml.safe_dump({"seeds": list(range(number))}))
    code = "import sys; from sweeps.__main__ import main; sys.exit(main(train_module='benchmarks._idle_train'))"
    return _timed_process("-c", code, "run", str(study), f"root={folder / study.stem}", "--slots", "1")


def command(*words: str) -> float:
    return _timed_process("-m", "sweeps", *words)


def _timed_process(*arguments: str) -> float:
    argv = [sys.executable, *arguments]
    return timed(lambda: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env=os.environ))


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def report(what: str, ours: float, goal: str, baseline: float, named: str) -> None:
    print(f"{what}: {ours:.2f} s (goal: {goal}); {baseline:.1f} s {named}; ratio {ours / baseline:.3f}", flush=True)
