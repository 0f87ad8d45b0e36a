"""Shaped rewards: p, ω and what is correct come from accuracy alone, the advantage from the full reward."""

import dataclasses
import math

import pytest
import torch
from advantage_lab import NAN, close, tensor

from agrae_lab.advantages import Context, links, make, preset_names
from agrae_lab.advantages.properties import suite

# Four groups: solved at times, never, always, at times; the third completion of the last one is invalid.
CORRECT = tensor([1.0, 0.0, 0.0, 0.0, 0.0], [0.0] * 5, [1.0] * 5, [1.0, 1.0, 0.0, 1.0, 0.0])
FORMAT = tensor(
    [1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0, 0.0]
)
INVALID = torch.zeros_like(CORRECT, dtype=torch.bool)
INVALID[3, 2] = True
ACCURACY = CORRECT.masked_fill(INVALID, NAN)
MIXTURES = {"code": (0.9, 0.1), "paper": (0.1, 0.9)}
ACCURACY_ALONE = ("powers", "psr", "nsr", "w_reinforce", "maclaurin", "passk_training", "pkpo", "zero")


def shaped(name="code"):
    accuracy, form = MIXTURES[name]
    return accuracy * ACCURACY + form * FORMAT


def context_of(rewards, estimator, correct=CORRECT):
    """All that the estimator needs, and which completions are correct."""
    return dataclasses.replace(suite.batch_of(rewards, requires=estimator.requires).context, correct_PG=correct)


def of(estimator, rewards, correct=CORRECT):
    return estimator(rewards, context_of(rewards, estimator, correct))


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("name", [name for name in links("sample") if name != "none"])
def test_a_prompt_weighs_what_it_weighs_by_accuracy(name, mixture):
    """Weights A*/A on the shaped batch and on the same batch with rewards 0 and 1, where the latter has an A."""
    weighed, plain = make("dr_grpo", sample=name), make("dr_grpo")
    rewards = shaped(mixture)
    if name == "difficulty_softmax":  # the groups that share the weight are those with an A
        rewards = rewards[[0, 3]]
    rows = slice(None) if len(rewards) == 4 else [0, 3]
    weights = of(weighed, rewards, CORRECT[rows]) / of(plain, rewards, CORRECT[rows])
    expected = weighed(ACCURACY[rows]) / plain(ACCURACY[rows])
    seen = weights.isfinite() & expected.isfinite()
    assert seen[[0, -1]].sum() == 9
    close(weights[seen], expected[seen])


def test_the_full_method_by_hand():
    """A-GRAE with α = 0.5 on one batch: ω and p from accuracy, A⁰ from 0.9·accuracy + 0.1·format."""
    omega, alpha = (1 + 0 + 5 + 3) / 19, 0.5
    rewards = [1.0, 0.1, 0.0, 0.0, 0.0]
    mean = sum(rewards) / 5
    std = math.sqrt(sum((r - mean) ** 2 for r in rewards) / 5)
    weight = omega / 2 / math.sqrt(1 / 5) + (1 - omega) / 2 / math.sqrt(4 / 5)
    attenuation = min(1, omega / alpha)
    expected = [(r - mean) / std * weight * (attenuation if r > mean else 1) for r in rewards]
    found = of(make("a_grae", alpha=alpha), shaped())
    close(found[0], tensor(*expected))
    # never solved: p = 0, so that only the group level acts on what the form of the answers says
    mean, std = 0.06, math.sqrt(0.06 * 0.04)
    first = (0.1 - mean) / std * attenuation
    close(found[1], tensor(first, -mean / std, -mean / std, first, first))
    assert attenuation < 1


def test_omega_of_attenuation_is_accuracy():
    sparse = Context(correct_PG=tensor([1.0, 0.0, 0.0, 0.0]))
    rewards = 0.1 * sparse.correct_PG + 0.9  # mean reward 0.925, accuracy 0.25
    held_back = make("a_grae_group_only", alpha=0.5)(rewards, sparse)
    close(held_back[:, :1], 0.5 * make("grpo")(rewards)[:, :1])


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("flavor", ["paper", "official"])
def test_saying_what_rewards_of_0_and_1_say_changes_no_bit(name, flavor):
    estimator = make(name, flavor=flavor)
    for rewards in (ACCURACY, ACCURACY.float()):
        plain = of(estimator, rewards, None)
        for correct in (CORRECT, CORRECT.bool(), CORRECT.long()):
            assert torch.equal(of(estimator, rewards, correct), plain)


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("flavor", ["paper", "official"])
def test_no_group_is_blown_up(name, mixture, flavor):
    """Not even one whose success rate is 0 or 1, and whose rewards differ all the same; invalid ones get 0."""
    advantages = of(make(name, flavor=flavor), shaped(mixture))
    assert advantages.isfinite().all()
    assert advantages.abs().max() < 20
    assert (advantages[INVALID] == 0).all()


@pytest.mark.parametrize("name", ["grpo", "a_grae", "dr_grpo", "f_grpo", "grpo_lead", "ha_dw", "lite_ppo"])
def test_form_is_learnt_where_nothing_is_solved(name):
    advantages = of(make(name), shaped())
    assert (advantages[1].sign() == tensor(1, -1, -1, 1, 1)).all()


@pytest.mark.parametrize("name", ACCURACY_ALONE)
@pytest.mark.parametrize("mixture", MIXTURES)
def test_what_speaks_of_correct_completions_alone_sees_accuracy_alone(name, mixture):
    assert torch.equal(of(make(name), shaped(mixture)), make(name)(ACCURACY))


def test_only_those_leave_the_form_out():
    """Every other estimator answers to the form of an answer; the docs name those that do not."""
    deaf = [name for name in preset_names() if torch.equal(of(make(name), shaped()), of(make(name), ACCURACY))]
    assert sorted(deaf) == sorted(ACCURACY_ALONE)


@pytest.mark.parametrize("name", ["max_rl", "bnpo", "curve_rl"])
def test_where_p_divides_a_group_that_is_never_solved_gets_0(name):
    advantages = of(make(name, flavor="official"), shaped())
    assert (advantages[1] == 0).all()
    assert (advantages[0] != 0).all()
    expected = (shaped()[0] - 0.22) / (0.2 + 1e-6)
    if name == "max_rl":
        close(advantages[0], expected)


def test_only_a_correct_completion_is_worth_less_for_being_likely():
    """Unlikeliness: the shrunken rewards go through GRPO, so that the incorrect ones keep their order and distance."""
    rewards = tensor([1.0, 1.0, 0.1, 0.1, 0.0])
    correct = tensor([1.0, 1.0, 0.0, 0.0, 0.0])
    estimator = make("unlikeliness")
    advantages = of(estimator, rewards, correct)[0]
    assert advantages[0] != advantages[1]
    assert advantages[2] == advantages[3]
    assert of(estimator, rewards, None)[0, 2] != of(estimator, rewards, None)[0, 3]


def test_what_is_correct_belongs_to_the_same_completions():
    with pytest.raises(ValueError, match=r"correct_PG must have the shape of the rewards, \[4, 5\], got \[4, 4\]"):
        make("a_grae")(shaped(), Context(correct_PG=CORRECT[:, :4]))
