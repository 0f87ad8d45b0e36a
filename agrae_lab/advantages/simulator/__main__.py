"""Simulate estimators on softmax policies from one start: `[estimator ...] out=<dir> [setting=value ...]`.

    python -m agrae_lab.advantages.simulator out=runs/theory
    python -m agrae_lab.advantages.simulator grpo w_reinforce out=runs/other seed=1 num_steps=1000

All estimators (by default grpo, positive_dominant, negative_dominant and a_grae) start from the same policy and share
the random numbers of their draws. Settings: seed, num_prompts, num_trajectories, num_generations, num_steps,
learning_rate, record_every. Files in the directory:

    simulation.csv      estimator, step and the columns of `Records`
    logit_updates.csv   one step of one small behaviour space under GRPO and under suppressed positives (`example.py`)
    update_mass.csv     Σ|A| of a group against its success rate, in the first step, whose draws all estimators share
    simulation.json     settings, estimators with every field, versions

Exit status: 0, or 2 for a wrong command line, and nothing is written.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from agrae_lab.advantages.estimator import Estimator
from agrae_lab.advantages.presets import make
from agrae_lab.advantages.simulator.dynamics import KS, check_simulable, simulate, steps
from agrae_lab.advantages.simulator.example import logit_update_rows
from agrae_lab.advantages.simulator.space import BehaviourSpace, behaviour_space

SCHEMA_VERSION = 1
ESTIMATORS = ("grpo", "positive_dominant", "negative_dominant", "a_grae")
EXAMPLES = ("grpo", "negative_dominant")  # symmetric, and positives suppressed
SETTINGS: dict[str, int | float] = {
    "seed": 0,
    "num_prompts": 1000,
    "num_trajectories": 64,
    "num_generations": 8,
    "num_steps": 500,
    "learning_rate": 0.05,
    "record_every": 10,
}


def main(arguments: Sequence[str]) -> int:
    """Run the command and return the exit status."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    try:
        estimators, out, settings = parse(arguments)
        tables = run(estimators, settings)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for name, rows in tables.items():
        write(out / f"{name}.csv", csv_text(rows))
    about = {
        "schema_version": SCHEMA_VERSION,
        **settings,
        "ks": list(KS),
        "estimators": {estimator.name: estimator.settings() for estimator in estimators},
        "torch": torch.__version__,
        "num_threads": torch.get_num_threads(),
    }
    write(out / "simulation.json", json.dumps(about, indent=2) + "\n")
    for row in tables["simulation"]:
        if row["step"] == settings["num_steps"]:
            print(
                f"{row['estimator']}, step {row['step']}: Pass@1 {row['pass_at_1']:.3f}, entropy {row['entropy']:.3f}"
            )
    print(f"{out / 'simulation.csv'}; figures: python -m analysis simulation={out}")
    return 0


def parse(arguments: Sequence[str]) -> tuple[list[Estimator], Path, dict[str, Any]]:
    """Return estimators, output folder and every setting.

    Raises:
        ValueError: an unknown estimator or setting, a value that is no number, or no `out`.
    """
    names = [argument for argument in arguments if "=" not in argument]
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if not (out := given.pop("out", "")):
        raise ValueError("out is missing; write python -m agrae_lab.advantages.simulator out=<dir>")
    if unknown := sorted(given.keys() - SETTINGS.keys()):
        raise ValueError(f"unknown setting {', '.join(unknown)}; choose from out, {', '.join(SETTINGS)}")
    settings = SETTINGS | {name: _number(name, value) for name, value in given.items()}
    return [make(name) for name in dict.fromkeys(names or ESTIMATORS)], Path(out), settings


def run(estimators: Sequence[Estimator], settings: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the three tables by name. Every estimator is checked before the first one runs.

    Raises:
        ValueError: an estimator that cannot be simulated, or a setting out of range.
    """
    sizes = {name: settings[name] for name in ("num_prompts", "num_trajectories", "seed")}
    dynamics = {name: settings[name] for name in ("num_generations", "learning_rate", "seed")}
    length = {name: settings[name] for name in ("num_steps", "record_every")}
    for estimator in estimators:
        check_simulable(estimator, num_generations=settings["num_generations"])
    space = behaviour_space(**sizes)
    simulation = [
        {"estimator": estimator.name, **row}
        for estimator in estimators
        for row in simulate(estimator, space, **dynamics, **length).rows()
    ]
    return {
        "simulation": simulation,
        "logit_updates": logit_update_rows([make(name) for name in EXAMPLES]),
        "update_mass": [row for estimator in estimators for row in mass_rows(estimator, space, **dynamics)],
    }


def mass_rows(estimator: Estimator, space: BehaviourSpace, **dynamics: Any) -> list[dict[str, Any]]:
    """Return Σ|A| of the first step's groups by success rate p: mean, lowest, highest, and the number of groups."""
    moment = next(steps(estimator, space, **dynamics))
    mass_P, p_P = moment.advantages_PG.double().abs().sum(dim=1), moment.rewards_PG.double().mean(dim=1)
    rows = []
    for p in p_P.unique():
        masses = mass_P[p_P == p]
        low, high = masses.aminmax()
        spread = {"abs_sum": float(masses.mean()), "abs_sum_min": float(low), "abs_sum_max": float(high)}
        rows.append({"estimator": estimator.name, "p": float(p), "groups": len(masses), **spread})
    return rows


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write(path: Path, text: str) -> None:
    """Write under a temporary name, then rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def _number(name: str, text: str) -> int | float:
    kind = type(SETTINGS[name])
    try:
        return kind(text)
    except ValueError:
        words = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name} must be {words}, got {text!r}") from None


if __name__ == "__main__":
    torch.set_num_threads(1)  # the same bits on any number of cores
    sys.exit(main(sys.argv[1:]))
