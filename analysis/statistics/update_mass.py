"""Closed forms of a group's ΣA and Σ|A| as functions of its success rate p, for 0/1 rewards.

A group of G has pG correct completions and (1−p)G incorrect ones. With their advantages A⁺(p) and A⁻(p),
Σ|A| = G·(p·A⁺ + (1−p)·|A⁻|) and ΣA = G·(p·A⁺ + (1−p)·A⁻). For GRPO with ddof 0, Σ|A| = 2G√(p(1−p)) (paper Eq. 10, B.4)
and ΣA = 0 (Eq. 5, B.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

NEGLIGIBLE_EPSILON = 1e-3  # an epsilon below it is taken as 0; with a larger one no closed form is given

Masses = tuple[np.ndarray, np.ndarray]  # Σ|A| over the correct and over the incorrect completions


@dataclass(frozen=True)
class Formula:
    """Closed form as plain text and as LaTeX mathematics."""

    text: str
    latex: str


def needs_omega(advantage: Mapping[str, Any]) -> bool:
    """Return True where the mass depends on the batch's mean accuracy ω, and so differs between steps at one p."""
    return advantage["sample"]["name"] == "dynamic" or advantage["group"]["name"] == "attenuate"


def masses(advantage: Mapping[str, Any], p: np.ndarray, *, group_size: int, omega: float | np.ndarray) -> Masses | None:
    """Return Σ|A| over a group's correct and over its incorrect completions at each p in (0, 1).

    None where no closed form is known, and where epsilon is not below NEGLIGIBLE_EPSILON.

    Args:
        advantage: config section of a run.
        omega: the batch's mean accuracy, one or one per p, for links that depend on it (`needs_omega`).
    """
    if not _has_closed_form(advantage):
        return None
    found = _base_masses(advantage["base"], p, group_size)
    if found is not None:
        found = _sample_masses(advantage["sample"], found, p, omega)
    return None if found is None else _group_masses(advantage["group"], found, omega)


def mass(
    advantage: Mapping[str, Any], p: np.ndarray, *, group_size: int, omega: float | np.ndarray
) -> np.ndarray | None:
    """Return Σ|A| of a group at each p in (0, 1); arguments and None as in `masses`."""
    found = masses(advantage, p, group_size=group_size, omega=omega)
    return None if found is None else found[0] + found[1]


_GRPO, _HARD = Formula("G√(p(1−p))", r"G\sqrt{p(1-p)}"), Formula("γG√(1−p)", r"\gamma G\sqrt{1-p}")
_EASY = Formula("γG√p", r"\gamma G\sqrt{p}")
_DYNAMIC = Formula("G(ω√(1−p) + (1−ω)√p)", r"G\bigl(\omega\sqrt{1-p}+(1-\omega)\sqrt{p}\bigr)")
# (sample, group) → factor of ΣA, factor of Σ|A|, common term; a = min(1, ω/α)
_FORMULAS = {
    ("none", "none"): ("", "2", _GRPO),
    ("hard_focused", "none"): ("", "2", _HARD),
    ("easy_focused", "none"): ("", "2", _EASY),
    ("dynamic", "none"): ("", "", _DYNAMIC),
    ("none", "scale_positive"): ("(β−1)", "(β+1)", _GRPO),
    ("none", "attenuate"): ("(a−1)", "(a+1)", _GRPO),
    ("dynamic", "attenuate"): ("½(a−1)", "½(a+1)", _DYNAMIC),
}


def formulas(advantage: Mapping[str, Any]) -> tuple[Formula, Formula] | None:
    """Return ΣA and Σ|A| of the paper's variants (Table 1, Eq. 10, 12, 13) in p, G, ω, β, γ and a = min(1, ω/α).

    None for any other estimator, and for settings that follow the authors' code instead of the paper's text.
    """
    if not _has_closed_form(advantage):
        return None
    base, sample, group = advantage["base"], advantage["sample"], advantage["group"]
    follows_text = base["name"] == "grpo" and base["ddof"] == 0 and sample.get("easy_form") != "one_minus_sqrt"
    known = _FORMULAS.get((sample["name"], group["name"]))
    if known is None or not follows_text:
        return None
    sum_factor, abs_factor, rest = known
    return (_multiplied(sum_factor, rest) if sum_factor else Formula("0", "0")), _multiplied(abs_factor, rest)


def _multiplied(factor: str, rest: Formula) -> Formula:
    in_latex = factor
    for sign, command in (("β", r"\beta"), ("½", r"\frac12"), ("−", "-")):
        in_latex = in_latex.replace(sign, command)
    return Formula(factor + rest.text, in_latex + rest.latex)


def _has_closed_form(advantage: Mapping[str, Any]) -> bool:
    """Return False where epsilon changes the mass, or a class of the user's bears the name of a registered link."""
    is_own = any(isinstance(link, Mapping) and link.get("_target_") is not None for link in advantage.values())
    epsilon = advantage["base"].get("epsilon", 0.0)
    return _has_no_match_or_token(advantage) and not is_own and epsilon < NEGLIGIBLE_EPSILON


def _has_no_match_or_token(advantage: Mapping[str, Any]) -> bool:
    """Return True where slots match and token are empty; ω may still enter."""
    return advantage["match"]["name"] == "none" and advantage.get("token", {"name": "none"})["name"] == "none"


def _base_masses(link: Mapping[str, Any], p: np.ndarray, group_size: int) -> Masses | None:
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
        case "powers":
            correct = p ** link["correct_p"] * (1 - p) ** link["correct_q"]
            incorrect = link["incorrect_weight"] * p ** link["incorrect_p"] * (1 - p) ** link["incorrect_q"]
            return group_size * p * correct, group_size * (1 - p) * incorrect
        case "psr":
            return group_size * p, np.zeros_like(p)
        case "nsr":
            return np.zeros_like(p), group_size * (1 - p)
        case "zero":
            return np.zeros_like(p), np.zeros_like(p)
        case _:
            return None


def _easy_divisor(link: Mapping[str, Any], p: np.ndarray) -> np.ndarray:
    if link["easy_form"] == "sqrt_of_failure":
        return np.sqrt(1 - p)
    return 1 - np.sqrt(p)  # the authors' code


def _sample_masses(link: Mapping[str, Any], found: Masses, p: np.ndarray, omega: float | np.ndarray) -> Masses | None:
    match link["name"]:
        case "none":
            return found
        case "hard_focused":
            factor = link["gamma"] / np.sqrt(p)
        case "easy_focused":
            factor = link["gamma"] / _easy_divisor(link, p)
        case "dynamic":  # Eq. 12
            factor = omega / 2 / np.sqrt(p) + (1 - omega) / 2 / _easy_divisor(link, p)
        case _:
            return None
    return found[0] * factor, found[1] * factor


def _group_masses(link: Mapping[str, Any], found: Masses, omega: float | np.ndarray) -> Masses | None:
    match link["name"]:
        case "none":
            return found
        case "scale_positive":
            return found[0] * link["beta"], found[1]
        case "attenuate":  # Eq. 13
            return found[0] * np.minimum(1.0, omega / link["alpha"]), found[1]
        case _:
            return None
