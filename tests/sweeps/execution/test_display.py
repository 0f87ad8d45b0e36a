"""Estimates, durations, slots, and the live table on a terminal."""

from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest
from sweep_lab import Lab, ctrl_c, read_until

from sweeps.errors import PlanError
from sweeps.execution.display import duration, read_progress
from sweeps.execution.eta import run_remaining, sweep_remaining
from sweeps.execution.slots import Slot, make_slots, visible_gpus


def test_a_runs_rest_is_its_phases_rest_or_what_a_typical_run_has_left() -> None:
    progress = {"phase": "train", "done": 20, "total": 80, "pace": 0.5}
    assert run_remaining(progress, elapsed=12.0, typical=None) == 30.0  # 60 steps at 0.5 s
    assert run_remaining(progress, elapsed=12.0, typical=100.0) == 88.0  # evaluation comes after training
    assert run_remaining({}, elapsed=12.0, typical=None) is None
    assert run_remaining({}, elapsed=120.0, typical=100.0) == 0.0


def test_waiting_runs_start_on_the_first_free_slot() -> None:
    # slots free at 10 and 40; three runs of 20 s: 10-30, 30-50, 40-60
    assert sweep_remaining([10.0, 40.0], waiting=[20.0] * 3, num_slots=2) == 60.0
    assert sweep_remaining([10.0], waiting=[], num_slots=2) == 10.0
    assert sweep_remaining([10.0, None], waiting=[], num_slots=2) is None
    assert sweep_remaining([10.0], waiting=[None], num_slots=1) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_one_slot_per_core_or_per_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {1, 2, 3, 4, 5, 6, 7, 9})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert make_slots(20) == [Slot(1, None, (core,)) for core in (1, 2, 3, 4, 5, 6, 7, 9)]
    assert make_slots(2) == [Slot(4, None, (1, 2, 3, 4)), Slot(4, None, (5, 6, 7, 9))]
    three = [Slot(2, None, (1, 2)), Slot(2, None, (3, 4, 5)), Slot(2, None, (6, 7, 9))]  # threads alike for all
    assert make_slots(20, num_slots=3) == three
    assert make_slots(1, num_slots=3) == three[:1]  # the last one left computes as the others did
    assert make_slots(20, num_slots=9) == [Slot(1, None)] * 9  # more runs than cores: the kernel shares them out
    assert make_slots(1) == [Slot(8, None)]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-abc")
    assert make_slots(20) == [Slot(4, "2"), Slot(4, "GPU-abc")]
    assert make_slots(1) == [Slot(8, "2")]
    assert [slot.gpu for slot in make_slots(20, num_slots=3)] == ["2", "GPU-abc", "2"]
    with pytest.raises(PlanError, match="at least 1"):
        make_slots(20, num_slots=0)


def test_gpus_are_asked_of_the_driver_where_the_environment_names_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: GPU-a)'\necho '  MIG 1g.18gb'\necho 'GPU 1: H200'\n")
    fake.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []


def test_a_slots_environment_reaches_the_run() -> None:
    assert Slot(3, "1").environment() == {
        "OMP_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "3",
        "TOKENIZERS_PARALLELISM": "false",
        "CUDA_VISIBLE_DEVICES": "1",
    }
    assert "CUDA_VISIBLE_DEVICES" not in Slot(3, None).environment()


def test_a_terminal_shows_a_live_table_and_ctrl_c_on_it_stops_the_sweep(lab: Lab) -> None:
    ours, theirs = pty.openpty()
    controller = lab.start("plain", "arm=ok,hang", "seed=3", "--slots", "2", terminal=theirs)
    os.close(theirs)
    seen = read_until(ours, "1 running, 0 waiting, 1 done")
    assert "ok seed 3: done" in seen
    assert "hang" in read_until(ours, "train")
    ctrl_c(controller)
    seen = read_until(ours, "Ctrl-C: no more runs start")
    read_until(ours, "1 running, 0 waiting, 1 done")  # the table stays
    ctrl_c(controller)
    read_until(ours, "Ctrl-C: stopping the active run")
    read_until(ours, "run the same command to resume")
    assert controller.wait(timeout=10) == 130
    os.close(ours)
    assert lab.statuses() == {"ok 3": "done", "hang 3": "interrupted"}


def test_a_torn_progress_file_shows_as_no_progress(lab: Lab) -> None:
    lab.sweep("plain")
    (run,) = lab.runs().values()
    assert read_progress(run)["total"] == 2
    (run.path / "progress.json").write_text('{"phase": "tra')
    assert read_progress(run) == {}
