"""Settings that differ between the arms of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from agrae_lab.runs import differing, settings
from analysis.io.study import Study


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
    configs = [settings(runs[0].config) for runs in study.arms.values()]
    return [
        Difference(key, tuple(yaml_text(config[key]) if key in config else None for config in configs))
        for key in differing([runs[0].config for runs in study.arms.values()])
    ]
