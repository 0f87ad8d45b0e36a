"""Runs side by side: a fault of one run, or a stop by the user, leaves the others in order."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from fake_train import pids, steps
from sweep_lab import Lab, ctrl_c, failures, read_until, wait_until

from agrae_lab import runs


def _spans(lab: Lab) -> list[tuple[float, float]]:
    times = [[time for _, time in steps(run.path)] for run in lab.runs().values()]
    return [(min(ts), max(ts)) for ts in times]


def test_two_slots_overlap_and_one_slot_does_not(lab: Lab) -> None:
    assert lab.sweep("plain", "seed=0,1", "train.step_seconds=0.2", "train.num_steps=3", "--slots", "2") == 0
    (a_first, a_last), (b_first, b_last) = _spans(lab)
    assert max(a_first, b_first) < min(a_last, b_last)

    one_by_one = Lab(lab.conf, lab.root.with_name("one_by_one"))
    assert one_by_one.sweep("plain", "seed=0,1", "train.step_seconds=0.1", "--slots", "1") == 0
    (a_first, a_last), (b_first, b_last) = _spans(one_by_one)
    assert a_last < b_first or b_last < a_first


def test_a_run_that_fails_or_dies_is_named_and_leaves_the_others_alone(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lab.sweep("plain", "arm=raise,exit,sigkill,diverge,ok", "--slots", "2") == 1
    assert lab.statuses() == {
        "raise 0": "failed",
        "exit 0": "failed",
        "sigkill 0": "failed",
        "diverge 0": "diverged",
        "ok 0": "done",
    }
    found = lab.runs()
    assert found["raise 0"].meta["error"] == "RuntimeError: the reward is on fire"
    assert "exit code 3" in found["exit 0"].meta["error"]
    assert "SIGKILL" in found["sigkill 0"].meta["error"]
    table = capsys.readouterr().out.partition("failure ")[2].splitlines()[1:]
    for name, arm in (("diverged", "diverge"), ("error", "raise"), ("error", "exit"), ("signal", "sigkill")):
        (line,) = [line for line in table if f" {arm} seed 0 " in line]
        assert line.startswith(name)
        assert str(found[f"{arm} 0"].path / "log.txt") in line


def test_what_a_run_prints_and_its_traceback_are_in_its_log(lab: Lab) -> None:
    lab.sweep("plain", "arm=raise")
    lab.sweep("plain", "arm=raise")
    log = (lab.runs()["raise 0"].path / "log.txt").read_text()
    assert log.count("=== attempt") == 2
    assert log.count("a word from the run") == 2
    assert log.count("a line from its logger") == 2
    assert log.count("Traceback") == 2


def test_a_run_that_dies_after_it_is_done_is_done(lab: Lab) -> None:
    assert lab.sweep("plain", "arm=die_late") == 0
    assert lab.statuses() == {"die_late 0": "done"}


def test_a_run_that_dies_at_once_does_not_keep_its_last_attempts_error(lab: Lab) -> None:
    lab.sweep("plain", "arm=die_early")
    runs.update_meta(lab.runs()["die_early 0"].path, status="failed", error="old trouble")
    assert lab.sweep("plain", "arm=die_early") == 1
    assert "SIGKILL" in lab.runs()["die_early 0"].meta["error"]


def test_the_same_command_again_executes_only_what_is_not_done(lab: Lab) -> None:
    words = ("plain", "arm=ok,raise,diverge", "--slots", "2")
    assert lab.sweep(*words) == 1
    before = {name: len(steps(run.path)) for name, run in lab.runs().items()}
    assert lab.sweep(*words) == 1  # diverged is final, and still no success
    after = {name: len(steps(run.path)) for name, run in lab.runs().items()}
    assert {name: after[name] - before[name] for name in after} == {"ok 0": 0, "diverge 0": 0, "raise 0": 1}


def test_a_run_that_is_busy_elsewhere_does_not_stop_the_rest(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.sweep("plain", "arm=raise")
    busy = lab.runs()["raise 0"].path
    with runs.lock(busy):
        assert lab.sweep("plain", "arm=raise,ok") == 1
    assert lab.statuses()["ok 0"] == "done"
    assert f"busy elsewhere: raise seed 0 ({busy / 'log.txt'})" in capsys.readouterr().out
    assert len(steps(busy)) == 1


THREE_RUNS = ("plain", "arm=until_told", "seed=0,1,2", "--slots", "2")


def test_ctrl_c_once_lets_the_active_runs_finish(lab: Lab) -> None:
    controller = lab.start(*THREE_RUNS)
    wait_until(lambda: _num_at_work(lab) == 2)
    _ctrl_c_until(controller, "Ctrl-C: no more runs start, the 2 active runs will finish. Ctrl-C stops them now")
    (lab.root / "go").touch()
    out, _ = controller.communicate(timeout=20)
    assert controller.returncode == 130, out
    assert "run the same command to resume" in out
    assert sorted(lab.statuses().values()) == ["done", "done", "pending"]


def test_ctrl_c_with_nothing_left_to_start_takes_nothing_away(lab: Lab) -> None:
    controller = lab.start("plain", "arm=until_told")
    wait_until(lambda: _num_at_work(lab) == 1)
    _ctrl_c_until(controller, "no more runs start, the active run will finish")
    (lab.root / "go").touch()
    out, _ = controller.communicate(timeout=20)
    assert controller.returncode == 0, out
    assert lab.statuses() == {"until_told 0": "done"}


def test_ctrl_c_twice_leaves_a_state_that_the_same_command_continues(lab: Lab) -> None:
    words = (*THREE_RUNS, "train.num_steps=5")
    controller = lab.start(*words)
    wait_until(lambda: _num_at_work(lab) == 2)
    _ctrl_c_until(controller, "no more runs start", "stopping the 2 active runs")
    out, _ = controller.communicate(timeout=20)
    assert controller.returncode == 130, out
    assert sorted(lab.statuses().values()) == ["interrupted", "interrupted", "pending"]

    (lab.root / "go").touch()
    assert lab.start(*words).wait(timeout=40) == 0
    for run in runs.list_runs(lab.root):
        assert [step for step, _ in steps(run.path)] == [1, 2, 3, 4, 5]  # continued, not begun again


def test_ctrl_c_three_times_kills(lab: Lab) -> None:
    controller = lab.start("plain", "arm=deaf", grace=1000)
    wait_until(lambda: _num_at_work(lab) == 1)
    _ctrl_c_until(controller, "no more runs start", "stopping the active run", "killing the active run")
    out, _ = controller.communicate(timeout=20)
    assert controller.returncode == 130, out
    assert lab.statuses() == {"deaf 0": "interrupted"}


def test_sigterm_stops_at_once_and_a_run_that_ignores_it_is_killed_after_the_grace(lab: Lab) -> None:
    controller = lab.start("plain", "arm=deaf,hang,ok", "--slots", "2")
    wait_until(lambda: _num_at_work(lab) == 2)
    controller.send_signal(signal.SIGTERM)
    out, _ = controller.communicate(timeout=20)
    assert controller.returncode == 130, out
    assert "SIGTERM: stopping the 2 active runs" in out
    assert lab.statuses() == {"deaf 0": "interrupted", "hang 0": "interrupted", "ok 0": "pending"}
    assert not any(run.is_locked() for run in lab.runs().values())


def test_nothing_is_lost_or_run_twice_when_the_controller_is_killed(lab: Lab) -> None:
    words = ("plain", "seed=0,1,2", "train.num_steps=20", "train.step_seconds=0.05", "--slots", "2")
    first = lab.start(*words)
    wait_until(lambda: _num_at_work(lab) == 2)
    first.kill()
    second = lab.start(*words)  # at once: the orphans may still be at work
    first.communicate(timeout=30)
    second.communicate(timeout=30)
    wait_until(lambda: not any(run.is_locked() for run in lab.runs().values()))
    assert lab.start(*words).wait(timeout=30) == 0
    assert set(lab.statuses().values()) == {"done"}
    for run in lab.runs().values():
        assert [step for step, _ in steps(run.path)] == list(range(1, 21))


def test_orphans_stop_themselves(lab: Lab) -> None:
    controller = lab.start("plain", "arm=hang")
    wait_until(lambda: _num_at_work(lab) == 1)
    controller.kill()
    controller.communicate(timeout=30)
    wait_until(lambda: lab.statuses() == {"hang 0": "interrupted"})


def test_a_yaml_edited_in_mid_sweep_does_not_leak(lab: Lab) -> None:
    controller = lab.start("plain", "seed=0,1", "train.num_steps=10", "train.step_seconds=0.05", "--slots", "1")
    wait_until(lambda: _num_at_work(lab) == 1)
    edited = (lab.conf / "config.yaml").read_text().replace("arm: ok", "arm: raise")
    (lab.conf / "config.yaml").write_text(edited)
    lab.add_experiment("plain", arm="raise")
    out, _ = controller.communicate(timeout=20)
    assert controller.returncode == 0, out
    assert lab.statuses() == {"ok 0": "done", "ok 1": "done"}


def test_a_log_gets_few_lines(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.sweep("plain", "train.num_steps=8", "train.step_seconds=0.15")
    said = [line for line in capsys.readouterr().out.splitlines() if "ok seed 0: " in line]
    events = ("started", "25 % (", "50 % (", "75 % (", "done after")
    assert len(said) == len(events)
    assert all(f"ok seed 0: {event}" in line for line, event in zip(said, events, strict=True))


def test_a_module_that_cannot_be_preloaded_is_told_before_anything_starts(lab: Lab) -> None:
    (lab.conf / "broken_preload.py").write_text("raise RuntimeError('no libcuda')\n")
    controller = lab.start("plain", preload="broken_preload")
    output, _ = controller.communicate(timeout=30)
    assert controller.returncode == 1
    assert "no libcuda" in output
    assert "loading broken_preload failed" in output
    assert lab.statuses() == {"ok 0": "pending"}


MORTAL = """\
import os, pathlib, signal
deaths = pathlib.Path(__file__).with_name("deaths")
deaths.write_text((deaths.read_text() if deaths.exists() else "") + "x")
if len(deaths.read_text()) <= {number}:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_server_that_is_killed_while_it_loads_is_started_again(lab: Lab) -> None:
    (lab.conf / "mortal_preload.py").write_text(MORTAL.format(number=2))
    controller = lab.start("plain", preload="mortal_preload")
    output, _ = controller.communicate(timeout=60)
    assert controller.returncode == 0, output
    assert lab.statuses() == {"ok 0": "done"}
    assert (lab.conf / "deaths").read_text() == "xxx"


def test_a_server_that_cannot_load_for_kills_is_an_infrastructure_failure(lab: Lab) -> None:
    (lab.conf / "mortal_preload.py").write_text(MORTAL.format(number=99))
    controller = lab.start("plain", preload="mortal_preload")
    output, _ = controller.communicate(timeout=60)
    assert controller.returncode == 1
    assert "the fork server of the runs has died" in output
    assert lab.statuses() == {"ok 0": "failed"}
    assert failures(lab) == {"ok 0": ("infrastructure", 2)}


def test_ctrl_c_while_modules_are_loaded_ends_quietly(lab: Lab) -> None:
    loading = lab.conf / "loading"
    text = f"import pathlib, time\npathlib.Path({str(loading)!r}).touch()\ntime.sleep(2)\n"
    (lab.conf / "slow_preload.py").write_text(text)
    controller = lab.start("plain", preload="slow_preload")
    wait_until(loading.exists)
    ctrl_c(controller)
    output, _ = controller.communicate(timeout=30)
    assert controller.returncode == 130, output
    assert output.splitlines() == [
        "runs: 1 to do, 0 finished before, 1 at a time",
        "stopped; run the same command to resume",
    ]


def test_the_server_that_runs_are_forked_from_may_die(lab: Lab) -> None:
    controller = lab.start("plain", "arm=until_told", "seed=0,1", "--slots", "2")
    wait_until(lambda: _num_at_work(lab) == 2)
    begun = [run.path for run in lab.runs().values()]
    server = _parent(pids(begun[0])[0])
    assert server != controller.pid
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: all(len(pids(path)) == 2 for path in begun))  # at work again, from a new server
    _ctrl_c_until(controller, "no more runs start")  # to which that is as deaf as the first
    (lab.root / "go").touch()
    out, _ = controller.communicate(timeout=20)
    assert controller.returncode == 0, out
    assert failures(lab) == {"until_told 0": ("infrastructure", 1), "until_told 1": ("infrastructure", 1)}
    assert all([step for step, _ in steps(path)] == [1, 2] for path in begun)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_runs_side_by_side_have_cores_of_their_own(lab: Lab) -> None:
    lab.sweep("plain", "seed=0,1", "train.step_seconds=0.3", "--slots", "2")
    first, second = (set(run.meta["attempts"][0]["cores"]) for run in lab.runs().values())
    assert first | second == os.sched_getaffinity(0)
    assert not first & second


def _ctrl_c_until(controller: subprocess.Popen[str], *answers: str) -> None:
    assert controller.stdout is not None
    for answer in answers:
        ctrl_c(controller)
        read_until(controller.stdout.fileno(), answer)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _num_at_work(lab: Lab) -> int:
    return sum(bool(steps(path.parent)) for path in Path(lab.root).glob("*/seed-*/trace.txt"))
