"""Links made from a name, from settings of a config, or from an instance that a caller gives."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from agrae_lab.advantages import external
from agrae_lab.advantages.chain import SEPARATOR, as_chain, link_settings, links_in
from agrae_lab.advantages.estimator import SLOTS, field_names, links, unknown_name_message
from agrae_lab.advantages.settings import Link, settings_of


def make_slot(slot: str, settings: Any, *, flavor: str = "paper") -> Any:
    """Return the link or the chain of a slot, from settings in any form of `link_settings`.

    Raises:
        ValueError: as `make_link` and `link_settings`.
    """
    links_made = [make_link(slot, entry, flavor=flavor) for entry in link_settings(slot, settings)]
    if len({link_made.name for link_made in links_made}) < len(links_made):
        names = SEPARATOR.join(link_made.name for link_made in links_made)
        raise ValueError(f"advantage.{slot} = {names}: a link can stand in a chain once; name each once")
    return as_chain(links_made)


def make_link(slot: str, settings: Any, *, flavor: str = "paper") -> Any:
    """Return a link from `{"name": ..., field: value, ...}`; an absent or None field takes the flavor's value.

    `_target_: my_file.MyEstimator` in place of `name` makes a link of the user's own class; `_source_` then holds the
    fingerprint of that file. An instance of a link class is returned as it is. Numbers get the type that their field
    declares: 2 is 2.0 for a float, and 2.0 is 2 for an int.

    Raises:
        ValueError: unknown name or field (the choices are listed), a value out of bounds, a user's file that is missing
            or has changed since its fingerprint was taken, or a class or object that is no link of this slot.
    """
    if not isinstance(settings, Mapping):
        _check_instance(slot, settings)
        return settings
    given = {k: v for k, v in settings.items() if k not in ("name", "_target_", "_source_") and v is not None}
    if settings.get("_target_") is not None:
        cls = _own_class(slot, settings["_target_"], expected_source=settings.get("_source_"))
        name = cls.name
    else:
        choices, name = links(slot), settings.get("name")
        if not isinstance(name, str) or name not in choices:
            raise ValueError(unknown_name_message(f"advantage.{slot}", name, choices))
        cls = choices[name]
    fields = field_names(cls)
    if strange := sorted(given.keys() - set(fields), key=str):
        known = f"its fields are {', '.join(fields)}" if fields else "it has no fields"
        raise ValueError(f"advantage.{slot} {name!r} has no field {', '.join(map(str, strange))}; {known}")
    return _construct(slot, cls, {**flavor_values(cls, flavor), **given})


def flavor_values(cls: Any, flavor: str) -> Mapping[str, Any]:
    """Return the fields whose value in this flavor differs from the paper's, with that value."""
    return getattr(cls, flavor.upper(), {}) if flavor != "paper" else {}


def with_fields(slot: str, slot_value: Any, values: Mapping[str, Any]) -> Any:
    """Return a copy of a link or a chain with other values in those of these fields that it has.

    Raises:
        ValueError: a value out of bounds, or no number for a number's field.
    """
    changed = []
    for link in links_in(slot_value):
        given = {f: values[f] for f in field_names(link) if f in values}
        fields = {f: getattr(link, f) for f in field_names(link)} | given
        changed.append(_construct(slot, type(link), fields) if given else link)
    return as_chain(changed)


def _construct(slot: str, cls: Any, values: Mapping[str, Any]) -> Any:
    declared = {setting.name: setting for setting in settings_of(cls)}
    checked = {f: declared[f].checked(f"advantage.{slot}.{f}", value) for f, value in values.items()}
    try:
        return cls(**checked)
    except TypeError as error:  # a user's class that compares, say, text with a number
        raise ValueError(f"advantage.{slot} {cls.name!r}: cannot be made from {checked}: {error}") from error


def _check_instance(slot: str, instance: Any) -> None:
    cls = type(instance)
    if isinstance(instance, type):
        raise ValueError(f"advantage.{slot} must be a name, settings or an instance; write {instance.__name__}()")
    if not external.is_link_class(cls):
        raise ValueError(
            f"advantage.{slot} must be a name, settings or an instance of a frozen dataclass, got {instance!r}; write "
            "@dataclass(frozen=True) above the class"
        )
    _check_slot(slot, external.named(cls))


def _check_slot(slot: str, cls: Any) -> None:
    """Raise ValueError for a class that is registered in, or declares or inherits as its SLOT, another slot."""
    declared = [vars(base)["SLOT"] for base in cls.__mro__ if "SLOT" in vars(base) and base is not Link]
    homes = _registered_slots(cls) or declared[:1] or [slot]
    if slot not in homes:
        raise ValueError(f"advantage.{slot} cannot hold {cls.name!r}, which is of slot {homes[0]}")


def _registered_slots(cls: type) -> list[str]:
    return [place for place in SLOTS if cls in links(place).values()]


def _own_class(slot: str, target: Any, *, expected_source: str | None) -> Any:
    """Return the class that `_target_` names. One of the user's records the place as its attribute `TARGET`."""
    if not isinstance(target, str):
        raise ValueError(f"advantage.{slot}._target_ must be text, such as my_file:MyEstimator, got {target!r}")
    cls: Any = external.load_class(target)
    _check_slot(slot, cls)
    if missing := [f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING]:
        raise ValueError(f"{target}: field {', '.join(missing)} needs a default, so that a config can leave it out")
    if expected_source not in (None, found := external.source_fingerprint(cls)):
        raise ValueError(
            f"{inspect.getsourcefile(cls)} is not what it was when this config was made (fingerprint {found}, then "
            f"{expected_source}); start a new run, or bring the file back"
        )
    if not _registered_slots(cls):
        cls.TARGET = target
    return cls
