"""Chains: several links in one slot, applied in their order.

    make("grpo", sample=["focal", "dynamic"])
    advantage/sample=focal+dynamic advantage.sample.focal.gamma=1

The settings of a chain are `{"name": "focal+dynamic", "focal": {...}, "dynamic": {...}}`: the order stands in the name,
and each link has a section of its own. A link enters a chain once. `sample` and `group` take chains: weights that
multiply. Another slot takes one link, since only one can make advantages, spread them over tokens, or set their mass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SEPARATOR = "+"
CHAIN_SLOTS = ("sample", "group")


@dataclass(frozen=True)
class Chain:
    """Two links or more of one slot, in the order in which they are applied."""

    links: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The names of the links, joined by plus signs."""
        return SEPARATOR.join(link.name for link in self.links)


def links_in(slot_value: Any) -> tuple[Any, ...]:
    """Return the links of a slot's value, which is one link or a chain."""
    return slot_value.links if isinstance(slot_value, Chain) else (slot_value,)


def as_chain(links: Sequence[Any]) -> Any:
    """Return a single link as it is, more as a chain."""
    return links[0] if len(links) == 1 else Chain(tuple(links))


def link_settings(slot: str, settings: Any) -> list[Any]:
    """Return the settings of each link of a slot, from those of a link or of a chain in any form.

    A name, `focal+dynamic`, a list of names, settings or instances, or a mapping with a section for each link.

    Raises:
        ValueError: several links in a slot that takes one, an empty list, a link twice, or a section of no link.
    """
    if isinstance(settings, str):
        parts: list[Any] = [{"name": name} for name in settings.split(SEPARATOR)]
    elif isinstance(settings, (list, tuple)):
        parts = [{"name": entry} if isinstance(entry, str) else entry for entry in settings]
    elif isinstance(settings, Mapping) and SEPARATOR in str(settings.get("name")) and not settings.get("_target_"):
        parts = _sections(slot, settings)
    else:
        return [settings]
    if not parts:
        raise ValueError(f"advantage.{slot} must name a link, got an empty list; none is the empty slot")
    if len(parts) > 1:
        _check_chain(slot, [_label(part) for part in parts])
    return parts


def _sections(slot: str, settings: Mapping[str, Any]) -> list[Any]:
    names = str(settings["name"]).split(SEPARATOR)
    others = {key: value for key, value in settings.items() if key != "name" and value is not None}
    for key, section in others.items():
        if key not in names:
            raise ValueError(
                f"advantage.{slot} has no key {key!r}: it is the chain {settings['name']}, and the settings of a link "
                f"stand in its section, as in advantage.{slot}.{names[0]}"
            )
        if not isinstance(section, Mapping):
            raise ValueError(f"advantage.{slot}.{key} must be a section of that link's settings, got {section!r}")
    return [{"name": name, **others.get(name, {})} for name in names]


def _label(part: Any) -> str:
    if not isinstance(part, Mapping):
        return str(getattr(part, "name", part))
    return str(part.get("_target_") or part.get("name"))


def _check_chain(slot: str, names: Sequence[str]) -> None:
    chain = SEPARATOR.join(names)
    if slot not in CHAIN_SLOTS:
        raise ValueError(
            f"advantage.{slot} takes one link, got {chain}; {' and '.join(CHAIN_SLOTS)} take chains of several"
        )
    if "none" in names:
        raise ValueError(f"advantage.{slot} = {chain}: none is the empty slot and no part of a chain; leave it out")
    if len(set(names)) < len(names):
        raise ValueError(f"advantage.{slot} = {chain}: a link can stand in a chain once; name each once")
