"""Compare advantage estimators: train and evaluate each, with the same seeds, and print the differences.

A candidate is a preset (`agrae-lab estimators` lists them) or a class of your own: my_file:MyEstimator,
path/to/my_file.py:MyEstimator. Words with '=' are Hydra overrides of all arms; root= names the directory of the runs.
The same command resumes: runs that are finished, also those of other experiments in that root, are not trained again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from agrae_lab import runs
from agrae_lab.runs import RunError
from sweeps.errors import PlanError, disk_sentence
from sweeps.execution.display import make_console
from sweeps.inspect import preview
from sweeps.launch.cells import (
    ALL_DONE,
    INTERRUPTED,
    PRELOAD,
    SOME_NOT_DONE,
    STOPPED_HINT,
    TRAIN_MODULE,
    load_freeze,
    print_refusal,
)
from sweeps.launch.protocol import launch_protocol, print_plan
from sweeps.launch.study import LaunchOptions, launch_study
from sweeps.planning.drift import read_code
from sweeps.planning.plan import plan_study
from sweeps.planning.run_dirs import list_run_dirs, seed_in_name
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec.comparison import AXIS, Request, comparison_study, until_clear
from sweeps.spec.compose import CONFIG_DIR, config_dir
from sweeps.spec.study import Study
from sweeps.targets import check_overrides, find_root, named_root, split_words

_EXAMPLES = """
examples:
  agrae-lab compare my_file:MyEstimator --against grpo --seeds 3
  agrae-lab compare a_grae negative_dominant --against dr_grpo --match l1 --metric pass@1,pass@64 root=runs/mine
  agrae-lab compare my_file:MyEstimator --until-clear --smallest-effect 2pp world=nano

Two trained runs or arms of a root are compared, without training, by `agrae-lab sweep compare A B root=runs/mine`.
Exit codes: 0 all done; 1 some runs failed or diverged; 2 nothing started; 130 stopped on request.
"""
_NUM_SEEDS, _BUDGET = 3, 12


def main(
    argv: Sequence[str] | None = None,
    *,
    conf: Path = CONFIG_DIR,
    train_module: str = TRAIN_MODULE,
    preload: Sequence[str] = PRELOAD,
) -> int:
    """Execute the command line and return the exit code."""
    given = _parse(argv)
    options = LaunchOptions(given.slots, given.allow_drift, train_module=train_module, preload=preload)
    try:
        names, overrides = split_words(given.words)
        with config_dir(conf, given.user_configs):
            study, directory = _find(given, names, overrides, conf, train_module)
            if given.until_clear:
                study, directory = _until_clear(study, directory, budget=given.seeds or _BUDGET)
            code = _run(study, directory, options)
        return _analyse(study, directory, code) if code in (ALL_DONE, SOME_NOT_DONE) else code
    except PlanError as error:
        return print_refusal(error)
    except RunError as error:
        print(error, file=sys.stderr)
        return SOME_NOT_DONE
    except OSError as error:  # for example a full disk; what was written before is whole, and resumes
        print(f"{disk_sentence(error)}; then repeat the command, which resumes", file=sys.stderr)
        return SOME_NOT_DONE
    except KeyboardInterrupt:
        print(STOPPED_HINT, file=sys.stderr)
        return INTERRUPTED


def _find(
    given: argparse.Namespace, names: Sequence[str], overrides: Sequence[str], conf: Path, train_module: str
) -> tuple[Study, StudyDirectory]:
    """Return the study of the command line and its directory."""
    if given.against is None and len(names) > 1:
        raise PlanError([_no_reference(names, given.words)])
    others = [word for word in overrides if named_root(word) is None]
    if seeds := [word for word in others if word.partition("=")[0].lstrip("+~") == "seed"]:
        raise PlanError([f"{seeds[0]!r}: give the number of seeds by --seeds, such as --seeds 3"])
    check_overrides(others, varied=(AXIS,))
    request = Request(
        candidates=tuple(names),
        reference=given.against or "grpo",
        num_seeds=given.seeds or _NUM_SEEDS,
        metrics=tuple(given.metric.split(",")) if given.metric else (),
        smallest_effect=given.smallest_effect or "",
        overrides=(*others, *([f"advantage/match={given.match}"] if given.match else [])),
    )
    study = comparison_study(request, load_freeze(train_module))
    return study, StudyDirectory(find_root(overrides, conf), study.name)


def _no_reference(names: Sequence[str], words: Sequence[str]) -> str:
    reference = "grpo" if "grpo" in names else names[0]
    others = " ".join(name for name in names if name != reference)
    return (
        f"compare: which of {', '.join(names)} is the reference? Name it by --against, as in `agrae-lab compare "
        f"{others} --against {reference}`, which trains all of them. Trained runs or arms of a root are compared by "
        f"`agrae-lab sweep compare {' '.join(words)}`"
    )


def _until_clear(study: Study, directory: StudyDirectory, *, budget: int) -> tuple[Study, StudyDirectory]:
    """Return the confirmatory study of a comparison, from its own frozen seeds or the first that no run has had."""
    clear = until_clear(study, budget=budget, first_seed=0)
    frozen = runs.read_frozen(runs.protocol_dir(directory.root, clear.name))
    used = (seed_in_name(path) for path in list_run_dirs(directory.root))
    first = frozen["seeds"][0] if frozen else max(used, default=-1) + 1
    return until_clear(study, budget=budget, first_seed=first), StudyDirectory(directory.root, clear.name)


def _run(study: Study, directory: StudyDirectory, options: LaunchOptions) -> int:
    """Show the plan, run or resume it, and return the exit code."""
    if study.protocol is not None:
        print(study.question)
        print_plan(study, directory, train_module=options.train_module)
        return launch_protocol(study, directory, replace(options, warns=False))  # print_plan has warned
    planned = plan_study(study, directory, train_module=options.train_module, code=read_code(options.train_module))
    print(study.question)
    preview.print_study(make_console(), planned, num_slots=options.num_slots)
    return launch_study(study, directory, replace(options, warns=False))  # print_study has warned


def _analyse(study: Study, directory: StudyDirectory, code: int) -> int:
    """Print the answer and write the report, in a process without the trainer's libraries."""
    words = [f"runs={directory.root}", f"experiment={study.name}"]
    ended = subprocess.run([sys.executable, "-m", "agrae_lab", "analyze", *words], check=False)
    return ended.returncode or code


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="agrae-lab compare", description=__doc__, epilog=_EXAMPLES, formatter_class=raw, allow_abbrev=False
    )
    parser.add_argument("words", nargs="+", metavar="CANDIDATE|KEY=VALUE")
    parser.add_argument("--against", metavar="REFERENCE", help="estimator to compare with, or base (default: grpo)")
    seeds = f"training seeds of each arm (default: {_NUM_SEEDS}), or the most for --until-clear (default: {_BUDGET})"
    parser.add_argument("--seeds", type=_count, help=seeds)
    clear = "add seeds in looks until every difference is clear: better, worse, or smaller than --smallest-effect"
    parser.add_argument("--until-clear", action="store_true", help=clear)
    parser.add_argument("--match", help="rescale all arms' batches to plain GRPO's update mass: l1 or l2")
    parser.add_argument("--metric", help="such as pass@1,pass@64 (default: k = 1, 16, 256, as far as n allows)")
    parser.add_argument("--smallest-effect", help="smallest difference that matters (default: 1pp)")
    parser.add_argument("--slots", type=int, help="runs at a time (default: one per GPU, else one per core)")
    drift = "run although code, data or config have changed since the freeze, and record the changes"
    parser.add_argument("--allow-drift", action="store_true", help=drift)
    configs = "a folder of your own worlds, ..., laid out as conf/, beside the project's"
    parser.add_argument("--config-dir", "-cd", dest="user_configs", type=Path, metavar="DIR", help=configs)
    given, more = parser.parse_known_args(argv)
    if any(word.startswith("-") for word in more):
        return parser.parse_args(argv)
    given.words += more
    if not split_words(given.words)[0]:
        parser.error("name at least one candidate, such as my_file:MyEstimator or a_grae")
    return given


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
