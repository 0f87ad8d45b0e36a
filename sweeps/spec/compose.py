"""Overrides → composed configs. Hydra takes 0.2 s for each, so what cells share is composed once."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from sweeps.errors import close_match, one_sentence, raise_if_asked, unknown_override
from sweeps.spec.axes import Settings, override

CONFIG_DIR = Path(__file__).resolve().parents[2] / "conf"
CONFIG_NAME = "config"


@contextmanager
def config_dir(path: Path) -> Iterator[None]:
    """Configs of `path` can be composed inside this block."""
    with hydra.initialize_config_dir(str(path.resolve()), version_base="1.3"):
        yield


def compose(overrides: Sequence[str]) -> DictConfig:
    """The config without Hydra's own section.

    Raises:
        ValueError: an unknown key, with the nearest one, or whatever else Hydra refuses, in one sentence.
    """
    try:
        return hydra.compose(CONFIG_NAME, list(overrides))
    except ConfigCompositionException as error:
        raise_if_asked(error)
        key = unknown_override(error)
        if key is None:
            raise ValueError(one_sentence(error)) from error
        others = [word for word in overrides if word.partition("=")[0] != key]
        known = hydra.compose(CONFIG_NAME, others) if len(others) < len(overrides) else None
        raise ValueError(_lacks(key, known)) from error


class Composer:
    """Composes the cells of one study, each as `compose([*base, *settings])` would, but in milliseconds.

    Hydra's work is in following the defaults list, which depends on the choices of groups alone; all other overrides
    it sets in the finished config, one after the other, and so can we.
    """

    def __init__(self, base: Sequence[str]) -> None:
        self._base = list(base)
        self._by_choices: dict[tuple[str, ...], DictConfig | ValueError] = {}
        self._groups: dict[str, bool] = {}

    def compose(self, settings: Settings) -> DictConfig:
        """Base and settings, in this order.

        Raises:
            ValueError: as of `compose`.
            omegaconf.errors.OmegaConfBaseException: a value that does not fit its key.
        """
        choices = {key: value for key, value in settings.items() if self._is_choice(key, value)}
        shared = self._shared(tuple(override(key, value) for key, value in choices.items()))
        config = copy.deepcopy(shared)
        for key, value in settings.items():
            if key in choices:
                continue
            try:
                OmegaConf.update(config, key, value, merge=True)
            except (ConfigAttributeError, ConfigKeyError) as error:
                raise_if_asked(error)
                raise ValueError(_lacks(key, shared)) from error
        return config

    def _shared(self, choices: tuple[str, ...]) -> DictConfig:
        """What all cells with these choices of groups have in common, a mistake too."""
        if choices not in self._by_choices:
            try:
                self._by_choices[choices] = compose([*self._base, *choices])
            except ValueError as error:
                self._by_choices[choices] = error
        shared = self._by_choices[choices]
        if isinstance(shared, ValueError):
            raise shared
        return shared

    def _is_choice(self, key: str, value: Any) -> bool:
        """Whether Hydra takes key=value for the choice of a group; a mapping is merged into the group's section."""
        if key not in self._groups:
            self._groups[key] = bool(GlobalHydra.instance().config_loader().get_group_options(key))
        return self._groups[key] and not isinstance(value, Mapping)


def _lacks(key: str, config: DictConfig | None) -> str:
    """A sentence about a key that this config does not have."""
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
