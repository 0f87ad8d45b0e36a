"""The command line of the sweeps: carry experiments through, and see how far they are."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from agrae_lab import runs
from sweeps import grid
from sweeps.errors import PlanError
from sweeps.launch import INTERRUPTED, PRELOAD, TRAIN_MODULE, launch, refuse
from sweeps.progress import make_console
from sweeps.status import as_json, print_status, status_rows

_RUN_HELP = """\
words without '=' are experiments (files of conf/experiment); the rest are Hydra overrides for all of them:

  python -m sweeps run group_symmetry a_grae root=runs/demo
  python -m sweeps run a_grae 'seed=range(0,3)' train.num_steps=10

Equal runs of several experiments are one run. The same command again does only what is not done yet.
exit codes: 0 all done, 1 some failed, diverged or busy elsewhere, 2 nothing started, 130 stopped on request
"""


def main(
    argv: Sequence[str] | None = None,
    *,
    config_dir: Path = grid.CONFIG_DIR,
    train_module: str = TRAIN_MODULE,
    preload: Sequence[str] = PRELOAD,
) -> int:
    """Read the command line, do it, return the exit code."""
    arguments = _read(argv)
    try:
        if arguments.command == "status":
            return _status(arguments.root, json_wanted=arguments.json)
        importlib.import_module(train_module)  # which may register config groups
        experiments = [word for word in arguments.words if not _is_override(word)]
        overrides = [word for word in arguments.words if _is_override(word)]
        with grid.config_dir(config_dir):
            cells = grid.experiment_cells(experiments, overrides)
            return launch(cells, num_slots=arguments.slots, train_module=train_module, preload=preload)
    except PlanError as error:
        return refuse(error)
    except KeyboardInterrupt:  # before the first run
        print("stopped before anything was started", file=sys.stderr)
        return INTERRUPTED


def _is_override(word: str) -> bool:
    return "=" in word or word.startswith("~")  # ~key deletes


def _status(root: Path, *, json_wanted: bool) -> int:
    try:
        rows = status_rows(root)
    except runs.RunError as error:
        print(error, file=sys.stderr)
        return 2
    if json_wanted:
        print(json.dumps(as_json(rows), indent=2))
    elif rows:
        print_status(make_console(), rows)
    else:
        print(f"there are no runs in {root}")
    return 0


def _read(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments, more = parser.parse_known_args(argv)  # argparse leaves out words that follow an option
    if arguments.command != "run" or any(word.startswith("-") for word in more):
        return parser.parse_args(argv)
    arguments.words += more
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sweeps", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="carry experiments through",
        epilog=_RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("words", nargs="+", metavar="EXPERIMENT|KEY=VALUE")
    run.add_argument("--slots", type=int, help="runs at a time (default: one per GPU, else one per core)")
    status = commands.add_parser("status", help="what stands in a root")
    status.add_argument("root", type=Path)
    status.add_argument("--json", action="store_true", help="for scripts")
    return parser


if __name__ == "__main__":
    sys.exit(main())
