"""Run sweeps of experiments and studies, show their status, and collect their results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agrae_lab.runs import RunError
from sweeps import commands
from sweeps.errors import PlanError, disk_sentence
from sweeps.launch.cells import (
    BAD_PLAN,
    INTERRUPTED,
    PRELOAD,
    SOME_NOT_DONE,
    STOPPED_HINT,
    TRAIN_MODULE,
    print_refusal,
)
from sweeps.spec.compose import CONFIG_DIR
from sweeps.spec.study import describe_keys

_WORDS = """
Words: a file of sweeps/studies, or any .yaml file, is a study; other words are experiments (files of conf/experiment),
or runs, cells, arms and roots where the command takes those; words with '=' are Hydra overrides.
"""
_EXAMPLES = """
examples:
  python -m sweeps plan my_study.yaml root=runs/mine
  python -m sweeps run group_symmetry a_grae root=runs/demo
"""
_EXIT_CODES = """
Exit codes: 0 all done; 1 some failed, diverged, or are busy elsewhere; 2 nothing started; 130 stopped on request.
"""


def main(
    argv: Sequence[str] | None = None,
    *,
    config_dir: Path = CONFIG_DIR,
    train_module: str = TRAIN_MODULE,
    preload: Sequence[str] = PRELOAD,
) -> int:
    """Execute the command line and return the exit code."""
    given = _read(argv)
    launching = given.command in ("run", "retry", "protocol")
    given.config_dir, given.train_module, given.preload = config_dir, train_module, preload
    try:
        code: int = getattr(commands, given.command)(given)
        return code
    except PlanError as error:
        return print_refusal(error, launching=launching)
    except RunError as error:
        print(error, file=sys.stderr)
        return SOME_NOT_DONE if launching else BAD_PLAN
    except OSError as error:  # for example a full disk; what was written before is whole, and resumes
        print(f"{disk_sentence(error)}; then repeat the command, which resumes", file=sys.stderr)
        return SOME_NOT_DONE if launching else BAD_PLAN
    except KeyboardInterrupt:  # while no run is active
        print(STOPPED_HINT if launching else "stopped", file=sys.stderr)
        return INTERRUPTED


def _read(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    given, more = parser.parse_known_args(argv)  # argparse leaves words after an option in `more`
    if any(word.startswith("-") for word in more):
        return parser.parse_args(argv)
    given.words += more
    return given


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m sweeps", description=__doc__, epilog=_EXAMPLES + _WORDS + _EXIT_CODES, formatter_class=raw
    )
    parsers = parser.add_subparsers(dest="command", required=True)

    def command(name: str, metavar: str, summary: str, examples: tuple[str, str], more: str = "") -> Any:
        lines = "".join(f"\n  python -m sweeps {name} {words}" for words in examples)
        text = f"Examples:{lines}\n{_WORDS}{more}"
        made = parsers.add_parser(name, help=summary, description=f"{summary}.", epilog=text, formatter_class=raw)
        made.add_argument("words", nargs="+", metavar=metavar)
        return made

    to_launch, to_inspect = "STUDY|EXPERIMENT|KEY=VALUE", "STUDY|ROOT|KEY=VALUE"
    keys = "\nKeys of a study, each with its type and default:\n\n" + "\n".join(describe_keys())
    examples = ("my_study.yaml root=runs/mine", "group_symmetry a_grae root=runs/demo")
    plan = command("plan", to_launch, "Preview a launch; start and write nothing", examples, keys)
    examples = ("my_study.yaml root=runs/mine", "a_grae 'seed=range(0,3)' train.num_steps=10")
    run = command("run", to_launch, "Start a study or experiments, or resume them", examples, _EXIT_CODES)
    examples = ("my_study.yaml root=runs/mine", "my_study.yaml root=runs/mine --slots 2")
    summary = "Tune, freeze and confirm a study with a protocol, or resume it"
    protocol = command("protocol", "STUDY|KEY=VALUE", summary, examples, _EXIT_CODES)
    examples = ("my_study.yaml root=runs/mine --watch", "runs/mine --json")
    status = command("status", to_inspect, "Show the status of a study's runs, or of all runs in a root", examples)
    form = status.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, for scripts")
    form.add_argument("--watch", action="store_true", help="update the table every second until all runs have ended")
    examples = ("my_study.yaml root=runs/mine", "my_study.yaml root=runs/mine --diverged")
    retry = command("retry", "STUDY|KEY=VALUE", "Execute the failed runs of a study again", examples, _EXIT_CODES)
    retry.add_argument("--diverged", action="store_true", help="also retry the diverged runs")
    examples = ("my_study.yaml root=runs/mine", "runs/mine --out all.csv")
    collect = command("collect", to_inspect, "Write a table with settings and values of all runs", examples)
    place = "a .parquet or .csv file (default: runs.parquet in the study's directory, or in the root)"
    collect.add_argument("--out", type=Path, help=place)
    examples = ("grpo a_grae root=runs/mine", "my_study.yaml grpo-1a2b3c4d/seed-0 grpo-1a2b3c4d/seed-1 root=runs/mine")
    command("compare", "[STUDY] A B|KEY=VALUE", "Compare two runs, cells or arms in settings and Pass@k", examples)
    examples = ("my_study.yaml root=runs/mine", "my_study.yaml root=runs/mine --out copy")
    export = command("export", "STUDY|KEY=VALUE", "Copy a study without checkpoints and models", examples)
    export.add_argument("--out", type=Path, help="a new folder or .tar.gz (default: <study>.tar.gz here)")
    examples = ("my_study.yaml root=runs/mine", "runs/mine --yes")
    listed = (
        "checkpoints of finished runs, partial files and, for a ROOT, unfinished runs that no study or experiment names"
    )
    gc = command("gc", to_inspect, f"List what can be removed: {listed}", examples)
    gc.add_argument("--yes", action="store_true", help="remove all that is listed, whole runs included")
    for launching in (plan, run, retry, protocol):
        _add_launch_options(launching, starts=launching is not plan, has_storage=launching in (run, retry))
    return parser


def _add_launch_options(parser: argparse.ArgumentParser, *, starts: bool, has_storage: bool) -> None:
    configs = "a folder of your own experiments, worlds, ..., laid out as conf/, beside the project's"
    parser.add_argument("--config-dir", "-cd", dest="user_configs", type=Path, metavar="DIR", help=configs)
    slots = "runs at a time (default: the study's resources.slots, else one per GPU, or one per core without GPUs)"
    parser.add_argument("--slots", type=int, help=slots)
    engine = "where the runs are executed: this machine, a Slurm or a Ray cluster (default: the study's, else local)"
    parser.add_argument("--engine", choices=("local", "slurm", "ray"), help=engine)
    if has_storage:
        storage = "Optuna storage of a search (default: optuna.db in the study's directory)"
        parser.add_argument("--storage", metavar="URL", help=storage)
    if starts:
        drift = "run although code, data or config have changed since the runs were first launched; record the changes"
        parser.add_argument("--allow-drift", action="store_true", help=drift)


if __name__ == "__main__":
    sys.exit(main())
