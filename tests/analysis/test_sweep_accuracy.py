"""The table at the end of a sweep: Pass@1 by arm, and by what differs where an arm has several configurations."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from analysis_lab import Root
from rich.console import Console

from sweeps.inspect.accuracy import print_accuracy


def test_configurations_of_an_arm_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    root = Root(tmp_path / "runs", num_problems=10, num_samples=8, num_steps=3)
    train = root.config("grpo", 0)["train"]
    runs = [root.run("grpo", seed, train={**train, "learning_rate": r}) for r in (1e-3, 2e-3) for seed in (0, 1)]
    runs.append(root.run("a_grae", 0, train={**train, "learning_rate": 1e-3}))
    out = StringIO()
    print_accuracy(Console(file=out, width=160), runs)
    rows = {line.partition(" [")[0].split("  ")[0] for line in out.getvalue().splitlines()}
    folders = {run.config["train"]["learning_rate"]: run.path.parent.name for run in runs[:4]}
    for rate, folder in folders.items():
        assert f"grpo learning_rate={rate} ({folder.rpartition('-')[2]})" in rows
    assert {"a_grae", "base"} <= rows
