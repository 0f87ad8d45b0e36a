"""Countdown (see countdown.py) with 4 to 6 digits and targets from 10 to 999: the task of the micro world.

Its problems are drawn from a fixed seed when they are wanted. `train` has as many as the training set of MATH.
"""

import functools

from agrae_lab.tasks.text.countdown import Countdown, make_splits

NUM_DIGITS = range(4, 7)
TARGETS = range(10, 1000)
NUM_PROBLEMS = {"tune": 256, "test": 512, "train": 7500}  # in the order in which they are drawn


@functools.cache
def splits() -> dict[str, list[dict[str, str | int]]]:
    """Return the disjoint sets of problems by name; callers must not modify them."""
    return make_splits(NUM_PROBLEMS, num_digits=NUM_DIGITS, targets=TARGETS)


class CountdownMicro(Countdown):
    name = "countdown_micro"

    def problems(self, split: str) -> list[dict[str, str | int]]:
        return splits()[split]


TASK = CountdownMicro()
