"""Estimators' formulas against plain code: binomials, enumeration, scipy, token-level whitening, TRL's lines."""

import itertools
import math

import pytest
import torch
from advantage_lab import NAN, SIZES, close, groups, mixed_groups, tensor
from scipy.stats import beta

from agrae_lab.advantages import Context, make


def test_gpg_counts_mixed_groups_where_verl_counts_rewards():
    rewards = tensor([1.0] * 9, [1.0] * 5 + [0.0] * 4)  # half of the samples are in a mixed group; 14 of 18 are not 0
    alpha = make("gpg")(rewards) / make("dr_grpo")(rewards)
    assert alpha[1].tolist() == pytest.approx([18 / 9] * 9)
    assert rewards.numel() / rewards.count_nonzero() == pytest.approx(1.286, abs=5e-4)
    invalid = tensor([1.0, 1.0, 1.0, NAN], [1.0, 0.0, NAN, NAN], [NAN] * 4)
    close(make("gpg")(invalid)[1, :2], tensor(5 / 2 / 2, -5 / 2 / 2))
    assert (make("gpg")(rewards[:1]) == 0).all()


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_passk_training_against_the_binomials(k):
    for size in range(k + 1, 12):
        rewards, _ = groups(size)
        found = make("passk_training", k=k, epsilon=1e-6)(rewards)
        for c in range(size + 1):
            rho = 1 - math.comb(size - c, k) / math.comb(size, k)
            sigma = math.sqrt(rho * (1 - rho))
            positive = (1 - rho) / (sigma + 1e-6)
            missed = math.comb(size - c - 1, k - 1) / math.comb(size - 1, k - 1) if c < size else 0
            negative = (1 - rho - missed) / (sigma + 1e-6)
            assert found[c].tolist() == pytest.approx([positive] * c + [negative] * (size - c), abs=1e-8)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_pkpo_against_all_sets_of_k(k):
    """s_i: the mean over all sets of k of their best reward, counted where i is in the set."""
    size = 6
    rewards, _ = groups(size)
    sets = list(itertools.combinations(range(size), k))
    for group, found in zip(rewards.tolist(), make("pkpo", k=k)(rewards).tolist(), strict=True):
        scores = [sum(max(group[j] for j in s) for s in sets if i in s) / len(sets) for i in range(size)]
        expected = [s - (sum(scores) - s) / (size - 1) for s in scores]
        assert found == pytest.approx(expected, abs=1e-9)


def test_pass_at_k_needs_more_than_k_completions():
    for name in ("passk_training", "pkpo"):
        with pytest.raises(ValueError, match="at least 5 completions"):
            make(name)(tensor([1.0, 0.0, 0.0, 0.0]))
        assert (make(name)(tensor([1.0, 0.0, 0.0, 0.0, NAN])) == 0).all()


@pytest.mark.parametrize("share", [0.1, 0.28, 0.4, 0.5, 0.6, 0.7, 0.9])
def test_qae_moves_one_side_of_a_group(share):
    for size in (*SIZES, 25):  # 0.28 · 25 is above 7 in floating point
        rewards, p = mixed_groups(size)
        hard = p <= 1 - share + 1e-12
        expected = (rewards - (~hard).double()) / (p * (1 - p)).sqrt()
        close(make("qae", quantile=share)(rewards), expected)


def test_qae_baseline_is_a_reward_and_not_between_two():
    rewards = tensor([1.0] * 5 + [0.0] * 3)  # torch.quantile at 0.4 gives 0.8
    assert (make("qae")(rewards)[0, :5] == 0).all()
    close(
        make("qae")(tensor([0.1, 0.35, 0.5, 0.95]), None) * torch.std(tensor(0.1, 0.35, 0.5, 0.95), correction=0),
        tensor([-0.25, 0.0, 0.15, 0.6]),
    )  # 1/4 of the rewards are at most 0.1, 2/4 at most 0.35


def test_grpo_passk_rewards_a_lone_best_completion():
    found = make("grpo_passk", ddof=1, epsilon=1e-6)(
        tensor([0.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.1, 0.5, 0.35, 0.1])
    )
    assert found[0].tolist() == pytest.approx([0, 1 / (0.5 + 1e-6), 0, 0])
    assert found[1].tolist() == [0] * 4
    std = torch.tensor([0.1, 0.5, 0.35, 0.1]).std().item()
    assert found[2].tolist() == pytest.approx([0, 0.15 / (std + 1e-6), 0, 0])


def test_bnpo_against_scipy():
    rewards = tensor([1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0], [0] * 8)
    p = rewards.mean(dim=1)
    mean, variance = p.mean().item(), p.var().item()
    a, b = (((mean * (1 - mean) / variance) - 1) * m for m in (mean, 1 - mean))
    density = beta.pdf(p.numpy(), max(1, 1 + a / 3), max(1, 1 + b / 3))
    found = make("bnpo")(rewards)
    close(found[:3], (rewards - p[:, None])[:3] / torch.tensor(density[:3])[:, None])
    assert (found[3:] == 0).all()
    assert density[:3] != pytest.approx(1, abs=0.1)


def test_bnpo_without_anything_to_fit_is_dr_grpo():
    alone, alike = tensor([1.0, 0.0, 0.0, 0.0]), tensor([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0])
    for rewards in (alone, alike):
        close(make("bnpo")(rewards), make("dr_grpo")(rewards))


def test_bnpo_weight_is_bounded():
    rewards, _ = groups(64)
    batch = torch.cat([rewards[32:33]] * 200 + [rewards[1:2]])  # p = 1/64 is next to impossible under the fit
    found = make("bnpo")(batch)
    assert found[-1, 0].item() == pytest.approx(1e6 * 63 / 64)


def test_ngrpo_learns_from_failures_alone():
    found = make("ngrpo")(groups(8)[0])
    assert found[0].tolist() == pytest.approx([-1 / 3] * 8)
    assert (found[-1] == 0).all()


def test_krpo_filters_in_order():
    def filtered(rewards):
        x, variance, found = 0.0, 1.0, []
        for r in rewards:
            predicted = variance + 1e-5
            gain = predicted / (predicted + 1e-2)
            x, variance = x + gain * (r - x), (1 - gain) * predicted
            found.append((r - x) / (math.sqrt(variance) + 1e-8))
        return found

    for rewards in ([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.1, 0.35, 1.0, 0.5]):
        assert make("krpo")(tensor(rewards))[0].tolist() == pytest.approx(filtered(rewards))
    forth, back = (make("krpo")(tensor(r))[0] for r in ([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]))
    assert forth[0] < back[3] / 5


def test_leave_one_out_std_by_its_definition():
    rewards = tensor([0.1, 0.35, 0.95, 1.0, 0.35], [1, 0, 0, 0, 0], [0.35, 0.95, 0.35, 0.35, 0.35])
    found = make("loo_std")(rewards)
    for i, j in itertools.product(range(3), range(5)):
        others = torch.cat([rewards[i, :j], rewards[i, j + 1 :]])
        tied = bool((others == others[0]).all())
        expected = (rewards[i, j] - others.mean()) / (1 if tied else others.std() + 1e-6)
        assert found[i, j].item() == pytest.approx(expected.item(), rel=1e-9)
    single = make("loo_std")(rewards.float())
    torch.testing.assert_close(single, found.float(), rtol=1e-4, atol=1e-5)


def test_lite_ppo_is_trl_batch_scaling():
    rewards = tensor([1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0])
    expected = (rewards - rewards.mean(dim=1, keepdim=True)) / (rewards.std() + 1e-4)
    close(make("lite_ppo", ddof=1, epsilon=1e-4)(rewards), expected)


LENGTHS = torch.tensor([[1, 5, 2, 3], [4, 1, 1, 2], [3, 3, 6, 1]])
REWARDS = tensor([1, 0, 0, 0], [1, 1, 0.35, 0], [1, 1, 1, 1])


def whitened_over_tokens(values_PG):
    """Masked whitening of [P·G, T], token by token."""
    mask = (torch.arange(6) < LENGTHS.view(-1, 1)).double()
    values = values_PG.reshape(-1, 1) * mask
    mean = (values * mask).sum() / mask.sum()
    variance = ((values - mean).square() * mask).sum() / mask.sum() * mask.sum() / (mask.sum() - 1)
    whitened = (values - mean) * (variance + 1e-8).rsqrt() * mask
    return whitened[:, 0].view_as(values_PG)  # every completion has a first token


def test_reinforce_pp_whitens_over_tokens():
    context = Context(lengths_PG=LENGTHS)
    close(make("reinforce_pp")(REWARDS, context), whitened_over_tokens(REWARDS))
    close(make("reinforce_pp_baseline")(REWARDS, context), whitened_over_tokens(make("dr_grpo")(REWARDS)))
    tied = torch.full((3, 4), 0.6)  # whose mean over the tokens is not 0.6 in float32
    assert (make("reinforce_pp")(tied, context) == 0).all()


def test_reinforce_pp_leaves_invalid_tokens_out():
    context = Context(lengths_PG=LENGTHS)
    without = Context(lengths_PG=LENGTHS[:, 1:])
    rewards = REWARDS.clone()
    rewards[:, 0] = NAN
    for name in ("reinforce_pp", "reinforce_pp_baseline"):
        found = make(name)(rewards, context)
        assert (found[:, 0] == 0).all()
        close(found[:, 1:], make(name)(rewards[:, 1:], without))


def test_opo_by_hand():
    rewards, lengths = tensor([1, 0, 0, 1], [0, 1, NAN, 0]), torch.tensor([[1, 5, 2, 2], [4, 1, 9, 3]])
    found = make("opo")(rewards, Context(lengths_PG=lengths))
    close(found, tensor([0.7, -0.3, -0.3, 0.7], [-0.125, 0.875, 0.0, -0.125]))  # baselines 3/10 and 1/8


def trl_normalize_then_sum(parts, weights):
    """[P, G] parts as TRL aggregates them with multi_objective_aggregation="normalize_then_sum"."""
    total = 0.0
    for part, weight in zip(parts, weights, strict=True):
        total = total + weight * (part - part.mean(dim=1, keepdim=True)) / (part.std(dim=1, keepdim=True) + 1e-4)
    return (total - total.mean()) / (total.std() + 1e-4)


def test_gdpo_is_trls():
    outcome = tensor([1, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0])
    form = tensor([1, 1, 0.5, 0], [0, 0, 0.35, 1], [1, 0, 1, 0])
    context = Context(parts={"outcome": outcome, "form": form})
    rewards = outcome + form
    close(make("gdpo")(rewards, context), trl_normalize_then_sum([outcome, form], [1, 1]))
    weights = {"form": 0.25, "outcome": 2.0}
    close(make("gdpo", weights=weights)(rewards, context), trl_normalize_then_sum([outcome, form], [2, 0.25]))


def test_gdpo_parts_of_one_reward_count_alike():
    """A component of small spread is not drowned by one of large spread."""
    outcome, form = tensor([1, 1, 0, 0], [0, 0, 0, 0]), tensor([0.1, 0, 0.1, 0], [0, 0, 0, 0])
    found = make("gdpo")(outcome + form, Context(parts={"outcome": outcome, "form": form}))
    assert found[0, 1].item() == pytest.approx(0, abs=1e-2)  # right and badly formed
    assert found[0, 2].item() == pytest.approx(0, abs=1e-2)  # wrong and well formed


def test_gdpo_of_parts_that_cancel_is_zero():
    rewards = torch.full((2, 4), 0.35)
    form = torch.tensor([[0.1, 0.25, 0.5, 0.1]] * 2)
    assert (make("gdpo")(rewards, Context(parts={"outcome": rewards - form, "form": form})) == 0).all()


def test_gdpo_leaves_invalid_values_out():
    outcome, form = tensor([1, 0, 0, 1], [1, 1, 0, 0]), tensor([0.5, NAN, 0, 1], [0, 1, 0, 1])
    found = make("gdpo")(outcome, Context(parts={"outcome": outcome, "form": form}))
    scores = [(outcome[0] - 0.5) / (outcome[0].std() + 1e-4)]
    valid = tensor(0.5, 0.0, 1.0)
    scores.append(torch.zeros(4, dtype=torch.float64))
    scores[1][[0, 2, 3]] = (valid - 0.5) / (valid.std() + 1e-4)
    first = scores[0] + scores[1]
    close(found[0] / found[0, 0], first / first[0])


def test_gdpo_wants_a_weight_for_every_component():
    context = Context(parts={"outcome": REWARDS, "form": REWARDS})
    with pytest.raises(ValueError, match="must name the reward components, outcome, form; got outcome, length"):
        make("gdpo", weights={"outcome": 1, "length": 1})(REWARDS, context)
    with pytest.raises(ValueError, match="must be a mapping of names to numbers"):
        make("gdpo", weights=[1, 2])


def test_difficulty_softmax_by_hand():
    rewards = tensor([1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [0.35, 0.35, 0.35, 0.35])
    weights = make("dgpo", base="asym_re")(rewards)[:, 0] / make("asym_re")(rewards)[:, 0]
    first, second = math.exp(-0.25 / 2), math.exp(-0.75 / 2)
    assert weights.tolist() == pytest.approx([2 * first / (first + second), 2 * second / (first + second), 1, 1])
