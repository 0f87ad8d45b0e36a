"""Every link's docstring has an example, and every example of the room runs as a doctest."""

import doctest
import importlib
import pkgutil

import pytest

from agrae_lab import advantages

MODULES = sorted(m.name for m in pkgutil.walk_packages(advantages.__path__, f"{advantages.__name__}."))


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    if not name.endswith("__main__"):
        assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("slot", advantages.SLOTS)
def test_every_link_has_an_example(slot):
    for name, cls in advantages.links(slot).items():
        if name != "none":
            assert ">>> make(" in cls.__doc__ or "= make(" in cls.__doc__, name
