"""Evaluate trained runs: add benchmarks or samples, or go on with an evaluation that was cut off. Nothing is trained.

python -m agrae_lab.evaluate runs/a_grae-1a2b3c4d/seed-0
python -m agrae_lab.evaluate runs/*/seed-* '+evaluation.benchmarks.more={task: countdown}' evaluation.num_samples=512
torchrun --nproc-per-node 8 -m agrae_lab.evaluate runs/a_grae-1a2b3c4d/seed-0      eight GPUs share the samples

Words with = are overrides of `evaluation` and `hardware` in Hydra's grammar, for every run; the others are runs, or
roots, for all of their runs. The base models are evaluated alike.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from agrae_lab import runs
from agrae_lab.config import ConfigError, problem_sets, with_evaluation
from agrae_lab.evaluation.benchmarks import check_kept
from agrae_lab.lifecycle import execute
from agrae_lab.models.load import ModelError
from agrae_lab.runs import Run, RunError
from agrae_lab.runs.processes import is_main

SECTIONS = ("evaluation", "hardware")
WATCHED_PARENT = "AGRAE_WATCHED_PARENT"  # process id of the one with which a run in a sweep ends
_POLL_SECONDS = 1.0


def main(arguments: Sequence[str]) -> int:
    """Carry the runs to their end, with what the overrides ask for; returns the exit status."""
    if runs.has_inherited_lock():
        _go_on_as_before()
    words = [word for word in arguments if "=" in word or word.startswith("~")]
    paths = [word for word in arguments if word not in words]
    if not paths:
        print(
            "say which runs: python -m agrae_lab.evaluate <run directory>… [evaluation.<key>=<value>…]", file=sys.stderr
        )
        return 2
    try:
        overrides = parse_overrides(words)
        asked = [(run, asked_for(run, overrides)) for path in paths for run in _runs_at(Path(path))]
    except (ConfigError, RunError) as error:
        print(f"agrae_lab: {error}", file=sys.stderr)
        return 2
    return max(_evaluate(run, config) for run, config in asked)


def _evaluate(run: Run, config: dict[str, Any]) -> int:
    try:
        if is_main():
            runs.request(run, config)
        status = execute(run.path, config=config)
    except (ConfigError, ModelError, RunError) as error:
        print(f"agrae_lab: {error}", file=sys.stderr)
        return 2
    if is_main():
        print(json.dumps({"run": str(run.path), "status": status}), flush=True)
    return 0 if status == "done" else 1


def _runs_at(path: Path) -> list[Run]:
    """The run in a directory, or all trained runs of a root.

    Raises:
        RunError: neither, or a run that has not been trained.
    """
    if not (path / "config.yaml").is_file() and (found := runs.list_runs(path)):
        return [run for run in found if (run.path / "model").is_dir()]
    run = runs.read_run(path)
    if not (run.path / "model").is_dir():
        raise RunError(f"{run.path} holds no trained model/ yet; train it first: python -m agrae_lab.train")
    return [run]


def parse_overrides(words: Sequence[str]) -> list[Override]:
    """Overrides of `evaluation` and `hardware`.

    Raises:
        ConfigError: not in Hydra's grammar, or of another section.
    """
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        raise ConfigError(f"{' '.join(words)}: not an override ({str(error).splitlines()[0]})") from error
    for override in overrides:
        if override.key_or_group.split(".")[0] not in SECTIONS or override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line}: a trained run takes overrides of {' and '.join(SECTIONS)} alone, one value "
                "each; for anything else train another run: python -m agrae_lab.train"
            )
    return overrides


def asked_for(run: Run, overrides: Sequence[Override]) -> dict[str, Any]:
    """The run's config with overrides.

    Raises:
        ConfigError, RunError: anything that could not be evaluated.
    """
    sections = {name: deepcopy(run.config[name]) for name in SECTIONS}
    for override in overrides:
        *above, last = override.key_or_group.split(".")
        node: Any = sections
        for key in above:
            node = node.setdefault(key, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise ConfigError(f"{override.input_line}: {'.'.join(above)} is not a section")
        if override.is_delete():
            node.pop(last, None)
        else:
            node[last] = override.value()
    config = with_evaluation(run.config, sections["evaluation"], sections["hardware"])
    check_kept(replace(run, config=config), problem_sets(config))
    return config


def _go_on_as_before() -> None:
    """Log as the program did in whose place this one goes on, and end with the same parent."""
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    if (parent := os.environ.get(WATCHED_PARENT)) is not None:
        threading.Thread(target=_stop_with, args=(int(parent),), daemon=True).start()


def _stop_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
