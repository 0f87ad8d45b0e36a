"""Engines are found by name, have the same two functions, and refuse options that they lack."""

from __future__ import annotations

import importlib
import inspect

import pytest

from sweeps import engines
from sweeps.engines import ENGINES, local
from sweeps.errors import PlanError
from sweeps.execution.retry_policy import RetryPolicy


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_has_the_functions_of_an_engine(name: str) -> None:
    module = importlib.import_module(f"sweeps.engines.{name}")
    for function in ("check", "run_all"):
        wanted = list(inspect.signature(getattr(engines.Engine, function)).parameters)[1:]  # without self
        assert list(inspect.signature(getattr(module, function)).parameters) == wanted
    assert engines.load(name) is module


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("slrum", r"resources\.engine is 'slrum'; did you mean 'slurm'\?"), ("k8s", "it is one of local, slurm, ray")],
)
def test_an_engine_that_does_not_exist_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        engines.load(name)


def test_this_machine_has_no_options() -> None:
    local.check({}, RetryPolicy())
    with pytest.raises(PlanError, match=r"resources\.options\.partition: engine local has no such option; it has none"):
        local.check({"partition": "gpu"}, RetryPolicy())
