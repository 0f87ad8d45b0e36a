"""Advantage estimators: the subject of the project. Needs torch alone.

    estimator = make("a_grae", flavor="official")
    advantages_PG = estimator(rewards_PG)          # [P, G]: P prompts, G completions of each

A stateful estimator gives advantages and its new state:

    advantages_PG, state = estimator.step(rewards_PG, state=state)
"""

from agrae_lab.advantages.diagnostics import Diagnostics, diagnose
from agrae_lab.advantages.estimator import FLAVORS, SLOTS, Context, Estimator, Link, field_names, link, links
from agrae_lab.advantages.presets import (
    differences_from_preset,
    from_slots,
    make,
    preset_names,
    preset_slots,
    without_idle_match,
)

__all__ = [
    "FLAVORS",
    "SLOTS",
    "Context",
    "Diagnostics",
    "Estimator",
    "Link",
    "diagnose",
    "differences_from_preset",
    "field_names",
    "from_slots",
    "link",
    "links",
    "make",
    "preset_names",
    "preset_slots",
    "without_idle_match",
]
