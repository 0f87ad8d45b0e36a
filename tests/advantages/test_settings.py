"""Declared settings of links: bounds and types, in one place for every link and for links of a user's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest

from agrae_lab.advantages import SLOTS, Link, links, make
from agrae_lab.advantages.settings import above, at_most, one_of, settings_of, whole_from


@dataclass(frozen=True)
class Own(Link):
    """A = r."""

    SLOT: ClassVar = "group"

    share: Annotated[float, above(0), at_most(1), "share of r; 0.5 in the paper"] = 0.5
    window: Annotated[int, whole_from(2)] = 2
    form: Annotated[str, one_of("long", "short"), "form of r"] = "long"
    weights: Mapping[str, float] | None = None
    free: object = None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 0}, "advantage.group.share must be above 0 and at most 1 (share of r; 0.5 in the paper), got 0"),
        ({"share": float("nan")}, "advantage.group.share must be above 0 and at most 1 .*, got nan"),
        ({"share": float("inf")}, "must be above 0 and at most 1 .*, got inf"),
        ({"share": "x"}, "advantage.group.share must be a number .*, got 'x'"),
        ({"share": None}, "advantage.group.share must be a number .*, got None"),
        ({"share": True}, "must be a number .*, got True"),
        ({"share": 10**400}, "must be above 0 and at most 1 .*, got 1000"),
        ({"window": 1}, "advantage.group.window must be a whole number from 2, got 1"),
        ({"window": 2.5}, "advantage.group.window must be a whole number from 2, got 2.5"),
        ({"form": "wide"}, "advantage.group.form must be long or short .form of r., got 'wide'"),
        ({"weights": 1}, "advantage.group.weights must be a mapping of names to numbers, got 1"),
        ({"weights": {"a": "x"}}, "advantage.group.weights.a must be a number, got 'x'"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_key_bounds_and_description(values, message):
    pattern = message if ".*" in message else message.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=pattern) as caught:
        Own(**values)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=pattern):
        make("grpo", group=Own(), **values)


def test_values_get_the_declared_type():
    own = Own(share=1, window=3.0, weights={"a": 2}, free="anything")
    assert (own.share, own.window, own.weights, own.free) == (1.0, 3, {"a": 2.0}, "anything")
    assert [type(v) for v in (own.share, own.window, own.weights["a"])] == [float, int, float]


@pytest.mark.parametrize("slot", SLOTS)
def test_every_setting_of_the_package_is_declared(slot):
    """A description for each, and bounds for each that is no mapping or a plain finite number."""
    for name, cls in links(slot).items():
        for setting in settings_of(cls):
            assert setting.description, (name, setting.name)
            assert setting.kind in (int, float, str) or setting.allows_none, (name, setting.name)
            assert setting.bounds or setting.kind is not str, (name, setting.name)
        assert name == "none" or (issubclass(cls, Link) and slot == cls.SLOT)
