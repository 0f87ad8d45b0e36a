"""Choices of the config group `advantage` that no file of conf/ holds: own estimators, and chains of links.

    advantage=my_file:MyEstimator     advantage/sample=my_file:MyWeight     advantage/sample=focal+dynamic

Hydra asks every source of its search path for a config. This one answers for choices with a colon or, in a slot, with a
plus sign, so that they stand beside presets in overrides, axes of experiments and studies.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.plugin import Plugin
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

GROUP = "advantage/"
_IN_SLOT = re.compile("(?P<slot>base|sample|group|token|match)/(?P<choice>.+)")
_SLOTS = {"base": "grpo", "sample": "none", "group": "none", "token": "none", "match": "none"}


class OwnEstimators(ConfigSource):
    """Config source of choices such as `advantage/my_file:MyEstimator`."""

    @staticmethod
    def scheme() -> str:
        """Return the scheme of this source's address."""
        return "own-estimators"

    def load_config(self, config_path: str) -> ConfigResult:
        """Return an own estimator as a preset, or the links of one slot.

        Raises:
            hydra.errors.ConfigCompositionException: no such file or class, or a class that is no estimator.
        """
        try:
            choice = config_path.removeprefix(GROUP).removesuffix(".yaml")
            in_slot = _IN_SLOT.fullmatch(choice)
            node = OmegaConf.create(slot_choice(**in_slot.groupdict()) if in_slot else own_preset(choice))
        except ValueError as error:
            raise ConfigCompositionException(str(error)) from error
        return ConfigResult(config=node, path=self.full_path(), provider=self.provider, header={"package": None})

    def is_group(self, config_path: str) -> bool:
        """Return False: the group's folder is in conf/."""
        return False

    def is_config(self, config_path: str) -> bool:
        """Return True for a choice with a colon or a chain of a slot, which no file of conf/ has."""
        choice = config_path.removeprefix(GROUP)
        is_chain = "+" in choice and _IN_SLOT.fullmatch(choice) is not None
        return config_path.startswith(GROUP) and (":" in choice or is_chain)

    def available(self) -> bool:
        """Return True: the user's files are looked for when one is named."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return []: nobody knows all files of the user."""
        return []


class OwnEstimatorsSearchPath(SearchPathPlugin):
    """Addition of the source to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the source."""
        search_path.append(OwnEstimators.scheme(), f"{OwnEstimators.scheme()}://")


def register(*plugins: type[Plugin]) -> None:
    """Make plugins known to Hydra; twice does no harm."""
    for plugin in plugins:
        if plugin not in Plugins.instance().discover(None):
            Plugins.instance().register(plugin)


def own_preset(target: str) -> dict[str, Any]:
    """Return the config of the estimator `my_file:MyEstimator`, as of a file in conf/advantage.

    Raises:
        ValueError: no such file or class, or a class that is no estimator.
    """
    from agrae_lab.advantages.external import load_class  # imports torch

    cls: Any = load_class(target)
    slot = getattr(cls, "SLOT", "base")
    if slot not in _SLOTS:
        raise ValueError(f"{target}: SLOT must be one of {', '.join(_SLOTS)}, got {slot!r}")
    others = [{key: choice} for key, choice in _SLOTS.items() if key != slot]
    link = {"_target_": target} | {field.name: None for field in fields(cls)}
    return {"defaults": [*others, "_self_"], "name": cls.name, "flavor": "paper", slot: link}


def slot_choice(slot: str, choice: str) -> dict[str, Any]:
    """Return the config of a slot: a link of the user's own file, or a chain such as `focal+my_file:MyWeight`.

    Raises:
        ValueError: an unknown link, a slot that takes no chain, or as `load_class`.
    """
    from agrae_lab.advantages.chain import link_settings  # imports torch

    sections = dict(_link(slot, part["name"]) for part in link_settings(slot, choice))
    if len(sections) == 1:
        return next(iter(sections.values()))
    return {"name": "+".join(sections), **sections}


def _link(slot: str, choice: str) -> tuple[str, dict[str, Any]]:
    """Return the name of a link and its settings, null for the flavor's values."""
    from agrae_lab.advantages import links
    from agrae_lab.advantages.estimator import unknown_name_message
    from agrae_lab.advantages.external import load_class

    if ":" in choice:
        cls: Any = load_class(choice)
        return cls.name, {"_target_": choice} | {field.name: None for field in fields(cls)}
    if choice not in links(slot):
        raise ValueError(unknown_name_message(f"advantage.{slot}", choice, links(slot)))
    return choice, {field.name: None for field in fields(links(slot)[choice])}
