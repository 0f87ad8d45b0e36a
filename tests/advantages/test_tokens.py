"""Estimators that look at tokens: by hand, with padding that holds anything at all."""

import pytest
import torch

from agrae_lab.advantages import Context, make

NAN = float("nan")
LENGTHS = torch.tensor([[1, 3, 2, 3], [2, 2, 3, 1]])
MASK = (torch.arange(3) < LENGTHS[..., None]).long()
ENTROPIES = torch.tensor(
    [
        [[0.2, NAN, 9.0], [0.1, 5.0, 0.3], [0.0, 0.4, NAN], [0.2, 0.3, 0.4]],
        [[0.5, 1.5, 9.0], [2.0, 0.1, NAN], [0.3, 0.6, 0.9], [0.7, NAN, NAN]],
    ],
    dtype=torch.float64,
)


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.fixture
def context():
    return Context(entropies_PGT=ENTROPIES, logprobs_PGT=-ENTROPIES, mask_PGT=MASK)


def test_entropy_advantage_by_hand(context):
    rewards = tensor([1, 0, 0, 0], [1, 1, 1, 1])
    found = make("entropy_advantage", base="dr_grpo")(rewards, context)
    assert found.shape == (2, 4, 3)
    # A = ¾, −¼, −¼, −¼; the bonus is 0.4·H, at most 0.375 and 0.125
    assert found[0, 0].tolist() == pytest.approx([0.75 + 0.08, 0, 0])
    assert found[0, 1].tolist() == pytest.approx([-0.25 + 0.04, -0.25 + 0.125, -0.25 + 0.12])
    assert found[0, 2].tolist() == pytest.approx([-0.25, -0.25 + 0.125, 0])
    assert (found[1] == 0).all()  # A = 0 stays 0, whatever the entropy


def test_entropy_advantage_without_its_weight_is_the_parent_on_every_token(context):
    rewards = tensor([1, 0, 0.35, 0], [1, NAN, 1, 0])
    found = make("entropy_advantage", alpha=0)(rewards, context)
    assert torch.equal(found, make("grpo")(rewards)[..., None] * MASK)


def test_rl_zvp_by_hand(context):
    rewards = tensor([1, 1, NAN, 1], [0, 0, 0, NAN])
    found = make("rl_zvp", alpha=0.5)(rewards, context)
    assert found[0, :2].tolist() == [pytest.approx([0.1, 0, 0]), pytest.approx([0.05, 2.5, 0.15])]
    assert found[1, 0].tolist() == pytest.approx([-0.5, 0, 0])  # the largest entropy is 1.5: not 9, which is padding
    assert found[1, 2].tolist() == pytest.approx([-0.3, -0.15, 0])
    assert (found[0, 2] == 0).all()
    assert (found[1, 3] == 0).all()


def test_rl_zvp_leaves_mixed_groups_to_the_base(context):
    rewards = tensor([1, 0, 0, 0], [1, 1, NAN, 0])
    found = make("rl_zvp")(rewards, context)
    assert torch.equal(found, make("grpo")(rewards)[..., None] * MASK)


def test_differential_smoothing_by_hand(context):
    rewards = tensor([1, 0, NAN, 0], [1, 1, 1, 1])
    found = make("ds_grpo", base="dr_grpo", positive_weight=0.1, negative_weight=0.5)(rewards, context)
    assert found.shape == (2, 4)
    # mean log-probabilities −0.2, −1.8, –, −0.3; A = ⅔, −⅓, 0, −⅓
    assert found[0].tolist() == pytest.approx([2 / 3 + 0.02, -1 / 3 - 0.9, 0, -1 / 3 - 0.15])
    assert found[1].tolist() == pytest.approx([0.1, 0.105, 0.06, 0.07])


def test_unlikeliness_by_hand(context):
    rewards = tensor([1, 1, NAN, 1], [1, 0, 1, 0])
    found = make("unlikeliness", penalty=0.5)(rewards, context)
    # mean log-probabilities −0.2, −1.8, –, −0.3 and −1, −1.05, −0.6, −0.7: ranks 2, 0, –, 1 of 3 and 1, 0, 3, 2 of 4
    plain = tensor([2 / 3, 1, NAN, 5 / 6], [7 / 8, 0, 5 / 8, 0])
    torch.testing.assert_close(found, make("grpo")(plain), rtol=1e-12, atol=1e-12)


def test_unlikeliness_ranks_equally_likely_completions_alike():
    same = Context(logprobs_PGT=torch.full((2, 4, 3), -0.5), mask_PGT=torch.ones(2, 4, 3))
    assert (make("unlikeliness")(tensor([1, 1, 1, 1], [0, 0, 0, 0]), same) == 0).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("entropy_advantage", "token entropies"),
        ("rl_zvp", "token entropies"),
        ("ds_grpo", "token log-probabilities"),
        ("unlikeliness", "token log-probabilities"),
        ("opo", "completion lengths"),
        ("reinforce_pp", "completion lengths"),
        ("gdpo", "the reward components"),
    ],
)
def test_what_is_needed_and_not_there_is_named(name, words):
    with pytest.raises(ValueError, match=f"advantage '{name}' needs {words}"):
        make(name)(tensor([1, 0, 0, 0]))


@pytest.mark.parametrize("name", ["entropy_advantage", "rl_zvp", "ds_grpo"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_that_of_the_rewards(name, dtype, context):
    assert make(name)(torch.tensor([[1.0, 0, 0, 0]] * 2, dtype=dtype), context).dtype == dtype
