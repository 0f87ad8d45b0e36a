"""Kills, full disks and torn files: the same command ends as an unbroken sweep, each run executed once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fake_train import pids, steps
from sweep_lab import Lab, environment, failures

from agrae_lab import runs
from sweeps.execution import forkserver
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.worker import run_in_child


@pytest.mark.slow
def test_twenty_kills_at_random_points_change_nothing(lab: Lab) -> None:
    words = ("plain", "arm=ok,shared", "seed=0,1,2", "train.num_steps=150", "train.step_seconds=0.05", "--slots", "2")
    chance = random.Random(0)
    whom = ["controller"] * 10 + ["child"] * 10
    chance.shuffle(whom)
    controller = lab.start(*words)
    for victim in whom:
        time.sleep(chance.uniform(0.0, 3.0))
        if victim == "controller":
            controller.kill()
            controller.communicate(timeout=30)
        else:
            while not (children := _at_work(lab)):
                if controller.poll() is not None:  # with runs that failed for good, or were busy
                    controller = _again(lab, words)
                time.sleep(0.02)
            with suppress(ProcessLookupError):
                os.kill(chance.choice(children), signal.SIGKILL)
        if controller.poll() is not None:
            controller = _again(lab, words)  # at once: the runs of a killed controller may still be at work
    _finish(lab, controller, words)

    unbroken = Lab(lab.conf, lab.root.with_name("unbroken"))
    assert unbroken.sweep(*words, "train.step_seconds=0") == 0
    assert _results(lab) == _results(unbroken)
    for run in lab.runs().values():
        assert [step for step, _ in steps(run.path)] == list(range(1, 151))  # none lost, none taken twice
        assert len(set(pids(run.path))) == len(pids(run.path))  # one process after the other
    assert sum(len(run.meta["attempts"]) for run in lab.runs().values()) > 6 + 10


def _at_work(lab: Lab) -> list[int]:
    return [pids(run.path)[-1] for run in lab.runs().values() if pids(run.path) and run.is_locked()]


def _again(lab: Lab, words: tuple[str, ...]) -> subprocess.Popen[str]:
    assert set(lab.statuses().values()) != {"done"}, "too little work for so many kills"
    return lab.start(*words)


def _finish(lab: Lab, controller: subprocess.Popen[str], words: tuple[str, ...]) -> None:
    for _ in range(10):
        out, _ = controller.communicate(timeout=120)
        if controller.returncode == 0:
            return
        controller = lab.start(*words)
    raise AssertionError(out)


def _results(lab: Lab) -> dict[str, object]:
    return {name: json.loads((run.path / "result.json").read_text()) for name, run in lab.runs().items()}


def test_two_controllers_share_a_sweep_and_what_its_runs_have_in_common(lab: Lab) -> None:
    words = ("plain", "arm=shared", "seed=range(0,4)", "train.num_steps=5", "train.step_seconds=0.1", "--slots", "2")
    controllers = [lab.start(*words), lab.start(*words)]
    output = [controller.communicate(timeout=60)[0] for controller in controllers]
    assert {controller.returncode for controller in controllers} <= {0, 1}, output  # 1: it found a run busy
    assert set(lab.statuses().values()) == {"done"}
    assert len((lab.root / "base" / "shared" / "made").read_text().splitlines()) == 1
    for run in lab.runs().values():
        assert [step for step, _ in steps(run.path)] == [1, 2, 3, 4, 5]
        assert len(pids(run.path)) == 1


NANO = (
    "train.num_steps=2",
    "train.num_prompts=8",
    "train.num_generations=4",
    "train.validate_every=0",
    "evaluation.num_samples=8",
    "evaluation.batch_size=256",
    "evaluation.benchmarks.countdown_test.limit=16",
)


@pytest.mark.slow
def test_two_controllers_evaluate_the_base_model_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sweeps", "run", "group_symmetry", f"root={tmp_path}", *NANO, "--slots", "1"]
    controllers = [
        subprocess.Popen([*command, "advantage=grpo", f"seed={seed}"], env=environment(), stdout=subprocess.DEVNULL)
        for seed in (0, 1)
    ]
    assert [controller.wait(timeout=300) for controller in controllers] == [0, 0]
    made_by = [run.key for run in runs.list_runs(tmp_path) if "evaluate base 0/" in (run.path / "log.txt").read_text()]
    assert len(made_by) == 1
    first, second = (run.base_samples_path("countdown_test") for run in runs.list_runs(tmp_path))
    assert first == second
    assert first is not None
    assert first.is_file()


@pytest.fixture
def small_disk(lab: Lab) -> Iterator[Path]:
    """A file system of 1 MiB in the place of the root."""
    lab.root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(lab.root)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small tmpfs is not allowed here: {mounted.stderr.strip()}")
    yield lab.root
    subprocess.run(["umount", "-l", str(lab.root)], check=True)


def test_a_full_disk_fails_the_runs_that_meet_it_until_there_is_room_again(lab: Lab, small_disk: Path) -> None:
    words = ("plain", "arm=ok,full_once,raise_once", "train.num_steps=3", "--slots", "1")
    controller = lab.start(*words)
    out, _ = controller.communicate(timeout=60)
    assert controller.returncode == 1, out
    assert "Traceback" not in out
    table = out.partition("failure ")[2].splitlines()[1:]
    for arm in ("full_once", "raise_once"):  # the one that filled it, and the one after it
        assert [line.startswith("infrastructure") for line in table if f" {arm} seed 0 " in line] == [True], out
    assert "No space left on device" in out
    assert lab.statuses()["ok 0"] == "done"

    for checkpoint in small_disk.glob("*/*/checkpoint"):
        checkpoint.unlink()
    assert lab.start(*words, "arm=ok,full_once").wait(timeout=60) == 0
    assert [step for step, _ in steps(lab.runs()["full_once 0"].path)] == [1, 2, 3]


def test_what_a_power_cut_tore_does_not_stop_the_next_launch(lab: Lab) -> None:
    lab.execute("offline_once", "ok", retry_policy=RetryPolicy(retries=0), num_steps=4)
    torn = lab.runs()["offline_once 0"].path
    (torn / "progress.json").write_text('{"phase": "tra')
    (torn / ".meta.json.4711.tmp").write_text('{"schema_ver')
    (torn / "log.txt").write_text("=== attem")
    with (torn / "trace.txt").open("a") as trace:
        trace.write("2 17")
    launch = lab.execute("offline_once", "ok", retry_policy=RetryPolicy(), num_steps=4)
    assert [outcome.status for outcome in launch.outcomes] == ["done", "done"]
    assert [step for step, _ in steps(torn)] == [1, 2, 3, 4]


def test_a_run_that_ruins_its_own_books_fails_alone(lab: Lab) -> None:
    launch = lab.execute("scribble", "ok", retry_policy=RetryPolicy(), num_slots=1)
    assert [outcome.status for outcome in launch.outcomes] == ["failed", "done"]
    assert "meta.json is not readable as JSON" in launch.text


def test_a_root_that_cannot_hold_runs_is_one_sentence(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.root.write_text("a file\n")
    for words in (("plain",), ("plain", "seed=1")):
        assert lab.sweep(*words) == 2
        assert capsys.readouterr().err.splitlines() == [
            f"root={lab.root}: {lab.root} is a file, not a directory; choose another root",
            "nothing was started",
        ]


def test_a_full_disk_at_the_launch_is_one_sentence(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGRAE_FAILPOINT", "config:1:full")
    monkeypatch.setattr("agrae_lab.runs.failpoints._num_writes", Counter())
    assert lab.sweep("plain") == 2
    fault, end = capsys.readouterr().err.splitlines()
    assert fault.endswith("config.yaml: No space left on device. Choose a root that can be written, with room")
    assert end == "nothing was started"


def test_a_fork_server_that_dies_while_it_loads_is_an_infrastructure_failure(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the screen, on disk, and in the class that is retried."""
    start, told = forkserver.start, []

    def dying(context, target, *args):
        if target is run_in_child and len(told) < 3:
            told.append(args)
            raise EOFError
        return start(context, target, *args)

    monkeypatch.setattr(forkserver, "start", dying)
    launch = lab.execute("ok", retry_policy=RetryPolicy(retries=1), num_slots=1)
    assert [outcome.status for outcome in launch.outcomes] == ["failed"]
    assert "infrastructure" in launch.text
    assert "the fork server of the runs has died" in launch.text
    assert failures(lab) == {"ok 0": ("infrastructure", 2)}
    assert lab.statuses() == {"ok 0": "failed"}
    launch = lab.execute("ok", retry_policy=RetryPolicy(retries=1), num_slots=1)
    assert lab.statuses() == {"ok 0": "done"}
