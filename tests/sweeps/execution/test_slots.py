"""Slots of a launch fit its runs: their device, their processes, and the engine that executes them."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sweeps.errors import PlanError
from sweeps.execution import slots
from sweeps.execution.slots import Slot, check_here, largest_layout, make_slots, slots_of_launch


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    monkeypatch.setattr(slots, "visible_gpus", lambda: ["0"])


def config(processes: int, device: str = "auto") -> dict[str, Any]:
    return {"hardware": {"processes": processes, "device": device}}


@pytest.mark.usefixtures("one_gpu")
def test_runs_on_the_cpu_need_no_gpus() -> None:
    on_cpu = [config(4, "cpu")] * 2
    check_here(on_cpu)
    assert make_slots(2, layout=largest_layout(on_cpu)) == [Slot(1, None, (0, 1, 2, 3)), Slot(1, None, (4, 5, 6, 7))]
    assert make_slots(20, layout=largest_layout([config(1, "cpu")])) == [Slot(1, None, (core,)) for core in range(8)]


@pytest.mark.usefixtures("one_gpu")
def test_slots_have_a_gpu_where_some_run_may_use_one() -> None:
    mixed = [config(4, "cpu"), config(1)]
    check_here(mixed)
    assert make_slots(2, layout=largest_layout(mixed)) == [Slot(8, "0")]
    with pytest.raises(PlanError, match="needs 4 GPUs, and this one has 1"):
        make_slots(2, layout=largest_layout([config(4), config(4, "cpu")]))


@pytest.mark.usefixtures("one_gpu")
def test_a_cluster_is_not_held_against_this_machine() -> None:
    layout = largest_layout([config(8)])
    assert slots_of_launch(100, num_runs=120, layout=layout, num_slots=None, engine="slurm") == (None, 100)
    assert slots_of_launch(3, num_runs=120, layout=layout, num_slots=4, engine="ray") == (4, 3)
    with pytest.raises(PlanError, match="needs 8 GPUs, and this one has 1"):
        slots_of_launch(100, num_runs=120, layout=layout, num_slots=None, engine="local")


@pytest.mark.usefixtures("one_gpu")
def test_the_slots_of_a_launch_follow_from_all_runs_of_the_sweep() -> None:
    layout = largest_layout([config(1, "cpu")])
    assert slots_of_launch(2, num_runs=120, layout=layout, num_slots=None, engine="local") == (8, 2)
    assert slots_of_launch(2, num_runs=4, layout=layout, num_slots=None, engine="local") == (4, 2)


@pytest.mark.parametrize("engine", ["local", "slurm", "ray"])
def test_slots_below_one_are_refused_on_every_engine(engine: str) -> None:
    with pytest.raises(PlanError, match="slots is 0, but must be at least 1"):
        slots_of_launch(3, num_runs=3, layout=largest_layout([]), num_slots=0, engine=engine)
