"""Command line `agrae-lab`, also as `python -m agrae_lab`: one name in front of the project's commands."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from difflib import get_close_matches

# command → module and its first words, what the command does, an example
COMMANDS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "train": (
        ("agrae_lab.train",),
        "train and evaluate one run, or an experiment with -m",
        "advantage=a_grae seed=1",
    ),
    "evaluate": (
        ("agrae_lab.evaluate",),
        "add benchmarks or samples to trained runs",
        "runs/mine evaluation.num_samples=512",
    ),
    "sweep": (
        ("sweeps",),
        "plan, run, resume and inspect experiments and studies",
        "run group_symmetry root=runs/mine",
    ),
    "compare": (
        ("sweeps.compare",),
        "compare your estimator with another: train, evaluate, answer",
        "my_file:MyEstimator --against grpo --seeds 3",
    ),
    "analyze": (
        ("analysis",),
        "draw figures, tables, verdicts and report.html of a root",
        "runs=runs/mine",
    ),
    "track": (
        ("agrae_lab.track",),
        "send recorded metrics to Weights & Biases or TensorBoard",
        "push runs/mine/grpo-1a2b3c4d/seed-0 tracking=wandb",
    ),
    "estimators": (
        ("agrae_lab.advantages",),
        "list the advantage estimators, or check your own",
        "check my_file:MyEstimator",
    ),
    "simulate": (
        ("agrae_lab.advantages.simulator",),
        "train softmax policies with any estimator, in seconds",
        "grpo a_grae out=runs/theory",
    ),
    "difficulty": (
        ("agrae_lab.difficulty",),
        "filter or sort training problems by their recorded success rate",
        "runs/mine/grpo-1a2b3c4d/seed-0 out=mixed.jsonl low=0.01 high=0.99",
    ),
    "audit": (
        ("analysis", "audit"),
        "check a published Pass@k table for consistency",
        "table.csv",
    ),
}


def usage() -> str:
    """Return the help text: every command with a sentence and an example."""
    lines = ["usage: agrae-lab <command> [...]", "", "Lab bench for advantage estimators in RLVR.", ""]
    lines += [f"  {name:11}{sentence}" for name, (_, sentence, _) in COMMANDS.items()]
    lines += ["", "examples:"]
    lines += [f"  agrae-lab {name} {example}" for name, (_, _, example) in COMMANDS.items()]
    lines += [
        "",
        "agrae-lab <command> --help says more. Completion of commands in bash:",
        f'  complete -W "{" ".join(COMMANDS)}" agrae-lab',
        'Completion of config keys (Hydra): eval "$(python -m agrae_lab.train -sc install=bash)"',
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command with the words after it; the process's exit status is the command's.

    Returns:
        0 after help; 2 for a command that does not exist. A command that runs ends the process itself.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, *rest = words
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(COMMANDS)}"
        print(f"agrae-lab: there is no command {name!r}; {hint}", file=sys.stderr)
        return 2
    module, *first = COMMANDS[name][0]
    sys.argv = [f"agrae-lab {name}", *first, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
