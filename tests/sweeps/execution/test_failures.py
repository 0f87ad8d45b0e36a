"""Classes of failures, retries, and the early end of a sweep after failures."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
from fake_train import steps
from sweep_lab import Lab, failures, wait_until

from agrae_lab import runs
from sweeps.execution import run_status
from sweeps.execution.failures import CLASSES, TRANSIENT, classify, exit_error
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.shutdown import waiting_for_locks


@pytest.mark.parametrize(
    ("exit_code", "error", "name"),
    [
        (1, "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB", "oom"),
        (1, "RuntimeError: CUDA error: out of memory", "oom"),
        (1, "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", "oom"),
        (1, "MemoryError: ", "oom"),
        (None, "JobError: slurmstepd: Detected 1 oom_kill event; OUT_OF_MEMORY", "oom"),
        (None, "JobError: CANCELLED AT 2026-01-01 DUE TO TIME LIMIT", "timeout"),
        (1, "ValueError: train.beta is 7", "config"),
        (1, "ConfigError: seed is missing", "config"),
        (1, "ModelError: model.path cannot be loaded", "config"),
        (1, "UnicodeDecodeError: 'utf-8' codec can't decode", "config"),
        (1, "OSError: [Errno 28] No space left on device", "infrastructure"),
        (1, "SafetensorError: IoError(Os { code: 28, message: \"No space left on device\" })", "infrastructure"),
        (1, "ConnectionResetError: [Errno 104]", "infrastructure"),
        (1, "requests.exceptions.SSLError: certificate", "infrastructure"),
        (1, "httpx.ReadTimeout: The read operation timed out", "infrastructure"),
        (1, "RuntimeError: NCCL error in: x.cpp:1", "infrastructure"),
        (1, "RuntimeError: the reward is on fire", "error"),
        (1, "KeyError: 'OSError'", "error"),
        (1, "print: a builtin that is no exception", "error"),
        (1, "", "error"),
        (1, None, "error"),
    ],
)  # fmt: skip
def test_classes_by_what_the_run_said(exit_code: int | None, error: str | None, name: str) -> None:
    assert classify(exit_code, error, "failed") == name
    assert name in CLASSES


@pytest.mark.parametrize(
    ("exit_code", "out_of_memory", "name"),
    [
        (-signal.SIGKILL, True, "oom"),
        (-signal.SIGKILL, False, "signal"),
        (-signal.SIGSEGV, True, "signal"),
        (128 + signal.SIGTERM, False, "signal"),
        (74, False, "infrastructure"),
        (None, False, "infrastructure"),
        (3, False, "error"),
        (0, False, "error"),
        (255, False, "error"),
    ],
)
def test_classes_by_how_the_process_ended(exit_code: int | None, out_of_memory: bool, name: str) -> None:
    assert classify(exit_code, exit_error(exit_code, out_of_memory=out_of_memory), "running") == name


def test_divergence_has_its_own_class_whatever_the_error_says() -> None:
    assert classify(0, "the loss is nan: OSError", "diverged") == "diverged"


def test_each_failure_is_recorded_with_its_class_and_only_transient_ones_are_tried_again(lab: Lab) -> None:
    arms = ("raise", "value_error", "oom", "offline", "sigkill", "too_large", "exit", "diverge", "ok")
    launch = lab.execute(*arms, retry_policy=RetryPolicy(retries=2), num_steps=5)
    assert failures(lab) == {
        "raise 0": ("error", 1),
        "value_error 1": ("config", 1),
        "oom 2": ("oom", 1),
        "offline 3": ("infrastructure", 3),
        "sigkill 4": ("signal", 3),
        "too_large 5": ("infrastructure", 3),
        "exit 6": ("error", 1),
        "diverge 7": ("diverged", 1),
        "ok 8": None,
    }
    assert {name: len(run.meta["attempts"]) for name, run in lab.runs().items()} == {
        name: 1 if failure is None else failure[1] for name, failure in failures(lab).items()
    }
    assert [outcome.status for outcome in launch.outcomes].count("failed") == 7
    assert len(launch.outcomes) == len(arms)
    assert not launch.interrupted


def test_failures_stand_in_a_table_at_the_end_with_their_logs_in_one_piece(lab: Lab) -> None:
    launch = lab.execute("raise", "oom", "offline", "ok", retry_policy=RetryPolicy())
    header, *rows = launch.text[launch.text.index("failure ") :].splitlines()
    assert header.split() == ["failure", "run", "attempts", "error", "log"]
    found = lab.runs()
    for row, name, attempts in zip(rows, ("raise 0", "offline 2", "oom 1"), (1, 2, 1), strict=False):
        run = found[name]
        assert row.startswith(run.meta["failure"]["class"])
        assert f" {attempts} " in row
        assert run.meta["error"] in row
        assert row.rstrip().endswith(str(run.path / "log.txt"))
    assert "per_device_batch_size" in rows[3]


@pytest.mark.parametrize(("arm", "name"), [("offline_once", "infrastructure"), ("sigkill_once", "signal")])
def test_another_attempt_goes_on_from_the_last_checkpoint(lab: Lab, arm: str, name: str) -> None:
    launch = lab.execute(arm, retry_policy=RetryPolicy(), num_steps=4)
    assert lab.statuses() == {f"{arm} 0": "done"}
    assert [step for step, _ in steps(launch.outcomes[0].run.path)] == [1, 2, 3, 4]
    assert f"{name}: retry" in launch.text
    assert failures(lab) == {f"{arm} 0": (name, 1)}  # what befell it stays on record


def test_no_retries_means_one_attempt(lab: Lab) -> None:
    lab.execute("offline_once", retry_policy=RetryPolicy(retries=0))
    assert lab.statuses() == {"offline_once 0": "failed"}


def test_the_bound_on_attempts_outlives_the_controller_and_ends_with_a_new_request(lab: Lab) -> None:
    lab.execute("offline", retry_policy=RetryPolicy(retries=2), num_steps=20)
    (run,) = lab.runs().values()
    assert failures(lab) == {"offline 0": ("infrastructure", 3)}
    runs.update_meta(run.path, status="pending", failure={"class": "infrastructure", "attempt": 2})  # killed just then
    lab.execute("offline", retry_policy=RetryPolicy(retries=2), num_steps=20)
    assert failures(lab) == {"offline 0": ("infrastructure", 3)}
    assert len(lab.runs()["offline 0"].meta["attempts"]) == 3 + 1
    lab.execute("offline", retry_policy=RetryPolicy(retries=2), num_steps=20)  # failed for good and asked for again
    assert len(lab.runs()["offline 0"].meta["attempts"]) == 3 + 1 + 3


def test_a_run_past_its_time_is_stopped_tried_again_and_failed(lab: Lab) -> None:
    launch = lab.execute("hang", "deaf", "ok", retry_policy=RetryPolicy(timeout_seconds=1.0), num_slots=3)
    assert lab.statuses() == {"hang 0": "failed", "deaf 1": "failed", "ok 2": "done"}
    assert failures(lab) == {"hang 0": ("timeout", 2), "deaf 1": ("timeout", 2), "ok 2": None}
    assert "timeout: still running after 1 s, the limit of a run" in launch.text
    assert not any(run.is_locked() for run in lab.runs().values())


def test_a_run_that_waits_for_what_another_makes_is_not_past_its_time(lab: Lab) -> None:
    base = lab.root / "base" / "shared"
    maker = runs.lock(base)
    maker.__enter__()
    threading.Timer(4.0, maker.__exit__, (None, None, None)).start()
    lab.execute("shared", "hang", retry_policy=RetryPolicy(timeout_seconds=2.0, retries=0))
    assert lab.statuses() == {"shared 0": "done", "hang 1": "failed"}


def test_the_kernel_says_who_waits_for_a_lock(tmp_path: Path) -> None:
    def wait() -> None:
        with runs.lock(tmp_path, wait=True):
            pass

    waiter = threading.Thread(target=wait)
    with runs.lock(tmp_path):
        assert os.getpid() not in waiting_for_locks()
        waiter.start()
        wait_until(lambda: os.getpid() in waiting_for_locks())
    waiter.join()
    assert os.getpid() not in waiting_for_locks()


def test_fail_fast_stops_the_others_to_be_continued(lab: Lab) -> None:
    launch = lab.execute("raise", "hang", "ok", retry_policy=RetryPolicy(fail_fast=True))
    assert lab.statuses() == {"raise 0": "failed", "hang 1": "interrupted", "ok 2": "pending"}
    assert "a run has failed (fail_fast): stopping the active run" in launch.text
    assert not launch.interrupted  # the failure is what the exit code is to tell


def test_fail_fast_waits_for_the_last_attempt(lab: Lab) -> None:
    lab.execute("offline_once", "ok", retry_policy=RetryPolicy(fail_fast=True), num_slots=1)
    assert lab.statuses() == {"offline_once 0": "done", "ok 1": "done"}


@pytest.mark.parametrize("policy", [RetryPolicy(fail_fast=True), RetryPolicy(max_failures=1)])
def test_runs_that_cannot_be_started_count_as_failures(
    policy: RetryPolicy, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their names may look like markup of the table that lists them."""
    monkeypatch.setattr(run_status, "claim", Mock(side_effect=runs.RunError("no such run")))
    launch = lab.execute("a[/b]", "ok", "ok", retry_policy=policy)
    assert [outcome.status for outcome in launch.outcomes] == ["failed"]
    assert "a[/b] seed 0" in launch.text


def test_after_max_failures_nothing_is_started_and_what_is_active_finishes(lab: Lab) -> None:
    arms = ("ok", "raise", "exit", "ok", "ok")
    launch = lab.execute(*arms, retry_policy=RetryPolicy(max_failures=2), num_steps=4, step_seconds=0.5)
    assert [run.status for run in lab.runs().values() if run.arm == "ok"] == ["done", "pending", "pending"]
    assert "2 runs have failed (max_failures): no more runs start, the active run will finish" in launch.text
    assert not launch.interrupted


def test_divergence_is_an_answer_and_does_not_count_against_the_sweep(lab: Lab) -> None:
    lab.execute("diverge", "ok", retry_policy=RetryPolicy(max_failures=1, fail_fast=True), num_slots=1)
    assert lab.statuses() == {"diverge 0": "diverged", "ok 1": "done"}


def test_at_the_deadline_the_active_runs_are_stopped_to_be_continued(lab: Lab) -> None:
    launch = lab.execute("hang", "ok", retry_policy=RetryPolicy(deadline_seconds=1.5), num_slots=1)
    assert lab.statuses() == {"hang 0": "interrupted", "ok 1": "pending"}
    assert "the time limit of this sweep (wall_hours) is reached: stopping the active run" in launch.text
    assert launch.interrupted


def test_transient_classes_are_those_that_another_attempt_can_help() -> None:
    assert sorted(TRANSIENT) == ["infrastructure", "signal", "timeout"]
