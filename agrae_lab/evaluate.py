"""Evaluate trained runs and their base models: add benchmarks or samples, or resume an evaluation. Nothing is trained.

    python -m agrae_lab.evaluate RUN… [KEY=VALUE…]

RUN         a run directory, or a root: all of its trained runs
KEY=VALUE   an override of `evaluation` or `hardware` for every run, in Hydra's grammar (+ adds a key, ~ removes one)

Examples:
    # resume or complete the evaluations of one run
    python -m agrae_lab.evaluate runs/a_grae-1a2b3c4d/seed-0
    # another benchmark and more samples, for all runs of a root, on eight GPUs
    torchrun --nproc-per-node 8 -m agrae_lab.evaluate runs '+evaluation.benchmarks.more={task: countdown}' \\
        evaluation.num_samples=512

Each run ends with its status and Pass@1 in words; with --json, with one line of JSON for scripts. The exit status is
0 if all are done, 1 if one is not, 2 for a mistake in the command.
"""

from __future__ import annotations

import faulthandler
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
from agrae_lab.evaluation.benchmarks import check_at_steps
from agrae_lab.lifecycle import execute
from agrae_lab.models.load import ModelError
from agrae_lab.models.memory import is_out_of_memory, out_of_memory_message
from agrae_lab.runs import Run, RunError
from agrae_lab.runs.ending import ending, take_json_flag
from agrae_lab.runs.processes import WATCHED_PARENT, is_main

SECTIONS = ("evaluation", "hardware")
_POLL_SECONDS = 1.0
_TRAIN = "python -m agrae_lab.train"


def main(arguments: Sequence[str]) -> int:
    """Evaluate the runs under the overrides; return the exit status."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    arguments = take_json_flag(arguments)
    if runs.has_inherited_lock():
        _restore_process()
    paths, words = runs.split_words(arguments)
    if not paths:
        print("agrae_lab: no run is named. python -m agrae_lab.evaluate RUN… [KEY=VALUE…]; see --help", file=sys.stderr)
        return 2
    try:
        overrides = parse_overrides(words)
        configs = [(run, overridden_config(run, overrides)) for path in paths for run in _trained_runs(Path(path))]
    except (ConfigError, RunError) as error:
        print(f"agrae_lab: {error}", file=sys.stderr)
        return 2
    if not configs:
        print(f"agrae_lab: no trained run under {', '.join(paths)}. Train one: {_TRAIN}", file=sys.stderr)
        return 2
    try:
        return max([_evaluate(run, config) for run, config in configs])
    except KeyboardInterrupt:
        print("agrae_lab: interrupted. The same command resumes the evaluation", file=sys.stderr)
        return 1


def _evaluate(run: Run, config: dict[str, Any]) -> int:
    """Evaluate one run, print its status, and return the exit status."""
    try:
        if is_main():
            runs.update_config(run, config)
        status = execute(run.path, config=config)
    except (ConfigError, ModelError, RunError) as error:
        print(f"agrae_lab: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        if not (out_of_memory := is_out_of_memory(error)) and not isinstance(error, OSError):
            raise
        sentence = out_of_memory_message(error) if out_of_memory else str(error)
        print(f"agrae_lab: {run.path}: {sentence}", file=sys.stderr)
        return 1
    if is_main():
        print(ending(runs.read_run(run.path)), flush=True)
    return 0 if status == "done" else 1


def _trained_runs(path: Path) -> list[Run]:
    """Return the run in a directory, or all trained runs of a root.

    Raises:
        RunError: the path is neither, or its run is not trained.
    """
    if not (path / "config.yaml").is_file() and (found := runs.list_runs(path)):
        return [run for run in found if (run.path / "model").is_dir()]
    run = runs.read_run(path)
    if not (run.path / "model").is_dir():
        raise RunError(f"{run.path}: no trained model/ yet. Train the run first: {_TRAIN}")
    return [run]


def parse_overrides(words: Sequence[str]) -> list[Override]:
    """Return overrides of `evaluation` and `hardware`.

    Raises:
        ConfigError: one is not in Hydra's grammar, is of another section, or is a whole section.
    """
    try:
        overrides = OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        raise ConfigError(f"{' '.join(words)}: not an override ({str(error).splitlines()[0]})") from error
    for override in overrides:
        if override.key_or_group.split(".")[0] not in SECTIONS or override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line}: a trained run takes overrides of {' and '.join(SECTIONS)} alone, one value "
                f"each. For any other key train another run: {_TRAIN}"
            )
        if override.key_or_group in SECTIONS:
            raise ConfigError(
                f"{override.input_line}: a whole section. Name one of its keys, {override.key_or_group}.…"
            )
    return overrides


def overridden_config(run: Run, overrides: Sequence[Override]) -> dict[str, Any]:
    """Return the run's config with overrides.

    Raises:
        ConfigError, RunError: the config could not be evaluated.
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
    check_at_steps(replace(run, config=config), problem_sets(config))
    return config


def _restore_process() -> None:
    """Restore the log of the training program that this one has replaced, and the watch on its parent."""
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    if (parent := os.environ.get(WATCHED_PARENT)) is not None:
        threading.Thread(target=_terminate_with_parent, args=(int(parent),), daemon=True).start()


def _terminate_with_parent(parent: int) -> None:
    """Send SIGTERM to this process once its parent has ended."""
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
