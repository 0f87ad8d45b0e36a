"""Steps whose policies a run evaluates, by evaluation.at_steps of its config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LAST = "last"


def steps_to_evaluate(config: Mapping[str, Any]) -> list[int]:
    """Return the steps of evaluation.at_steps in order; step 0 is the base model."""
    chosen, last = config["evaluation"].get("at_steps"), config["train"]["num_steps"]
    if chosen is None:
        return []
    steps = (
        {*range(0, last + 1, chosen), last} if isinstance(chosen, int) else {last if s == LAST else s for s in chosen}
    )
    return sorted(steps)


def steps_to_keep(config: Mapping[str, Any]) -> list[int]:
    """Return the steps whose policies training must keep: all but the base model and the last."""
    return [step for step in steps_to_evaluate(config) if 0 < step < config["train"]["num_steps"]]
