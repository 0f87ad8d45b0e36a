"""Stateful estimators: three batches by hand, and a saved state."""

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
    first, state = estimator.step(batches[0], state=state)
    assert weights(first[:3], make("dr_grpo")(batches[0][:3])) == pytest.approx([1, 1, 1 / 3])
    assert (first[3:] == 0).all()
    assert state == {"curve_rl": [[0, 2, 1, 0, 0]]}
    # batch 2 refers to batch 1: p = ¾ has not been seen and gets 0
    second, state = estimator.step(batches[1], state=state)
    assert weights(second, make("dr_grpo")(batches[1])) == pytest.approx([1, 1 / 3, 0])
    assert state == {"curve_rl": [[0, 2, 1, 0, 0], [0, 1, 1, 1, 0]]}
    # batch 3 refers to both: 3, 2, 1 counts, running sums 3, 5, 6
    third, state = estimator.step(batches[2], state=state)
    assert weights(third, make("dr_grpo")(batches[2])) == pytest.approx([2 / 5, 1 / 6, 1 / 6])
    assert state == {"curve_rl": [[0, 1, 1, 1, 0], [0, 0, 1, 2, 0]]}  # the window is two batches


def test_curve_rl_starts_over_where_nothing_mixed_has_been_seen():
    state = {}
    _, state = make("curve_rl").step(batch(0, 4), state=state)
    rewards = batch(1, 3)
    found, state = make("curve_rl").step(rewards, state=state)
    assert weights(found, make("dr_grpo")(rewards)) == pytest.approx([1, 1 / 2])


def test_curve_rl_refuses_another_group_size_and_keeps_its_state():
    state = {"curve_rl": [[0, 2, 1, 0, 0]]}
    with pytest.raises(ValueError, match="remembers batches of 4 completions a prompt and cannot resume with 8"):
        make("curve_rl").step(batch(3, size=8), state=state)
    assert state == {"curve_rl": [[0, 2, 1, 0, 0]]}


def test_ha_dw_by_hand_over_three_batches():
    estimator, state = make("ha_dw", window=2, scale=1.5), {}
    batches = [batch(1, 3), batch(1, 1), batch(2, 3)]
    records = [0.5, (0.5 + 0.25) / 2, (0.25 + 0.625) / 2]  # the batch at hand is one of the two
    for rewards, record in zip(batches, records, strict=True):
        found, state = estimator.step(rewards, state=state)
        p = rewards.mean(dim=1, keepdim=True)
        sign = torch.where(rewards == 1, 1.0, -1.0)
        factor = 1.5 * torch.exp(-sign * torch.sign(p - record) * (p - record).abs())
        torch.testing.assert_close(found, factor * make("grpo")(rewards), rtol=1e-12, atol=1e-12)
    assert state == {"ha_dw": [0.25, 0.625]}


def test_ha_dw_takes_the_mean_of_the_whole_batch_where_it_is_given():
    state = {}
    rewards = batch(1)
    found, state = make("ha_dw").step(rewards, Context(omega=0.75), state=state)
    assert state == {"ha_dw": [0.75]}
    assert weights(found, make("grpo")(rewards)) == pytest.approx([1.5 * math.exp(0.5)])


def test_ha_dw_learns_nothing_from_a_batch_without_verdicts():
    state = {"ha_dw": [0.5]}
    found, state = make("ha_dw").step(torch.full((2, 4), NAN), state=state)
    assert (found == 0).all()
    assert state == {"ha_dw": [0.5]}


@pytest.mark.parametrize("name", ["curve_rl", "ha_dw"])
def test_a_saved_state_resumes_as_if_never_saved(name):
    generator = torch.Generator().manual_seed(0)
    kept, saved = {}, {}
    for _ in range(14):  # longer than the window
        rewards = (torch.rand(6, 8, generator=generator) < torch.rand(6, 1, generator=generator)).double()
        unbroken, kept = make(name).step(rewards, state=kept)
        resumed, saved = make(name).step(rewards, state=json.loads(json.dumps(saved)))
        assert torch.equal(resumed, unbroken)
    assert len(saved[name]) == 10
    assert not torch.equal(make(name)(rewards), unbroken)  # the history matters


@pytest.mark.parametrize("name", ["curve_rl", "ha_dw"])
def test_a_step_leaves_its_state_as_it_is(name):
    _, state = make(name).step(batch(1, 2))
    before = json.dumps(state)
    _, new_state = make(name).step(batch(1, 3), state=state)
    assert json.dumps(state) == before
    assert new_state != state


def test_a_call_is_a_step_from_an_empty_state():
    advantages, state = make("curve_rl").step(batch(1, 2))
    assert torch.equal(make("curve_rl")(batch(1, 2)), advantages)
    assert state == {"curve_rl": [[0, 1, 1, 0, 0]]}
    assert make("a_grae").step(batch(1, 2))[1] == {}
