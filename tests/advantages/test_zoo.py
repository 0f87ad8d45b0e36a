"""Estimators beside A-GRAE's: identities between them for every p, neutral settings, and settings out of range."""

import math

import pytest
import torch
from advantage_lab import NAN, SIZES, close, groups, mixed_groups, tensor

from agrae_lab.advantages import Context, make

# Identities. {name: (estimator, the same by another way, as a function of rewards, p and G)}
IDENTITIES = {
    "rloo": (make("rloo"), lambda r, p, g: g / (g - 1) * (r - p)),
    "grpo": (make("grpo"), lambda r, p, g: (r - p) / (p * (1 - p)).sqrt()),
    "max_rl": (make("max_rl"), lambda r, p, g: (r - p) / p),
    "dgpo": (make("dgpo", sample="none"), lambda r, p, g: (r - p) / (2 * p * (1 - p))),
    "hard_focused": (
        make("hard_focused", ddof=1, gamma=0.3),
        lambda r, p, g: 0.3 * math.sqrt((g - 1) / g) * make("max_rl")(r) / (1 - p).sqrt(),
    ),
    "pass@1 training": (make("passk_training", k=1), lambda r, p, g: make("grpo")(r)),
    "pkpo at k = 1": (make("pkpo", k=1), lambda r, p, g: make("rloo")(r) / g),
    "ngrpo": (
        make("ngrpo", ddof=0),
        lambda r, p, g: make("grpo")(torch.cat([r, torch.ones_like(r[:, :1])], dim=1))[:, :-1],
    ),
    "asym_re": (make("asym_re", shift=-0.2), lambda r, p, g: r - p + 0.2),
    "reinforce_pp at equal lengths": (
        make("reinforce_pp"),
        lambda r, p, g: (r - 0.5) / (tokens_variance(r) + 1e-8) ** 0.5,
    ),
    "opo at equal lengths": (make("opo"), lambda r, p, g: r - p),
    "rs_grpo": (
        make("rs_grpo", beta=3),
        lambda r, p, g: (math.exp(3) - 1) / (3 * (1 + p * (math.exp(3) - 1))) * (r - p),
    ),
    "rs_grpo at a small β": (make("rs_grpo", beta=1e-9), lambda r, p, g: r - p),
    "opmd at a large τ": (make("opmd", tau=1e9), lambda r, p, g: r - p),
    "opmd at a small τ": (make("opmd", tau=1e-12), lambda r, p, g: r - 1),
    "mapo": (
        make("mapo"),
        lambda r, p, g: 4 * p * (1 - p) * make("grpo")(r) + (1 - 4 * p * (1 - p)) * make("max_rl")(r),
    ),
    "prpo": (make("prpo"), lambda r, p, g: (r - 0.5) / (0.5 + 1e-6)),
    "rae without decay": (make("rae", decay=0), lambda r, p, g: r - r.flatten().roll(1).view_as(r)),
    "powers, GRPO": (make("powers", incorrect_weight=1), lambda r, p, g: make("grpo")(r)),
    "powers, Dr.GRPO": (
        make("powers", correct_p=0, correct_q=1, incorrect_weight=1, incorrect_p=1, incorrect_q=0),
        lambda r, p, g: make("dr_grpo")(r),
    ),
    "powers, Positive-Dominant over 10": (
        make("powers", incorrect_weight=0.1),
        lambda r, p, g: make("positive_dominant")(r) / 10,
    ),
}


def tokens_variance(values, tokens=3):
    return values.flatten().repeat_interleave(tokens).var()


@pytest.mark.parametrize("name", IDENTITIES)
def test_identities_for_every_p_and_group_size(name):
    estimator, other = IDENTITIES[name]
    for size in SIZES:
        rewards, p = mixed_groups(size)
        close(estimator(rewards, Context(lengths_PG=torch.full(rewards.shape, 3))), other(rewards, p, size))


NEUTRAL = {  # a setting that leaves its parent as it is → the parent
    "f_grpo": ({"gamma": 0}, "grpo"),
    "grpo_lead": ({"smallest": 1, "largest": 1}, "grpo"),
    "ds_grpo": ({"positive_weight": 0, "negative_weight": 0}, "grpo"),
    "asym_re": ({"shift": 0}, "dr_grpo"),
    "unlikeliness": ({"penalty": 0}, "grpo"),
    "maclaurin": ({"order": 1}, "psr"),
    "rs_grpo": ({"beta": 0}, "dr_grpo"),
    "dcpo": ({}, "grpo"),  # on a prompt's first visit
}


@pytest.mark.parametrize("name", NEUTRAL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neutral_settings_equal_the_parent_bit_for_bit(name, dtype):
    settings, parent = NEUTRAL[name]
    ones = torch.ones(9, 8, 2, dtype=dtype)
    for rewards in (groups(8)[0].to(dtype), torch.tensor([[0.1, 0.35, 0.95, NAN, 1.0]], dtype=dtype)):
        tokens = ones[: len(rewards), : rewards.shape[1]]
        context = Context(logprobs_PGT=-tokens, mask_PGT=tokens, prompts=[f"{i}" for i in range(len(rewards))])
        assert torch.equal(make(name, **settings)(rewards, context), make(parent)(rewards))


def test_matched_grpo_is_grpo_bit_for_bit():
    rewards, _ = groups(8)
    for match in ("l1", "l2"):
        assert torch.equal(make("grpo", match=match)(rewards), make("grpo")(rewards))


def test_dominance_of_either_sign_is_reciprocal():
    rewards, _ = mixed_groups(8)
    positive, negative, grpo = (make(n)(rewards) for n in ("positive_dominant", "negative_dominant", "grpo"))
    close((positive * negative)[rewards == 1], grpo[rewards == 1] ** 2)


def test_a_grae_ranges_from_hard_focused_to_no_positives():
    rewards, _ = groups(8)
    close(make("a_grae")(rewards, Context(omega=1.0)), make("hard_focused")(rewards))
    assert (make("a_grae")(rewards, Context(omega=0.0))[rewards == 1] == 0).all()


def test_ha_dw_is_scaled_grpo_where_a_prompt_is_as_hard_as_the_record():
    rewards, p = mixed_groups(8)
    for group, rate in zip(rewards, p, strict=True):
        context = Context(omega=rate.item())
        close(make("ha_dw", scale=1.7)(group[None], context), 1.7 * make("grpo")(group[None]))


OUT_OF_RANGE = [
    ("max_rl", "epsilon", -1e-6),
    ("maclaurin", "order", 0),
    ("maclaurin", "order", 2.5),
    ("passk_training", "k", 0),
    ("pkpo", "k", 1.5),
    ("qae", "quantile", 1.0),
    ("dgpo", "epsilon", float("nan")),
    ("dgpo", "temperature", 0.0),
    ("asym_re", "shift", float("inf")),
    ("curve_rl", "window", 0),
    ("krpo", "measurement_variance", 0.0),
    ("krpo", "process_variance", -1.0),
    ("loo_std", "epsilon", -1.0),
    ("unlikeliness", "penalty", 1.5),
    ("f_grpo", "gamma", -0.5),
    ("grpo_lead", "smallest", 0.0),
    ("grpo_lead", "steepness", float("inf")),
    ("ha_dw", "scale", 0.0),
    ("ha_dw", "window", -1),
    ("ds_grpo", "positive_weight", -0.1),
    ("entropy_advantage", "kappa", 1.0),
    ("entropy_advantage", "alpha", -0.1),
    ("rl_zvp", "alpha", -0.1),
    ("jspo", "epsilon", -1e-6),
    ("opmd", "tau", 0.0),
    ("prpo", "epsilon", -1.0),
    ("rae", "decay", 1.0),
    ("rs_grpo", "beta", float("nan")),
]


@pytest.mark.parametrize(("name", "field", "value"), OUT_OF_RANGE)
def test_a_setting_out_of_range_is_refused_with_its_range_and_source(name, field, value):
    with pytest.raises(
        ValueError, match=rf"advantage\.\w+\.{field} must .*(arXiv|NeMo-RL|Trinity-RFT|rllm).*got {value}"
    ):
        make(name, **{field: value})


def test_rates_need_rewards_between_zero_and_one():
    for name in ("max_rl", "bnpo", "ngrpo", "curve_rl", "f_grpo", "dgpo", "grpo_lead", "ha_dw"):
        with pytest.raises(ValueError, match=r"needs rewards in \[0, 1\]; got 0 to 2"):
            make(name)(tensor([0.0, 2.0, 1.0]))
