"""Estimators of the user's own files as choices of the config group `advantage`: `advantage=my_file:MyEstimator`.

Hydra asks every source of its search path for a config. This one answers for choices with a colon, so that an own
estimator stands beside presets in overrides, axes of experiments and studies.
"""

from __future__ import annotations

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
_SLOTS = {"base": "grpo", "sample": "none", "group": "none", "token": "none", "match": "none"}


class OwnEstimators(ConfigSource):
    """Config source of choices such as `advantage/my_file:MyEstimator`."""

    @staticmethod
    def scheme() -> str:
        """Return the scheme of this source's address."""
        return "own-estimators"

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the preset of an own estimator: its class in its slot, all other slots as of plain GRPO.

        Raises:
            hydra.errors.ConfigCompositionException: no such file or class, or a class that is no estimator.
        """
        try:
            node = OmegaConf.create(own_preset(_target(config_path)))
        except ValueError as error:
            raise ConfigCompositionException(str(error)) from error
        return ConfigResult(config=node, path=self.full_path(), provider=self.provider, header={"package": None})

    def is_group(self, config_path: str) -> bool:
        """Return False: the group's folder is in conf/."""
        return False

    def is_config(self, config_path: str) -> bool:
        """Return True for a choice with a colon, which no file of conf/ has."""
        return config_path.startswith(GROUP) and ":" in config_path

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


def _target(config_path: str) -> str:
    return config_path.removeprefix(GROUP).removesuffix(".yaml")
