"""The help of the two entry points: it prints, and starts no work."""

import os
import subprocess
import sys
from pathlib import Path

from agrae_lab.config.help import help_text
from tests import forked

ROOT = Path(__file__).resolve().parents[2]


def test_help_of_train_starts_no_work(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "agrae_lab.train", "--help"],
        capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=400,
    )  # fmt: skip
    check(result, tmp_path, ["Groups: <group>=<choice>", "train.num_steps: "])
    assert result.stdout == help_text() + "\n"


def test_help_of_evaluate_starts_no_work(tmp_path):
    result = forked.run("-m", "agrae_lab.evaluate", "--help", cwd=tmp_path)
    check(result, tmp_path, ["Nothing is trained", "Examples:", "python -m agrae_lab.evaluate runs/", "torchrun"])


def check(result, folder, words):
    assert result.returncode == 0
    assert all(word in result.stdout for word in words)
    assert not result.stderr
    assert list(folder.iterdir()) == []
