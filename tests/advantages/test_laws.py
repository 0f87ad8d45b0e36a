"""The law suite: every declared law holds, and every law that is not declared has a counter-example.

It runs over all presets in both flavors and both precisions, and over A-GRAE on every base, matched and not.
"""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agrae_lab.advantages import links, make, preset_names
from agrae_lab.advantages.laws import OPTIONAL

ESTIMATORS = {name: make(name) for name in preset_names()}
ESTIMATORS |= {
    f"{name}-official": official
    for name in preset_names()
    if not (official := make(name, flavor="official")).same_formula(make(name))
}
ESTIMATORS |= {
    f"{base}+a_grae+{match}": make("a_grae", base=base, match=match)
    for base in links("base")
    for match in links("match")
}

TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4}


def tensors(rewards, dtype=torch.float64):
    return st.tuples(st.integers(1, 5), st.integers(2, 9)).flatmap(
        lambda shape: st.lists(rewards, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
            lambda values: torch.tensor(values, dtype=dtype).view(*shape)
        )
    )


binary = st.sampled_from([0.0, 1.0])
shaped = st.sampled_from([0.0, 0.1, 0.35, 0.5, 0.95, 1.0])  # 0.1, 0.35 and 0.95 are not exact in binary
undecided = st.sampled_from([0.0, 1.0, float("nan")])
dtypes = st.sampled_from([torch.float64, torch.float32])
everywhere = pytest.mark.parametrize("name", ESTIMATORS)
quickly = settings(max_examples=20, deadline=None, derandomize=True)


def holds(law, estimator, rewards) -> bool:
    """Whether a law holds for these rewards."""
    tolerance = TOLERANCE[rewards.dtype]
    advantages = estimator(rewards)
    size = advantages.abs().amax(dim=1, keepdim=True).clamp(min=1.0)
    if law == "zero_on_ties":
        tied = rewards.amin(dim=1) == rewards.amax(dim=1)
        return bool((advantages[tied] == 0).all())
    if law == "shift_invariant":
        # halving keeps shifted rewards within [0, 1], where the success rate is one
        low, high = estimator(rewards / 2), estimator(rewards / 2 + 0.5)
        return bool(((low - high).abs() <= tolerance * size).all())
    if law == "zero_sum":
        return bool((advantages.sum(dim=1, keepdim=True).abs() <= tolerance * size * rewards.shape[1]).all())
    if law == "sign_preserving":
        deviations = rewards - rewards.mean(dim=1, keepdim=True)
        clear = deviations.abs() > 1e-6
        tied = rewards.amin(dim=1, keepdim=True) == rewards.amax(dim=1, keepdim=True)
        return bool(
            (advantages.sign() == deviations.sign())[clear].all() and (advantages == 0)[tied.expand_as(clear)].all()
        )
    assert law == "groups_independent"
    alone = torch.cat([estimator(rewards[i : i + 1]) for i in range(len(rewards))])
    return bool(((advantages - alone).abs() <= tolerance * size).all())


@everywhere
@quickly
@given(data=st.data(), dtype=dtypes)
def test_finite_and_dtype_kept_whatever_the_rewards(name, data, dtype):
    rewards = data.draw(tensors(st.one_of(shaped, undecided), dtype=dtype))
    advantages = ESTIMATORS[name](rewards)
    assert advantages.isfinite().all()
    assert advantages.dtype == dtype
    assert advantages.shape == rewards.shape


@everywhere
@quickly
@given(data=st.data())
def test_permutation_equivariant(name, data):
    rewards = data.draw(tensors(shaped))
    order = torch.tensor(data.draw(st.permutations(range(rewards.shape[1]))))
    estimator = ESTIMATORS[name]
    torch.testing.assert_close(estimator(rewards[:, order]), estimator(rewards)[:, order], rtol=1e-9, atol=1e-9)


@everywhere
@quickly
@given(data=st.data())
def test_undecided_completions_are_left_out(name, data):
    """What remains gets what it would get if the undecided completions had never been sampled."""
    rewards = data.draw(tensors(undecided).filter(lambda r: len(r) == 1))
    decided = ~rewards[0].isnan()
    assume(decided.sum() >= 2)
    advantages = ESTIMATORS[name](rewards)
    assert (advantages[0, ~decided] == 0).all()
    torch.testing.assert_close(advantages[:, decided], ESTIMATORS[name](rewards[:, decided]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "law"), [(n, law) for n, e in ESTIMATORS.items() for law in sorted(e.laws)])
@quickly
@given(data=st.data(), dtype=dtypes)
def test_declared_law_holds(name, law, data, dtype):
    assert holds(law, ESTIMATORS[name], data.draw(tensors(st.one_of(binary, shaped), dtype=dtype)))


@pytest.mark.parametrize(
    ("name", "law"), [(n, law) for n, e in ESTIMATORS.items() for law in sorted(OPTIONAL - e.laws)]
)
def test_undeclared_law_has_a_counter_example(name, law):
    """Searched among all batches of one or two groups of four, by their number of correct completions."""
    counts = [[k] for k in range(5)] + [[j, k] for j in range(5) for k in range(5)]
    batches = (torch.tensor([[1.0] * k + [0.0] * (4 - k) for k in ks], dtype=torch.float64) for ks in counts)
    assert not all(holds(law, ESTIMATORS[name], rewards) for rewards in batches), f"{name} keeps {law}: declare it"
