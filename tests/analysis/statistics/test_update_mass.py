"""Closed forms of Σ|A| against Σ|A| of one explicit group."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from analysis.statistics.update_mass import formulas, mass, masses, needs_omega

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
    (advantage({"name": "zero"}), 0 * REWARDS),
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


PAPER_VARIANTS = [
    advantage(GRPO),
    advantage(GRPO, {"name": "hard_focused", "gamma": 0.5}),
    advantage(GRPO, {"name": "easy_focused", "gamma": 0.3, "easy_form": "sqrt_of_failure"}),
    advantage(GRPO, {"name": "dynamic", "easy_form": "sqrt_of_failure"}),
    advantage(GRPO, group={"name": "scale_positive", "beta": 0.1}),
    advantage(GRPO, group={"name": "attenuate", "alpha": 0.5}),
    advantage(GRPO, {"name": "dynamic", "easy_form": "sqrt_of_failure"}, {"name": "attenuate", "alpha": 0.5}),
]


def evaluated(formula: str, names: dict[str, float]) -> float:
    """A formula as readers see it, worked out: neighbours are multiplied, √ takes a letter or a bracket."""
    text = re.sub(r"√\(((?:[^()]|\([^()]*\))*)\)", r"(\1)^", formula.replace(" ", ""))
    text = re.sub(r"√(\w)", r"\1^", text)
    text = re.sub(r"(?<=[\w½)^])(?=[A-Za-zα-ω½(])", "*", text)
    text = text.replace("^", "**0.5").replace("−", "-").replace("½", "0.5")
    return float(eval(text, dict(names)))


@pytest.mark.parametrize("config", PAPER_VARIANTS, ids=lambda config: f"{config['sample']['name']} {config['group']}")
def test_what_readers_see_is_what_is_computed(config: dict[str, Any]) -> None:
    found = masses(config, np.array([P]), group_size=GROUP_SIZE, omega=OMEGA)
    shown = formulas(config)
    assert found is not None
    assert shown is not None
    names = {"p": P, "G": float(GROUP_SIZE), "ω": OMEGA, "a": min(1.0, OMEGA / 0.5), "β": 0.1}
    names["γ"] = config["sample"].get("gamma", np.nan)
    assert evaluated(shown[0].text, names) == pytest.approx((found[0] - found[1])[0])
    assert evaluated(shown[1].text, names) == pytest.approx((found[0] + found[1])[0])
    for formula in shown:  # the same formula in LaTeX
        as_text = re.sub(r"\\sqrt\{(\w)\}", r"√\1", formula.latex)
        as_text = re.sub(r"\\sqrt\{(.*?)\}", r"√(\1)", as_text).replace(r"\frac12", "½").replace("-", "−")
        for command, letter in ((r"\bigl", ""), (r"\bigr", ""), (r"\omega", "ω"), (r"\beta", "β"), (r"\gamma", "γ")):
            as_text = as_text.replace(command, letter)
        assert as_text.replace(" ", "") == formula.text.replace(" ", "")


def test_formulas_are_for_the_paper_s_text_alone() -> None:
    assert formulas(advantage({**GRPO, "ddof": 1})) is None
    assert formulas(advantage({"name": "dr_grpo"})) is None
    assert formulas(advantage(GRPO, {"name": "dynamic", "easy_form": "one_minus_sqrt"})) is None
    assert formulas(advantage(GRPO, match={"name": "l1"})) is None
    assert formulas(advantage(GRPO) | {"token": {"name": "entropy"}}) is None
    assert masses(advantage(GRPO) | {"token": {"name": "entropy"}}, np.array([0.5]), group_size=8, omega=0.5) is None


def test_omega_may_differ_from_group_to_group() -> None:
    config, omegas = PAPER_VARIANTS[-1], (0.2, 0.4, 0.9)
    together = masses(config, np.full(3, P), group_size=GROUP_SIZE, omega=np.array(omegas))
    assert together is not None
    for i, omega in enumerate(omegas):
        one = masses(config, np.array([P]), group_size=GROUP_SIZE, omega=omega)
        assert one is not None
        assert [part[i] for part in together] == pytest.approx([part[0] for part in one])


@pytest.mark.parametrize(
    "config",
    [
        advantage({**GRPO, "epsilon": 0.5}),
        advantage({**GRPO, "epsilon": 1e-3}, {"name": "hard_focused", "gamma": 0.5}),
        advantage({"name": "grpo", "_target_": "mine:GRPO", "_source_": "0" * 12, "tau": 0.5}),
        advantage(GRPO, group={"name": "scale_positive", "_target_": "mine:ScalePositive", "_source_": "0" * 12}),
    ],
)
def test_a_large_epsilon_and_the_users_own_classes_have_no_closed_form(config: dict[str, Any]) -> None:
    assert masses(config, np.array([0.5]), group_size=8, omega=0.5) is None
    assert formulas(config) is None
