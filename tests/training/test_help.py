"""The help of the two entry points: it prints, and starts no work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ["Groups: <group>=<choice>", "train.num_steps: "]),
        ("evaluate", ["Nothing is trained", "Examples:", "python -m agrae_lab.evaluate runs/", "torchrun"]),
    ],
)
def test_help_starts_no_work(tmp_path, command, words):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-m", f"agrae_lab.{command}", "--help"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=400,
    )  # fmt: skip
    assert result.returncode == 0
    assert all(word in result.stdout for word in words)
    assert not result.stderr
    assert list(tmp_path.iterdir()) == []
