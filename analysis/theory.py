"""Closed forms of a group's Σ|A| against its success rate p, for 0/1 rewards.

A group of G has pG correct completions and (1−p)G incorrect ones. With A⁺(p), A⁻(p) the advantages of either kind,
Σ|A| = G·(p·A⁺ + (1−p)·|A⁻|); for GRPO with ddof 0 that is 2G√(p(1−p)) (paper Eq. 10, B.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Masses = tuple[np.ndarray, np.ndarray]  # of the correct and of the incorrect completions


def needs_omega(advantage: Mapping[str, Any]) -> bool:
    """Whether the mass depends on the batch's mean reward ω, so that one p has a different mass in every step."""
    return advantage["sample"]["name"] == "dynamic" or advantage["group"]["name"] == "attenuate"


def mass(advantage: Mapping[str, Any], p: np.ndarray, *, group_size: int, omega: float) -> np.ndarray | None:
    """Σ|A| of a group at each p in (0, 1), from the run's `advantage` config; None where no closed form is known.

    omega is used by the links that depend on it (`needs_omega`). Epsilons below 1e-3 are taken as 0.
    """
    if advantage["match"]["name"] != "none":  # rescaled by what else is in the batch
        return None
    masses = _base(advantage["base"], p, group_size)
    if masses is not None:
        masses = _sample(advantage["sample"], masses, p, omega)
    if masses is not None:
        masses = _group(advantage["group"], masses, omega)
    return None if masses is None else masses[0] + masses[1]


def _base(link: Mapping[str, Any], p: np.ndarray, group_size: int) -> Masses | None:
    half = group_size * p * (1 - p)
    match link["name"]:
        case "grpo":
            std = np.sqrt(p * (1 - p) * group_size / (group_size - link["ddof"]))
            return half / std, half / std
        case "dr_grpo":
            return half, half
        case "rloo":
            scale = group_size / (group_size - 1)
            return half * scale, half * scale
        case "w_reinforce":
            return group_size * p * link["positive_weight"], group_size * (1 - p)
        case "psr":
            return group_size * p, np.zeros_like(p)
        case "nsr":
            return np.zeros_like(p), group_size * (1 - p)
        case _:
            return None


def _easy_divisor(link: Mapping[str, Any], p: np.ndarray) -> np.ndarray:
    return np.sqrt(1 - p) if link["easy_form"] == "sqrt_of_failure" else 1 - np.sqrt(p)  # the latter: the authors' code


def _sample(link: Mapping[str, Any], masses: Masses, p: np.ndarray, omega: float) -> Masses | None:
    match link["name"]:
        case "none":
            return masses
        case "hard_focused":
            factor = link["gamma"] / np.sqrt(p)
        case "easy_focused":
            factor = link["gamma"] / _easy_divisor(link, p)
        case "dynamic":  # Eq. 12
            factor = omega / 2 / np.sqrt(p) + (1 - omega) / 2 / _easy_divisor(link, p)
        case _:
            return None
    return masses[0] * factor, masses[1] * factor


def _group(link: Mapping[str, Any], masses: Masses, omega: float) -> Masses | None:
    match link["name"]:
        case "none":
            return masses
        case "scale_positive":
            return masses[0] * link["beta"], masses[1]
        case "attenuate":  # Eq. 13
            return masses[0] * min(1.0, omega / link["alpha"]), masses[1]
        case _:
            return None
