"""Presets: named estimators, each a link for every slot with the settings that differ from the defaults.

A base link is a preset of its own name with all other slots empty; only combinations stand here. A new combination is
a line here, a new link a file in the folder of its slot.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from agrae_lab.advantages.chain import links_in
from agrae_lab.advantages.construction import make_link, make_slot, with_fields
from agrae_lab.advantages.estimator import (
    FLAVORS,
    SLOTS,
    Empty,
    Estimator,
    field_names,
    links,
    name_settings,
    unknown_name_message,
)

_COMBINATIONS: dict[str, dict[str, Any]] = {
    "positive_dominant": {"group": {"name": "scale_positive", "beta": 10.0}},
    "negative_dominant": {"group": {"name": "scale_positive", "beta": 0.1}},
    "hard_focused": {"sample": "hard_focused"},
    "easy_focused": {"sample": "easy_focused"},
    "a_grae": {"sample": "dynamic", "group": "attenuate"},
    "a_grae_sample_only": {"sample": "dynamic"},
    "a_grae_group_only": {"group": "attenuate"},
    "dgpo": {"base": "dgpo", "sample": "difficulty_softmax"},
    "ds_grpo": {"group": "differential_smoothing"},
    "entropy_advantage": {"token": "entropy"},
    "f_grpo": {"sample": "focal"},
    "grpo_lead": {"group": "lead"},
    "ha_dw": {"group": "ha_dw"},
    "rl_zvp": {"token": "rl_zvp"},
}
_DEFAULT_SLOTS: dict[str, Any] = {"base": "grpo", "sample": "none", "group": "none", "token": "none", "match": "none"}


def preset_names() -> list[str]:
    """Return every name that `make` takes."""
    return sorted({*_COMBINATIONS, *links("base")})


def preset_slots(name: str) -> dict[str, dict[str, Any]]:
    """Return slot → link settings of a preset, as far as it fixes them.

    Raises:
        ValueError: unknown name; the message lists the choices.
    """
    if name not in preset_names():
        raise ValueError(unknown_name_message("advantage", name, preset_names()))
    chosen = _COMBINATIONS.get(name, {"base": name})
    return {slot: _as_settings(chosen.get(slot, _DEFAULT_SLOTS[slot])) for slot in SLOTS}


def make(name: str, *, flavor: str = "paper", **overrides: Any) -> Estimator:
    """Return the estimator of a preset; `estimator(rewards_PG, context=None)` gives advantages [P, G].

    >>> import torch
    >>> make("negative_dominant", beta=0.5)(torch.tensor([[1.0, 0.0]]))
    tensor([[ 0.5000, -1.0000]])

    Args:
        name: a preset, see `preset_names()`.
        flavor: "paper" (the text's formulas), "official" (the authors' code) or "trl" (GRPO's constants as in TRL); the
            same estimator where they agree.
        overrides: a slot (`base="dr_grpo"`, `match="l1"`, `group={"name": "attenuate", "alpha": 0.5}`,
            `base=MyEstimator()`, `sample="none"` for an empty one, `sample=["focal", "dynamic"]` for a chain), or a
            field of the links in place (`beta=5.0`, `alpha=0.5`, `ddof=1`).

    Raises:
        ValueError: unknown name, flavor, slot or field (the choices are listed), or a value out of bounds.
    """
    if flavor not in FLAVORS:
        raise ValueError(unknown_name_message("advantage.flavor", flavor, FLAVORS))
    settings: dict[str, Any] = preset_slots(name)
    settings |= {slot: overrides.pop(slot) for slot in SLOTS if slot in overrides}
    slots = {slot: make_slot(slot, settings[slot], flavor=flavor) for slot in SLOTS}
    known = {field for slot in SLOTS for link in links_in(slots[slot]) for field in field_names(link)}
    for field in overrides.keys() - known:
        raise ValueError(
            f"advantage {name!r} has no field {field!r}; it has {', '.join(sorted(known))}, "
            f"and the slots {', '.join(SLOTS)}"
        )
    chosen = {key: value for key, value in overrides.items() if value is not None}  # None: the flavor's value
    for slot in SLOTS:
        slots[slot] = with_fields(slot, slots[slot], overrides if slots[slot] is settings[slot] else chosen)
    return Estimator(name, flavor, **slots)


def from_slots(name: str, slots: Mapping[str, Any], *, flavor: str = "paper") -> Estimator:
    """Return an estimator with a link, a chain, or their settings in every slot; `name` is a label only.

    Raises:
        ValueError: as `make`.
    """
    return Estimator(name, flavor, **{slot: make_slot(slot, slots[slot], flavor=flavor) for slot in SLOTS})


def differences_from_preset(estimator: Estimator) -> list[str]:
    """Return the differences from the preset of the estimator's name (paper flavor), in words fit for a file name.

    Another link stands by its name, an emptied slot as `slot=none`, another value as `field=value`, and another flavor
    by its name.
    """
    own = {slot: part for slot in SLOTS if (part := getattr(estimator, slot)).name == estimator.name}
    if estimator.name in preset_names():
        plain, in_flavor = make(estimator.name), make(estimator.name, flavor=estimator.flavor)
    elif own:  # an own link stands for the estimator that bears its name
        unchanged = {slot: type(part)() for slot, part in own.items()}
        plain, in_flavor = make("grpo", **unchanged), make("grpo", flavor=estimator.flavor, **unchanged)
    else:
        return []
    words = [] if in_flavor.same_formula(plain) else [estimator.flavor]
    for slot in SLOTS:
        given, preset = getattr(estimator, slot), getattr(in_flavor, slot)
        if given.name != preset.name:
            words.append(f"{slot}={Empty.name}" if isinstance(given, Empty) else given.name)
        for link in links_in(given):
            differences = _link_differences(slot, link, preset, flavor=estimator.flavor)
            words += differences if link is given else [f"{link.name}.{word}" for word in differences]
    return words


def _link_differences(slot: str, link: Any, preset: Any, *, flavor: str) -> list[str]:
    """Return the fields in which a link differs from the preset's, or from its own defaults if it is another."""
    words = []
    if link.name == preset.name and hasattr(link, "TARGET") and not hasattr(preset, "TARGET"):
        words.append("own")  # a class of the user's that bears the name of one of ours
    if type(link) is not type(preset):
        is_known = hasattr(link, "TARGET") or link.name in links(slot)
        preset = make_link(slot, name_settings(link), flavor=flavor) if is_known else link
    values = {f: getattr(link, f) for f in field_names(link) if getattr(link, f) != getattr(preset, f)}
    return words + [f"{field}={_fit_for_a_file(value)}" for field, value in values.items()]


def _fit_for_a_file(value: Any) -> str:
    """Return a value with an underscore for what a file name cannot hold: {'accuracy': 1.0} is accuracy_1.0."""
    return re.sub(r"[^\w.+=-]+", "_", str(value), flags=re.ASCII).strip("_")


def without_idle_match(estimator: Estimator) -> Estimator:
    """Return the estimator without a match link that changes nothing: plain GRPO is the fixed point of both."""
    match = estimator.match
    if not {"ddof", "epsilon"} <= set(field_names(match)):
        return estimator
    free = dataclasses.replace(estimator, match=make_link("match", {"name": "none"}))
    fixed_point = make("grpo", base={"name": "grpo", "ddof": match.ddof, "epsilon": match.epsilon})
    return free if free.same_formula(fixed_point) else estimator


def _as_settings(value: Any) -> dict[str, Any]:
    return {"name": value} if isinstance(value, str) else dict(value)
