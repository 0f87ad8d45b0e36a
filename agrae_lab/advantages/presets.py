"""Presets: named estimators, each a link for every slot with the settings that differ from the defaults.

A base link is a preset of its own name with all other slots empty; only combinations stand here. A new combination is
a line here, a new link a file in the folder of its slot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from agrae_lab.advantages.construction import make_link, with_fields
from agrae_lab.advantages.estimator import (
    FLAVORS,
    SLOTS,
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
        flavor: "paper" (the text's formulas) or "official" (the authors' code); the same estimator if both agree.
        overrides: a slot (`base="dr_grpo"`, `match="l1"`, `group={"name": "attenuate", "alpha": 0.5}`,
            `base=MyEstimator()`, `sample="none"` for an empty one), or a field of the links in place (`beta=5.0`,
            `alpha=0.5`, `ddof=1`).

    Raises:
        ValueError: unknown name, flavor, slot or field (the choices are listed), or a value out of bounds.
    """
    if flavor not in FLAVORS:
        raise ValueError(unknown_name_message("advantage.flavor", flavor, FLAVORS))
    slots: dict[str, Any] = preset_slots(name)
    slots |= {slot: _as_settings(overrides.pop(slot)) for slot in SLOTS if slot in overrides}
    links_by_slot = {slot: make_link(slot, settings, flavor=flavor) for slot, settings in slots.items()}
    known = {field for link in links_by_slot.values() for field in field_names(link)}
    for field in overrides.keys() - known:
        raise ValueError(
            f"advantage {name!r} has no field {field!r}; it has {', '.join(sorted(known))}, "
            f"and the slots {', '.join(SLOTS)}"
        )
    for slot, link in links_by_slot.items():
        values = {field: overrides[field] for field in field_names(link) if field in overrides}
        is_instance = slots[slot] is link
        slots[slot] = with_fields(slot, link, values) if is_instance else {**slots[slot], **values}
    return from_slots(name, slots, flavor=flavor)


def from_slots(name: str, slots: Mapping[str, Any], *, flavor: str = "paper") -> Estimator:
    """Return an estimator with a link, or its settings, in every slot; `name` is a label only.

    Raises:
        ValueError: as `make`.
    """
    links_by_slot = {slot: make_link(slot, slots[slot], flavor=flavor) for slot in SLOTS}
    return Estimator(name=name, flavor=flavor, **links_by_slot)


def differences_from_preset(estimator: Estimator) -> list[str]:
    """Return the differences from the preset of the estimator's name (paper flavor), in words fit for a file name.

    Another link stands by its name, another value as `field=value`, the official flavor as `official`.
    """
    own = {slot: part for slot in SLOTS if (part := getattr(estimator, slot)).name == estimator.name}
    if estimator.name in preset_names():
        plain, official = make(estimator.name), make(estimator.name, flavor=estimator.flavor)
    elif own:  # an own link stands for the estimator that bears its name
        unchanged = {slot: type(part)() for slot, part in own.items()}
        plain, official = make("grpo", **unchanged), make("grpo", flavor=estimator.flavor, **unchanged)
    else:
        return []
    words = [] if official.same_formula(plain) else [estimator.flavor]
    for slot in SLOTS:
        link, preset = getattr(estimator, slot), getattr(official, slot)
        if link.name != preset.name:
            words.append(link.name)
        elif hasattr(link, "TARGET") and not hasattr(preset, "TARGET"):
            words.append("own")  # a class of the user's that bears the name of one of ours
        if type(link) is not type(preset):
            is_known = hasattr(link, "TARGET") or link.name in links(slot)
            preset = make_link(slot, name_settings(link), flavor=estimator.flavor) if is_known else link
        words += [f"{f}={getattr(link, f)}" for f in field_names(link) if getattr(link, f) != getattr(preset, f)]
    return words


def without_idle_match(estimator: Estimator) -> Estimator:
    """Return the estimator without a match link that changes nothing: plain GRPO is the fixed point of both."""
    match = estimator.match
    if not {"ddof", "epsilon"} <= set(field_names(match)):
        return estimator
    free = dataclasses.replace(estimator, match=make_link("match", {"name": "none"}))
    fixed_point = make("grpo", base={"name": "grpo", "ddof": match.ddof, "epsilon": match.epsilon})
    return free if free.same_formula(fixed_point) else estimator


def _as_settings(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    return dict(value) if isinstance(value, Mapping) else value
