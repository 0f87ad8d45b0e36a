"""Composition of configs from overrides. Hydra takes 0.2 s for each, so the common part of cells is composed once."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import hydra
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from agrae_lab.runs.hydra_overrides import for_hydra, is_whole_link, with_chains
from agrae_lab.runs.suggestions import close_match
from sweeps.errors import PlanError, one_sentence, reraise_if_full_error, unknown_override
from sweeps.spec.axes import Settings, override
from sweeps.spec.own_estimators import OwnEstimators, OwnEstimatorsSearchPath, register

CONFIG_DIR = Path(__file__).resolve().parents[2] / "conf"
CONFIG_NAME = "config"


class UserConfigs(SearchPathPlugin):
    """Folder of the user's configs, which Hydra searches after its own: files there add to the groups of conf/."""

    folder: ClassVar[Path | None] = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder."""
        if self.folder is not None:
            search_path.append("command-line", f"file://{self.folder}")


@contextmanager
def config_dir(path: Path, user: Path | None = None) -> Iterator[None]:
    """Make the configs of `path`, and of a folder of the user beside it, available to `compose` inside this block.

    Raises:
        PlanError: there is no such folder of the user.
    """
    if user is not None and not user.is_dir():
        raise PlanError([f"--config-dir {user}: there is no such directory; name one that is laid out as conf/"])
    register(OwnEstimators, OwnEstimatorsSearchPath, UserConfigs)
    UserConfigs.folder = user.resolve() if user is not None else None
    with hydra.initialize_config_dir(str(path.resolve()), version_base="1.3"):
        yield


def compose(overrides: Sequence[str]) -> DictConfig:
    """Return the config without Hydra's own section.

    Raises:
        ValueError: one sentence for an unknown key, with the nearest known one, and for any other error of Hydra.
    """
    overrides = for_hydra(overrides)
    try:
        return hydra.compose(CONFIG_NAME, overrides)
    except ConfigCompositionException as error:
        reraise_if_full_error(error)
        key = unknown_override(error)
        if key is None:
            raise ValueError(one_sentence(error)) from error
        others = [word for word in overrides if word.partition("=")[0] != key]
        known = hydra.compose(CONFIG_NAME, for_hydra(others)) if len(others) < len(overrides) else None
        raise ValueError(_unknown_key_sentence(key, known)) from error


class Composer:
    """Composer of the cells of one study, with the result of `compose([*base, *settings])` in milliseconds each.

    Most of Hydra's time goes into the defaults list, which depends on the choices of config groups alone. It applies
    all other overrides to the finished config, one by one; this class does the same.
    """

    def __init__(self, base: Sequence[str]) -> None:
        self._base = list(base)
        self._by_choices: dict[tuple[str, ...], bytes | ValueError] = {}  # pickled: copied five times as fast
        self._groups: dict[str, bool] = {}

    def compose(self, settings: Settings) -> DictConfig:
        """Return the config of the base and these settings, in this order.

        Raises:
            ValueError: as `compose`.
            omegaconf.errors.OmegaConfBaseException: a value of the wrong type.
        """
        choices = {key: value for key, value in settings.items() if self._is_choice(key, value)}
        shared = self._shared(tuple(override(key, value) for key, value in choices.items()))
        config: DictConfig = pickle.loads(shared)
        for key, value in settings.items():
            if key in choices:
                continue
            try:
                if is_whole_link(key, value):
                    OmegaConf.update(config, key, value, merge=False, force_add=True)
                else:
                    OmegaConf.update(config, key, value, merge=True, force_add=_is_own_field(config, key))
            except (ConfigAttributeError, ConfigKeyError) as error:
                reraise_if_full_error(error)
                raise ValueError(_unknown_key_sentence(key, pickle.loads(shared))) from error
        return config

    def _shared(self, choices: tuple[str, ...]) -> bytes:
        """Return the pickled config that all cells with these choices share, or raise the error that they share."""
        if choices not in self._by_choices:
            try:
                self._by_choices[choices] = pickle.dumps(compose([*self._base, *choices]))
            except ValueError as error:
                self._by_choices[choices] = error
        shared = self._by_choices[choices]
        if isinstance(shared, ValueError):
            raise shared
        return shared

    def _is_choice(self, key: str, value: Any) -> bool:
        """Return True if key=value chooses from a config group, and is not a mapping merged into it."""
        if key not in self._groups:
            self._groups[key] = bool(GlobalHydra.instance().config_loader().get_group_options(key))
        is_chain = with_chains(word := override(key, value)) != word  # a list of links, for a slot's section
        return is_chain or (self._groups[key] and not isinstance(value, Mapping))


def _is_own_field(config: DictConfig, key: str) -> bool:
    """Return True if the key is a field of a link that a class of the user's has replaced by `_target_`."""
    section, _, _ = key.rpartition(".")
    link = OmegaConf.select(config, section) if section.startswith("advantage.") else None
    return isinstance(link, DictConfig) and link.get("_target_") is not None


def _unknown_key_sentence(key: str, config: DictConfig | None) -> str:
    """Return a sentence about a key that this config lacks."""
    known = [*(_dotted_keys(config) if config is not None else ()), *_group_names()]
    return f"the configuration has no key '{key}'; {close_match(key, known) or f'write +{key}=... to add it'}"


def _dotted_keys(config: DictConfig) -> Iterator[str]:
    pending: list[tuple[str, Any]] = [("", OmegaConf.to_container(config, resolve=False))]
    while pending:
        prefix, node = pending.pop()
        if isinstance(node, dict):
            for key, value in node.items():
                yield f"{prefix}{key!s}"
                pending.append((f"{prefix}{key!s}.", value))


def _group_names(parent: str = "") -> Iterator[str]:
    for name in GlobalHydra.instance().config_loader().list_groups(parent):
        if (group := f"{parent}/{name}".lstrip("/")) != "hydra":
            yield group
            yield from _group_names(group)
