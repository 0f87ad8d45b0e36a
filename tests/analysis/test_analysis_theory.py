"""Closed forms of Σ|A| against Σ|A| of one explicit group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analysis.theory import mass, needs_omega

NONE = {"name": "none"}
GROUP_SIZE, NUM_CORRECT, OMEGA = 8, 3, 0.4
REWARDS = np.array([1.0] * NUM_CORRECT + [0.0] * (GROUP_SIZE - NUM_CORRECT))
P = REWARDS.mean()
CENTRED = REWARDS - P
SIGN = np.where(REWARDS > 0, 1.0, -1.0)


def advantage(base: dict[str, Any], sample: dict = NONE, group: dict = NONE, match: dict = NONE) -> dict[str, Any]:
    return {"base": base, "sample": sample, "group": group, "match": match}


GRPO = {"name": "grpo", "ddof": 0, "epsilon": 0.0}
STD = CENTRED / REWARDS.std()
CASES = [
    (advantage(GRPO), STD),
    (advantage({"name": "grpo", "ddof": 1, "epsilon": 1e-6}), CENTRED / REWARDS.std(ddof=1)),
    (advantage({"name": "dr_grpo"}), CENTRED),
    (advantage({"name": "rloo"}), CENTRED * 8 / 7),
    (advantage({"name": "w_reinforce", "positive_weight": 0.1}), np.where(REWARDS > 0, 0.1, -1.0)),
    (advantage({"name": "psr"}), REWARDS),
    (advantage({"name": "nsr"}), REWARDS - 1),
    (advantage(GRPO, group={"name": "scale_positive", "beta": 10.0}), np.where(REWARDS > 0, 10 * STD, STD)),
    (advantage(GRPO, sample={"name": "hard_focused", "gamma": 0.5}), 0.5 * STD / np.sqrt(P)),
    (
        advantage(GRPO, sample={"name": "easy_focused", "gamma": 0.5, "easy_form": "sqrt_of_failure"}),
        0.5 * STD / np.sqrt(1 - P),
    ),
    (
        advantage(GRPO, sample={"name": "easy_focused", "gamma": 0.5, "easy_form": "one_minus_sqrt"}),
        0.5 * STD / (1 - np.sqrt(P)),
    ),
    (
        advantage(GRPO, {"name": "dynamic", "easy_form": "one_minus_sqrt"}, {"name": "attenuate", "alpha": 0.5}),
        np.where(REWARDS > 0, 0.8, 1.0) * STD * (0.2 / np.sqrt(P) + 0.3 / (1 - np.sqrt(P))),
    ),
]


@pytest.mark.parametrize(("config", "expected"), CASES, ids=lambda case: str(case)[:60])
def test_mass_of_an_explicit_group(config: dict[str, Any], expected: np.ndarray) -> None:
    ours = mass(config, np.array([P]), group_size=GROUP_SIZE, omega=OMEGA)
    assert ours is not None
    assert ours[0] == pytest.approx(np.abs(expected).sum())


@pytest.mark.parametrize(
    "config",
    [
        advantage({"name": "new"}),
        advantage(GRPO, sample={"name": "new"}),
        advantage(GRPO, group={"name": "new"}),
        advantage(GRPO, match={"name": "l1"}),
    ],
)
def test_unknown_links_have_no_closed_form(config: dict[str, Any]) -> None:
    assert mass(config, np.array([0.5]), group_size=8, omega=0.5) is None


def test_which_forms_depend_on_omega() -> None:
    assert not needs_omega(advantage(GRPO, sample={"name": "hard_focused", "gamma": 0.5}))
    assert needs_omega(advantage(GRPO, sample={"name": "dynamic", "easy_form": "sqrt_of_failure"}))
    assert needs_omega(advantage(GRPO, group={"name": "attenuate", "alpha": 1.0}))
