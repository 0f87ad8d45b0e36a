"""The law suite over the whole registry: every declared law holds, every law that is not declared has a
counter-example.

All presets in both flavors, and every other link by itself, run on drawn batches in both precisions; A-GRAE runs on
every base, matched on a few, on all small batches of 0/1 rewards. The slow tests match it on every base.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agrae_lab.advantages import SLOTS, links, make, preset_names
from agrae_lab.advantages.catalogue import facts
from agrae_lab.advantages.properties import suite
from agrae_lab.advantages.properties.laws import ALWAYS, DECLARABLE

PRESETS = {name: make(name) for name in preset_names()}
PRESETS |= {
    f"{name}-official": official
    for name in preset_names()
    if not (official := make(name, flavor="official")).same_formula(make(name))
}
PRESETS |= {f"{slot} {e.name}": e.estimator for slot in SLOTS[1:] for e in facts.other_links(slot)}
COMBINATIONS = [
    pytest.param(
        base,
        match,
        id=f"{base}+a_grae+{match}",
        marks=[pytest.mark.slow] if match != "none" and base not in ("grpo", "dr_grpo", "zero") else [],
    )
    for base in links("base")
    for match in links("match")
]

REWARDS = {
    "binary": st.sampled_from([0.0, 1.0]),
    "shaped": st.sampled_from([0.0, 0.1, 0.35, 0.5, 0.95, 1.0]),  # 0.1, 0.35 and 0.95 are not exact in binary
    "invalid": st.sampled_from([0.0, 0.5, 1.0, float("nan")]),
}


@st.composite
def batches(draw, *, smallest):
    """Rewards [P, G] of one kind and precision."""
    rewards = REWARDS[draw(st.sampled_from(sorted(REWARDS)))]
    num_prompts, num_generations = draw(st.integers(1, 5)), draw(st.integers(smallest, smallest + 7))
    size = num_prompts * num_generations
    values = draw(st.lists(rewards, min_size=size, max_size=size))
    return torch.tensor(values, dtype=draw(st.sampled_from([torch.float64, torch.float32]))).view(num_prompts, -1)


def missing_counter_examples(estimator):
    """Laws that are not declared, yet hold on every small batch."""
    smallest = estimator.min_group_size
    small = [*suite.binary_batches(smallest), *suite.shaped_batches(smallest)]
    return [law for law in sorted(DECLARABLE - estimator.laws) if suite.counter_example(law, estimator, small) is None]


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_declared_laws_hold(name, data):
    estimator = PRESETS[name]
    rewards = data.draw(batches(smallest=max(2, estimator.min_group_size)))
    for law in sorted(ALWAYS | estimator.laws):
        assert (found := suite.violation(law, estimator, rewards)) is None, (law, found)


@pytest.mark.parametrize("name", PRESETS)
def test_laws_that_are_not_declared_have_a_counter_example(name):
    assert missing_counter_examples(PRESETS[name]) == [], "declare them"


@pytest.mark.parametrize(("base", "match"), COMBINATIONS)
def test_a_grae_on_every_base(base, match):
    estimator = make("a_grae", base=base, match=match)
    smallest = max(2, estimator.min_group_size)
    small = [b for b in suite.binary_batches(smallest) if b.shape[1] <= smallest + 1]
    invalid = [b for b in suite.invalid_batches(smallest) if b.shape[1] <= smallest + 1]
    cases = [(law, b) for b in small for law in sorted(estimator.laws)]
    cases += [(law, b) for b in invalid for law in ("finite", "invalid_left_out")]
    for law, rewards in cases:
        assert (found := suite.violation(law, estimator, rewards)) is None, (law, found)
    if estimator.base.name != "zero":  # no link makes a law of 0 fail, whatever it breaks elsewhere
        assert missing_counter_examples(estimator) == [], "declare them"
