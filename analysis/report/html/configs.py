"""Settings that differ between the arms of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from agrae_lab.runs import DERIVED, NOT_RESULT_SECTIONS, leaves
from analysis.io.study import Study

_NOT_COMPARED = (*NOT_RESULT_SECTIONS, *DERIVED, "seed", "arm")


@dataclass(frozen=True)
class Difference:
    """A setting that differs between arms; `values` in the order of the arms, None for an arm without it."""

    key: str
    values: tuple[str | None, ...]


def yaml_text(value: Any) -> str:
    """Return a setting's value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).removesuffix("\n").removesuffix("\n...")


def differences(study: Study) -> list[Difference]:
    """Return the settings whose values differ between arms, in the config's order; runs of one arm agree."""
    configs = [dict(leaves(runs[0].config)) for runs in study.arms.values()]
    found = []
    for key in dict.fromkeys(key for config in configs for key in config):
        if key.split(".")[0] in _NOT_COMPARED:
            continue
        values = tuple(yaml_text(config[key]) if key in config else None for config in configs)
        if len(set(values)) > 1:
            found.append(Difference(key, values))
    return found
