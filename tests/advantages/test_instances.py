"""Links as objects: `make("grpo", base=MyEstimator())`, for use from Python."""

from dataclasses import dataclass

import pytest
import torch

from agrae_lab.advantages import differences_from_preset, links, make
from agrae_lab.advantages.presets import SLOTS, preset_names


@dataclass(frozen=True)
class TwiceCentred:
    """A = scale · (r − mean(r))."""

    scale: float = 2.0

    def __call__(self, rewards_PG, context):
        return self.scale * (rewards_PG - rewards_PG.mean(dim=1, keepdim=True))


@dataclass(frozen=True)
class Halved:
    """A* = A / 2."""

    def __call__(self, advantages_PG, rewards_PG, context):
        return advantages_PG / 2


@dataclass
class Loose:
    """Not frozen."""


REWARDS = torch.tensor([[1.0, 0, 0, 0], [1.0, 1.0, 0, 0]])
CENTRED = REWARDS - REWARDS.mean(dim=1, keepdim=True)


def test_an_own_base_as_an_instance():
    estimator = make("grpo", base=TwiceCentred())
    torch.testing.assert_close(estimator(REWARDS), 2 * CENTRED)
    torch.testing.assert_close(make("grpo", base=TwiceCentred(scale=3.0))(REWARDS), 3 * CENTRED)
    torch.testing.assert_close(make("grpo", base=TwiceCentred(), scale=4)(REWARDS), 4 * CENTRED)
    assert estimator.base.name == "twice_centred"
    assert differences_from_preset(estimator) == ["twice_centred"]
    assert estimator.settings()["base"] == {"name": "twice_centred", "scale": 2.0}
    assert "invalid_left_out" not in estimator.laws
    assert not estimator.same_formula(make("grpo"))


@pytest.mark.parametrize("slot", SLOTS[1:])
def test_an_own_link_in_any_slot(slot):
    estimator = make("dr_grpo", **{slot: Halved()})
    torch.testing.assert_close(estimator(REWARDS), CENTRED / 2)


@pytest.mark.parametrize("slot", SLOTS)
def test_registered_links_as_instances(slot):
    for name, cls in links(slot).items():
        by_name, by_instance = (make("grpo", **{slot: value}) for value in (name, cls()))
        assert by_instance == by_name
        assert differences_from_preset(by_instance) == differences_from_preset(by_name)
    assert "grpo" in preset_names()


@pytest.mark.parametrize(
    ("slot", "value", "message"),
    [
        ("base", TwiceCentred, r"advantage.base must be a name, settings or an instance; write TwiceCentred\(\)"),
        ("base", Loose(), r"an instance of a frozen dataclass, got Loose\(\); write @dataclass\(frozen=True\)"),
        ("base", lambda rewards, context: rewards, "an instance of a frozen dataclass, got <function"),
        ("base", None, "an instance of a frozen dataclass, got None"),
        ("group", links("base")["grpo"](), "advantage.group cannot hold 'grpo', which is of slot base"),
    ],
)
def test_what_is_no_link_is_refused(slot, value, message):
    with pytest.raises(ValueError, match=message):
        make("grpo", **{slot: value})


GRPO = "agrae_lab.advantages.base.grpo:GRPO"
OWN = """
from dataclasses import dataclass

from agrae_lab.advantages import Link


@dataclass(frozen=True)
class Weight(Link):
    SLOT = "sample"

    def __call__(self, advantages_PG, rewards_PG, context):
        return advantages_PG


@dataclass(frozen=True)
class Steeper(Weight):
    power: float = 2.0
"""


def test_a_named_class_is_refused_in_another_slot(tmp_path):
    (tmp_path / "own_weight.py").write_text(OWN)
    for target, slot, home in (
        (GRPO, "sample", "base"),
        (f"{tmp_path}/own_weight.py:Weight", "base", "sample"),
        (f"{tmp_path}/own_weight.py:Steeper", "group", "sample"),
    ):
        with pytest.raises(ValueError, match=rf"advantage.{slot} cannot hold '\w+', which is of slot {home}"):
            make("grpo", **{slot: {"_target_": target}})
    steeper = make("grpo", sample={"_target_": f"{tmp_path}/own_weight.py:Steeper", "power": 3}).sample
    assert steeper.power == 3
    with pytest.raises(ValueError, match=r"advantage.base cannot hold 'steeper', which is of slot sample"):
        make("grpo", base=steeper)


def test_a_named_class_of_ours_is_the_registered_link():
    plain = make("grpo").settings()
    assert plain["base"].keys() == {"name", "ddof", "epsilon"}
    assert make("grpo", base={"_target_": GRPO}).settings() == plain
    assert make("grpo").settings() == plain


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": ["grpo"]}, r"unknown advantage.base \['grpo'\]; "),
        ({"name": {}}, r"unknown advantage.base \{\}; choose from"),
        ({"name": "grpo", 5: 1.0, "ddoff": 1}, "advantage.base 'grpo' has no field 5, ddoff; its fields are"),
        ({"_target_": 5}, r"advantage.base._target_ must be text, such as my_file:MyEstimator, got 5"),
        ({"_target_": ["a:B"]}, r"advantage.base._target_ must be text, such as my_file:MyEstimator, got \['a:B'\]"),
        ({"name": 5}, "unknown advantage.base 5"),
        ([5], "advantage.base must be a name, settings or an instance of a frozen dataclass, got 5"),
    ],
)
def test_settings_of_other_types_are_refused_in_a_sentence(value, message):
    with pytest.raises(ValueError, match=message):
        make("grpo", base=value)
