"""In which settings the arms of a study differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from agrae_lab.runs import DERIVED, VOLATILE
from analysis.io.study import Study, leaves

_OF_EVERY_RUN = (*VOLATILE, *DERIVED, "seed", "arm")


@dataclass(frozen=True)
class Difference:
    """One setting in which arms differ; `values` in the order of the arms, None where an arm does not have it."""

    key: str
    values: tuple[str | None, ...]


def word(value: Any) -> str:
    """A setting's value as a config file has it, on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).removesuffix("\n").removesuffix("\n...")


def differences(study: Study) -> list[Difference]:
    """Settings whose values are not the same in all arms, in the config's order; runs of one arm share theirs."""
    configs = [dict(leaves(runs[0].config)) for runs in study.arms.values()]
    found = []
    for key in dict.fromkeys(key for config in configs for key in config):
        if key.split(".")[0] in _OF_EVERY_RUN:
            continue
        values = tuple(word(config[key]) if key in config else None for config in configs)
        if len(set(values)) > 1:
            found.append(Difference(key, values))
    return found
