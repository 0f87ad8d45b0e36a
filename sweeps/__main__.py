"""The command line of the sweeps: carry studies and experiments through, see how far they are, hand on the results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from agrae_lab.runs import RunError
from sweeps import commands
from sweeps.errors import PlanError
from sweeps.launch.cells import BAD_PLAN, INTERRUPTED, PRELOAD, SOME_NOT_DONE, TRAIN_MODULE, refuse
from sweeps.spec.compose import CONFIG_DIR

_EPILOG = """\
A word that names a file of sweeps/studies, or a .yaml file, is a study; other words are experiments (files of
conf/experiment), or runs, cells, arms and roots where the command takes those; words with '=' are Hydra overrides.

  python -m sweeps run group_symmetry a_grae root=runs/demo       experiments, equal runs once
  python -m sweeps run a_grae 'seed=range(0,3)' train.num_steps=10
  python -m sweeps plan my_study.yaml root=runs/mine              a study: what there is to do, and for how long
  python -m sweeps run my_study.yaml root=runs/mine               begins it, and later continues it
  python -m sweeps status my_study.yaml root=runs/mine --watch
  python -m sweeps compare grpo a_grae root=runs/mine

exit codes: 0 all done, 1 some failed, diverged or busy elsewhere, 2 nothing started, 130 stopped on request
"""


def main(
    argv: Sequence[str] | None = None,
    *,
    config_dir: Path = CONFIG_DIR,
    train_module: str = TRAIN_MODULE,
    preload: Sequence[str] = PRELOAD,
) -> int:
    """Read the command line, do it, return the exit code."""
    given = _read(argv)
    launching = given.command in ("run", "retry")
    given.config_dir, given.train_module, given.preload = config_dir, train_module, preload
    try:
        code: int = getattr(commands, given.command)(given)
        return code
    except PlanError as error:
        return refuse(error, launching=launching)
    except RunError as error:
        print(error, file=sys.stderr)
        return SOME_NOT_DONE if launching else BAD_PLAN
    except KeyboardInterrupt:  # before the first run
        print("stopped before anything was started", file=sys.stderr)
        return INTERRUPTED


def _read(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    given, more = parser.parse_known_args(argv)  # argparse leaves out words that follow an option
    if any(word.startswith("-") for word in more):
        return parser.parse_args(argv)
    given.words += more
    return given


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m sweeps", description=__doc__, epilog=_EPILOG, formatter_class=shape
    )
    parsers = parser.add_subparsers(dest="command", required=True)

    def command(name: str, metavar: str, told: str) -> argparse.ArgumentParser:
        one = parsers.add_parser(name, help=told, description=told, epilog=_EPILOG, formatter_class=shape)
        one.add_argument("words", nargs="+", metavar=metavar)
        return one

    plan = command("plan", "STUDY|EXPERIMENT|KEY=VALUE", "what a launch would do; starts and writes nothing")
    run = command("run", "STUDY|EXPERIMENT|KEY=VALUE", "carry through what is not done yet")
    status = command("status", "STUDY|ROOT|KEY=VALUE", "how far a study, or all that stands in a root, is")
    form = status.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for scripts")
    form.add_argument("--watch", action="store_true", help="stay, and show it anew every second")
    retry = command("retry", "STUDY|KEY=VALUE", "carry through what failed, and nothing else")
    retry.add_argument("--diverged", action="store_true", help="what diverged too")
    collect = command("collect", "STUDY|ROOT|KEY=VALUE", "all runs with settings and values as one table")
    collect.add_argument("--out", type=Path, help="a .parquet or .csv file (default: runs.parquet in the study)")
    command("compare", "[STUDY] A B|KEY=VALUE", "two runs, cells or arms: settings and Pass@k that differ")
    export = command("export", "STUDY|KEY=VALUE", "copy a study without checkpoints and models")
    export.add_argument("--out", type=Path, help="a new folder or .tar.gz (default: <study>.tar.gz here)")
    gc = command("gc", "STUDY|ROOT|KEY=VALUE", "list what could go: checkpoints of finished runs, torn files, more")
    gc.add_argument("--yes", action="store_true", help="and remove it")
    for one in (plan, run, retry):
        _add_launch_options(one, starts=one is not plan)
    return parser


def _add_launch_options(parser: argparse.ArgumentParser, *, starts: bool) -> None:
    parser.add_argument("--slots", type=int, help="runs at a time (default: one per GPU, else one per core)")
    if starts:
        search = "Optuna storage of a search (default: a file in the study)"
        parser.add_argument("--storage", metavar="URL", help=search)
        told = "go on although code, data or config have changed, and record it"
        parser.add_argument("--allow-drift", action="store_true", help=told)


if __name__ == "__main__":
    sys.exit(main())
