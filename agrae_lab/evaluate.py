"""Evaluate a trained run, or go on with an evaluation that was cut off.

python -m agrae_lab.evaluate runs/a_grae-1a2b3c4d/seed-0
torchrun --nproc-per-node 8 -m agrae_lab.evaluate runs/a_grae-1a2b3c4d/seed-0      eight GPUs share the samples
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from agrae_lab.config import ConfigError
from agrae_lab.models.load import ModelError
from agrae_lab.runs import RunError, read_run
from agrae_lab.train import execute


def main(arguments: Sequence[str]) -> int:
    """Carry the run at arguments[0] to its end; returns the exit status."""
    if len(arguments) != 1:
        print("say which run: python -m agrae_lab.evaluate <run directory>", file=sys.stderr)
        return 2
    try:
        run = read_run(arguments[0])
        if not (run.path / "model").is_dir():
            raise RunError(f"{run.path} holds no trained model/ yet; train it first: python -m agrae_lab.train")
        status = execute(run.path)
    except (ConfigError, ModelError, RunError) as error:
        print(f"agrae_lab: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"run": str(Path(arguments[0])), "status": status}))
    return 0 if status == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
