"""Chains: several links in the slots sample and group, in Python."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch

from agrae_lab.advantages import Context, Link, differences_from_preset, from_slots, links, make
from agrae_lab.advantages.properties import suite
from agrae_lab.advantages.properties.laws import ALWAYS

REWARDS = torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]])


@dataclass(frozen=True)
class Half(Link):
    """Halve.  A* = A / 2   (made up)."""

    SLOT = "sample"
    name = "half"
    factor: float = 0.5

    def __call__(self, advantages_PG, rewards_PG, context):
        return self.factor * advantages_PG


@pytest.mark.parametrize(
    "chain",
    [["focal", "dynamic"], "focal+dynamic", ({"name": "focal"}, "dynamic"), {"name": "focal+dynamic", "focal": None}],
)
def test_a_chain_applies_its_links_in_their_order(chain):
    estimator = make("a_grae", sample=chain)
    context = Context()
    expected = make("grpo")(REWARDS)
    for link in (make("f_grpo").sample, make("a_grae").sample, make("a_grae").group):
        expected = link(expected, REWARDS, context)
    assert torch.equal(estimator(REWARDS), expected)
    assert [link.name for link in estimator.links] == ["grpo", "focal", "dynamic", "attenuate", "none", "none"]


def test_order_matters_where_a_weight_looks_at_signs():
    one, other = (make("grpo", group=order) for order in (["lead", "differential_smoothing"],) * 2)
    assert one.same_formula(other)
    assert not make("grpo", group="lead+attenuate").same_formula(make("grpo", group="attenuate+lead"))


def test_settings_make_the_same_chain_again():
    estimator = make("grpo", sample=[Half(factor=0.25), {"name": "focal", "gamma": 2}], group="attenuate+lead")
    settings = estimator.settings()
    assert settings["sample"] == {"name": "half+focal", "half": {"factor": 0.25}, "focal": {"gamma": 2.0}}
    assert settings["group"]["lead"]["largest"] == 1.5
    plain = make("grpo", sample="hard_focused+focal", flavor="official", gamma=0.3)
    assert from_slots("grpo", plain.settings(), flavor="official") == plain
    assert plain.settings()["sample"]["hard_focused"] == {"gamma": 0.3} == plain.settings()["sample"]["focal"]


def test_a_list_of_one_is_that_link():
    assert make("grpo", sample=["focal"]).same_formula(make("f_grpo"))
    assert make("grpo", sample=[Half()]).sample == Half()
    assert make("a_grae", base=["dr_grpo"]).same_formula(make("a_grae", base="dr_grpo"))


def test_the_flavor_reaches_every_link():
    chain = make("grpo", sample="easy_focused+dynamic", flavor="official").sample
    assert [link.easy_form for link in chain.links] == ["one_minus_sqrt", "one_minus_sqrt"]


def test_inputs_state_and_laws_are_those_of_all_links():
    estimator = make("grpo", group="differential_smoothing+ha_dw")
    assert estimator.requires == {"logprobs"}
    assert estimator.is_stateful
    batch = suite.batch_of(REWARDS, requires=estimator.requires)
    _, state = estimator.step(batch.rewards_PG, batch.context)
    _, state = estimator.step(batch.rewards_PG, batch.context, state=state)
    assert len(state["ha_dw"]) == 2
    for first in links("sample"):
        for second in links("sample"):
            if "none" in (first, second) or first == second:
                continue
            chain = make("grpo", sample=[first, second])
            alone = [make("grpo", sample=name).laws for name in (first, second)]
            assert chain.laws == alone[0] & alone[1]


@pytest.mark.parametrize("slot", ["sample", "group"])
def test_chains_keep_the_laws_that_all_their_links_keep(slot):
    names = [name for name in links(slot) if name != "none"]
    for first, second in zip(names, names[1:] + names[:1], strict=True):
        estimator = make("grpo", **{slot: [first, second]})
        for law in sorted(ALWAYS | estimator.laws):
            small = [b for b in suite.all_batches(law, estimator.min_group_size) if b.shape[1] <= 3]
            assert suite.counter_example(law, estimator, small) is None, (first, second, law)


def test_differences_name_the_link():
    assert differences_from_preset(make("f_grpo", sample="focal+dynamic")) == ["focal+dynamic"]
    changed = make("f_grpo", sample=["focal", "hard_focused"])
    changed = dataclasses.replace(changed, sample=make("grpo", sample=["focal", Half(factor=0.1)]).sample)
    assert differences_from_preset(changed) == ["focal+half"]  # a class of no file and no registry has no preset
    assert differences_from_preset(make("f_grpo", sample="focal+hard_focused", gamma=1)) == [
        "focal+hard_focused",
        "focal.gamma=1.0",
        "hard_focused.gamma=1.0",
    ]


REFUSED = [
    ({"sample": ["focal", "focal"]}, "advantage.sample = focal.focal: a link can stand in a chain once"),
    ({"sample": [Half(), Half(factor=1)]}, "advantage.sample = half.half: a link can stand in a chain once"),
    ({"sample": ["focal", "none"]}, "none is the empty slot and no part of a chain; leave it out"),
    ({"sample": []}, "advantage.sample must name a link, got an empty list; none is the empty slot"),
    ({"base": ["grpo", "rloo"]}, "advantage.base takes one link, got grpo.rloo; sample and group take chains"),
    ({"token": "entropy+rl_zvp"}, "advantage.token takes one link, got entropy.rl_zvp"),
    ({"match": ["l1", "l2"]}, "advantage.match takes one link, got l1.l2"),
    ({"sample": "focal+nope"}, "unknown advantage.sample 'nope'; "),
    ({"sample": ["focal", "attenuate"]}, "unknown advantage.sample 'attenuate'; choose from"),
    ({"sample": {"name": "focal+dynamic", "gamma": 1}}, "'gamma': it is the chain focal.dynamic, and the settings"),
    ({"sample": {"name": "focal+dynamic", "focal": 1}}, "advantage.sample.focal must be a section"),
    ({"sample": {"name": "focal+dynamic", "focal": {"beta": 1}}}, "advantage.sample 'focal' has no field beta"),
    ({"sample": ["focal", {"name": "dynamic", "gamma": 1}]}, "advantage.sample 'dynamic' has no field gamma"),
    ({"sample": ["focal", Half]}, r"advantage.sample must be a name, settings or an instance; write Half\(\)"),
]


@pytest.mark.parametrize(("slots", "sentence"), REFUSED)
def test_a_wrong_chain_is_refused_in_one_sentence(slots, sentence):
    with pytest.raises(ValueError, match=sentence):
        make("grpo", **slots)
