"""Estimators of other code bases: golden values from transcriptions of their public code, in plain Python.

Each transcription follows the code that the estimator's docstring names, loop by loop, and shares nothing with ours.
"""

import math
import random
import statistics

import pytest
import torch

from agrae_lab.advantages import Context, make

NAN = float("nan")
LEVELS = {"binary": (0.0, 1.0), "shaped": (0.0, 0.1, 0.35, 0.5, 0.95, 1.0)}


def batches(kind, *, prompts=5, num=12):
    """Yield rewards [P, G] as lists, the groups of every size from 2 to 9."""
    drawn = random.Random(f"{kind} {prompts}")
    for i in range(num):
        size = 2 + i % 8
        yield [[drawn.choice(LEVELS[kind]) for _ in range(size)] for _ in range(prompts)]


def close(ours, theirs):
    torch.testing.assert_close(ours, torch.tensor(theirs, dtype=ours.dtype), rtol=1e-9, atol=1e-9)


def tensor(groups):
    return torch.tensor(groups, dtype=torch.float64)


def rs_grpo(group, beta):
    soft = math.log(sum(math.exp(beta * r) for r in group) / len(group)) / beta
    return [(math.exp(beta * (r - soft)) - 1) / beta for r in group]


def opmd(group, tau):
    baseline = tau * (math.log(sum(math.exp(r / tau) for r in group)) - math.log(len(group)))
    return [r - baseline for r in group]


def mapo(group, epsilon=1e-6):
    mean, std = sum(group) / len(group), statistics.stdev(group)
    share = sum(r == 1.0 for r in group) / len(group)
    weight = 4 * share * (1 - share)
    return [weight * (r - mean) / (std + epsilon) + (1 - weight) * (r - mean) / (mean + epsilon) for r in group]


def jspo(groups, epsilon=1e-6):
    advantages = []
    for i, group in enumerate(groups):
        others = [g for j, g in enumerate(groups) if j != i]
        means = [sum(g) / len(g) for g in others]
        target = sum(means) / len(means)
        v = sum(statistics.variance(g) / len(g) for g in others) / len(others)
        s = sum((m - target) ** 2 for m in means) / len(means)
        shrinkage = v / (v + s + epsilon)
        rloo = [(sum(group) - r) / (len(group) - 1) for r in group]
        advantages.append([r - (b * (1 - shrinkage) + target * shrinkage) for r, b in zip(group, rloo, strict=True)])
    return advantages


def prpo(groups, epsilon=1e-6):
    rewards = [r for group in groups for r in group]
    mean, std = statistics.fmean(rewards), statistics.pstdev(rewards)
    return [[(r - mean) / (std + epsilon) for r in group] for group in groups]


def dcpo_visit(group, record):
    """Return the advantages of one visit and (visits, mean, std) after it, from those before."""
    times, old_mean, old_std = record
    new_mean, new_std = statistics.fmean(group), statistics.stdev(group)
    mean, std = new_mean, new_std
    if times > 0:
        mean = (old_mean * times + new_mean) / (times + 1)
        var = times * old_std**2 + new_std**2 + times / (times + 1) * (new_mean - old_mean) ** 2
        std = math.sqrt(var / (times + 1))
    advantages = []
    for r in group:
        new = (r - new_mean) / new_std if new_std > 1e-12 else 0.0  # the mean of equal rewards is rounded
        old = (r - mean) / std if std > 1e-12 else 0.0
        first = 1 / (times + 1) * old + (1 - 1 / (times + 1)) * new
        second = 1 / (times + 1) * new + (1 - 1 / (times + 1)) * old
        advantages.append(first if abs(first) < abs(second) else second)
    return advantages, (times + 1, mean, std)


GROUP_BY_GROUP = {
    "rs_grpo": (make("rs_grpo"), lambda g: rs_grpo(g, 2.0)),
    "rs_grpo, β = −1.5": (make("rs_grpo", beta=-1.5), lambda g: rs_grpo(g, -1.5)),
    "opmd": (make("opmd"), lambda g: opmd(g, 1.0)),
    "opmd, τ = 0.2": (make("opmd", tau=0.2), lambda g: opmd(g, 0.2)),
}
WHOLE_BATCHES = {"jspo": (make("jspo"), jspo), "prpo": (make("prpo"), prpo)}


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("name", GROUP_BY_GROUP)
def test_groups(name, kind):
    estimator, transcription = GROUP_BY_GROUP[name]
    for groups in batches(kind):
        close(estimator(tensor(groups)), [transcription(g) for g in groups])


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("name", WHOLE_BATCHES)
def test_whole_batches(name, kind):
    estimator, transcription = WHOLE_BATCHES[name]
    for groups in batches(kind):
        close(estimator(tensor(groups)), transcription(groups))


@pytest.mark.parametrize("kind", LEVELS)
def test_mapo(kind):
    """The code takes the share of rewards equal to 1 for the success rate; `correct_PG` says so of shaped rewards."""
    for groups in batches(kind):
        rewards = tensor(groups)
        found = make("mapo", flavor="official")(rewards, Context(correct_PG=rewards == 1))
        is_zero = (rewards == 0).all(dim=1)
        close(found[~is_zero], [mapo(g) for g in groups if any(g)])
        assert (found[is_zero] == 0).all()


@pytest.mark.parametrize("kind", LEVELS)
def test_dcpo_over_many_visits(kind):
    """Prompts come again in every other batch, next to others, and in another order."""
    estimator, state, records = make("dcpo", flavor="official"), {}, {}
    for i, groups in enumerate(batches(kind, num=16)):
        groups = [group + group[:1] for group in groups]  # three completions at least
        names = [f"{(i + j) % 9}" for j in range(len(groups))]
        found, state = estimator.step(tensor(groups), Context(prompts=names), state=state)
        expected = []
        for name, group in zip(names, groups, strict=True):
            advantages, records[name] = dcpo_visit(group, records.get(name, (0, 0.0, 0.0)))
            expected.append(advantages)
        close(found, expected)
    assert state["dcpo"].keys() == records.keys()
    assert max(visits for visits, _, _ in records.values()) > 5


def test_dcpo_gives_an_unsolved_visit_the_history_alone():
    """After half of a visit is solved, one with none solved has A = T/2 < 0, where GRPO has 0."""
    _, state = make("dcpo").step(tensor([[1, 1, 0, 0]]), Context(prompts=["a"]))
    found, state = make("dcpo").step(tensor([[0, 0, 0, 0], [0, 0, 0, 0]]), Context(prompts=["a", "b"]), state=state)
    std = math.sqrt((0.25 + 0.5 * 0.25) / 2)
    close(found, [[-0.25 / std / 2] * 4, [0.0] * 4])
    assert state["dcpo"]["b"] == [1, 0.0, 0.0]


def test_dcpo_skips_a_group_without_verdicts():
    _, state = make("dcpo").step(tensor([[1, 1, 0, 0]]), Context(prompts=["a"]))
    found, after = make("dcpo").step(tensor([[NAN] * 4]), Context(prompts=["a"]), state=state)
    assert (found == 0).all()
    assert after == state


def test_dcpo_needs_the_names_of_prompts():
    with pytest.raises(ValueError, match=r"advantage 'dcpo' needs names of the prompts \(Context.prompts\)"):
        make("dcpo")(tensor([[1, 0]]))


@pytest.mark.parametrize("kind", LEVELS)
def test_rae_over_several_batches(kind):
    state, baseline = {}, 0.0
    for groups in batches(kind):
        found, state = make("rae").step(tensor(groups), state=state)
        expected = []
        for group in groups:
            expected.append([])
            for reward in group:
                expected[-1].append(reward - baseline)
                baseline = 0.95 * baseline + (1.0 - 0.95) * reward
        close(found, expected)
    assert state["rae"] == pytest.approx(baseline)


def test_rae_passes_invalid_completions_over():
    found, state = make("rae").step(tensor([[1, NAN, 0]]))
    without, state_without = make("rae").step(tensor([[1, 0]]))
    close(found[:, [0, 2]], without.tolist())
    assert found[0, 1] == 0
    assert state == state_without


@pytest.mark.parametrize("kind", LEVELS)
def test_red_drop_balances_every_group(kind):
    """Of a transcription only the random draw is free: as many negatives as positives, the mean over the kept."""
    state = {}
    for groups in batches(kind, num=24):
        found, state = make("red_drop").step(tensor(groups), state=state)
        for group, advantages in zip(groups, found.tolist(), strict=True):
            mean = statistics.fmean(group)
            positives = [i for i, r in enumerate(group) if r >= mean - 1e-9]
            negatives = [i for i in range(len(group)) if i not in positives]
            num_kept = min(len(negatives), len(positives))
            candidates = [i for i in negatives if advantages[i] != 0]
            assert len(candidates) == num_kept or len(positives) >= len(negatives)
            if len(positives) < len(negatives):
                kept_mean = statistics.fmean(group[i] for i in (*positives, *candidates))
                expected = [group[i] - kept_mean if i in (*positives, *candidates) else 0.0 for i in range(len(group))]
                assert advantages == pytest.approx(expected)
            else:
                assert advantages == pytest.approx([r - mean for r in group])


def test_red_drop_draws_by_seed_batch_and_row():
    rewards = tensor([[1, *[0] * 15]] * 8)
    first, state = make("red_drop").step(rewards)
    second, _ = make("red_drop").step(rewards, state=state)
    other, _ = make("red_drop", seed=1).step(rewards)
    again, _ = make("red_drop").step(rewards, state={"red_drop": 1})
    assert torch.equal(again, second)  # a resumed run drops the same
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)
    assert len({tuple(row.tolist()) for row in first}) > 1
    dropped = torch.stack([make("red_drop", seed=seed)(rewards) == 0 for seed in range(200)]).double().mean(dim=(0, 1))
    assert (dropped[1:] - 14 / 15).abs().max() < 0.03  # every failure is as likely to be dropped


def test_jspo_of_one_prompt_is_rloo():
    rewards = tensor([[1, 0, 0, NAN, 1]])
    close(make("jspo")(rewards), make("rloo")(rewards).tolist())
    between = make("jspo")(tensor([[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]))
    close(between, [[0.0] * 4] * 3)  # the prompts differ, and their completions do not: no shrinkage


def test_jspo_leaves_out_a_prompt_with_one_valid_completion():
    rewards = [[1, 0, 0, 0], [1, 1, 0, 0]]
    found = make("jspo")(tensor([*rewards, [1, NAN, NAN, NAN]]))
    close(found[:2], make("jspo")(tensor(rewards)).tolist())
    assert (found[2] == 0).all()


@pytest.mark.parametrize("name", ["rs_grpo", "opmd"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_and_small_exponents_are_finite(name, dtype):
    rewards = torch.tensor([[0.0, 1.0, 1000.0], [1e-7, 0.0, 0.0]], dtype=dtype)
    for value in (1e-8, 1e-3, 300.0):
        assert make(name, **{"beta" if name == "rs_grpo" else "tau": value})(rewards).isfinite().all()
