"""Estimators that remember earlier batches: by hand over three of them, and across a saved state."""

import json
import math

import pytest
import torch

from agrae_lab.advantages import Context, make

NAN = float("nan")


def batch(*counts, size=4):
    """A group for each number of correct completions, the correct ones first."""
    return torch.tensor([[1.0] * k + [0.0] * (size - k) for k in counts], dtype=torch.float64)


def weights(found, plain):
    """The factor on each group's first completion."""
    return (found[:, 0] / plain[:, 0]).tolist()


def test_curve_rl_by_hand_over_three_batches():
    estimator, state = make("curve_rl", window=2), {}
    batches = [batch(1, 1, 2, 4, 0), batch(1, 2, 3), batch(2, 3, 3)]
    # bins of p = ¼, ½, ¾: 1, 2, 3 out of 5. Batch 1 refers to itself: 2, 1, 0 counts, running sums 2, 3, 3.
    first = estimator(batches[0], Context(state=state))
    assert weights(first[:3], make("dr_grpo")(batches[0][:3])) == pytest.approx([1, 1, 1 / 3])
    assert (first[3:] == 0).all()
    assert state == {"curve_rl": [[0, 2, 1, 0, 0]]}
    # batch 2 refers to batch 1: p = ¾ has not been seen and gets 0
    second = estimator(batches[1], Context(state=state))
    assert weights(second, make("dr_grpo")(batches[1])) == pytest.approx([1, 1 / 3, 0])
    assert state == {"curve_rl": [[0, 2, 1, 0, 0], [0, 1, 1, 1, 0]]}
    # batch 3 refers to both: 3, 2, 1 counts, running sums 3, 5, 6
    third = estimator(batches[2], Context(state=state))
    assert weights(third, make("dr_grpo")(batches[2])) == pytest.approx([2 / 5, 1 / 6, 1 / 6])
    assert state == {"curve_rl": [[0, 1, 1, 1, 0], [0, 0, 1, 2, 0]]}  # the window is two batches


def test_curve_rl_starts_over_where_nothing_mixed_has_been_seen():
    state = {}
    make("curve_rl")(batch(0, 4), Context(state=state))
    rewards = batch(1, 3)
    found = make("curve_rl")(rewards, Context(state=state))
    assert weights(found, make("dr_grpo")(rewards)) == pytest.approx([1, 1 / 2])


def test_curve_rl_refuses_another_group_size_and_keeps_its_state():
    state = {"curve_rl": [[0, 2, 1, 0, 0]]}
    with pytest.raises(ValueError, match="remembers batches of 4 completions a prompt and cannot go on with 8"):
        make("curve_rl")(batch(3, size=8), Context(state=state))
    assert state == {"curve_rl": [[0, 2, 1, 0, 0]]}


def test_ha_dw_by_hand_over_three_batches():
    estimator, state = make("ha_dw", window=2, scale=1.5), {}
    batches = [batch(1, 3), batch(1, 1), batch(2, 3)]
    records = [0.5, (0.5 + 0.25) / 2, (0.25 + 0.625) / 2]  # the batch at hand is one of the two
    for rewards, record in zip(batches, records, strict=True):
        found = estimator(rewards, Context(state=state))
        p = rewards.mean(dim=1, keepdim=True)
        sign = torch.where(rewards == 1, 1.0, -1.0)
        factor = 1.5 * torch.exp(-sign * torch.sign(p - record) * (p - record).abs())
        torch.testing.assert_close(found, factor * make("grpo")(rewards), rtol=1e-12, atol=1e-12)
    assert state == {"ha_dw": [0.25, 0.625]}


def test_ha_dw_takes_the_mean_of_the_whole_batch_where_it_is_given():
    state = {}
    rewards = batch(1)
    found = make("ha_dw")(rewards, Context(state=state, omega=0.75))
    assert state == {"ha_dw": [0.75]}
    assert weights(found, make("grpo")(rewards)) == pytest.approx([1.5 * math.exp(0.5)])


def test_ha_dw_learns_nothing_from_a_batch_without_verdicts():
    state = {"ha_dw": [0.5]}
    found = make("ha_dw")(torch.full((2, 4), NAN), Context(state=state))
    assert (found == 0).all()
    assert state == {"ha_dw": [0.5]}


@pytest.mark.parametrize("name", ["curve_rl", "ha_dw"])
def test_a_saved_state_goes_on_as_if_never_saved(name):
    generator = torch.Generator().manual_seed(0)
    kept, saved = {}, {}
    for _ in range(14):  # longer than the window
        rewards = (torch.rand(6, 8, generator=generator) < torch.rand(6, 1, generator=generator)).double()
        unbroken = make(name)(rewards, Context(state=kept))
        saved = json.loads(json.dumps(saved))
        assert torch.equal(make(name)(rewards, Context(state=saved)), unbroken)
    assert len(saved[name]) == 10
    assert not torch.equal(make(name)(rewards, Context()), unbroken)  # the history matters


@pytest.mark.parametrize("name", ["curve_rl", "ha_dw"])
def test_an_earlier_state_is_not_changed_in_place(name):
    state = {}
    make(name)(batch(1, 2), Context(state=state))
    before = state[name]
    copy = json.loads(json.dumps(before))
    make(name)(batch(1, 3), Context(state=state))
    assert before == copy
    assert state[name] != before
