"""Simulations of the project's own statistics, printed as tables.

python -m analysis.simulation sequential [looks=3,5,8,12,16] [alpha=0.05] [experiments=20000]

`sequential`: error rates, power and numbers of seeds of the rule that stops a study when its answer is clear.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from analysis.simulation import sequential
from analysis.statistics.sequential import Rule

_DEFAULTS = {"looks": "3,5,8,12,16", "alpha": "0.05", "experiments": str(sequential.NUM_EXPERIMENTS)}


def main(arguments: Sequence[str]) -> int:
    """Print the tables of a simulation and return the exit status: 0, or 2 for a command that cannot be carried out."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    name, *words = arguments
    if name != "sequential":
        print(f"there is no simulation {name!r}. Write: sequential", file=sys.stderr)
        return 2
    given = dict(word.partition("=")[::2] for word in words)
    if unknown := sorted(given.keys() - _DEFAULTS.keys()):
        print(f"{unknown[0]}: no such setting. Write one of {', '.join(_DEFAULTS)} as key=value", file=sys.stderr)
        return 2
    values = _DEFAULTS | given
    try:
        looks = tuple(int(word) for word in values["looks"].split(","))
        alpha, num_experiments = float(values["alpha"]), int(values["experiments"])
        Rule(looks, 1.0, alpha, sequential.NUM_COMPARISONS)
        if num_experiments < 1:
            raise ValueError(f"experiments must be 1 or more, got {num_experiments}")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    for line in sequential.report(looks, alpha, num_experiments=num_experiments):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
