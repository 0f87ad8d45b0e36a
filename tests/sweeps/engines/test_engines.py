"""Engines are found by name, have the same two functions, and refuse options that they lack."""

from __future__ import annotations

import importlib
import inspect
import os
import signal
from pathlib import Path

import pytest

from agrae_lab import runs
from sweeps import engines
from sweeps.engines import ENGINES, local, ray, slurm
from sweeps.errors import PlanError
from sweeps.execution import process_group
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


HARDWARE = {"device": "auto", "processes": 16, "nodes": 2, "launcher": None, "strategy": "fsdp"}


def run_of(tmp_path, **hardware):
    """A run on two machines of eight GPUs, unless `hardware` says otherwise."""
    config = {"schema_version": 1, "root": str(tmp_path), "arm": "ok", "seed": 0, "model": {"dtype": "bfloat16"}}
    return runs.read_run(runs.create_run({**config, "hardware": {**HARDWARE, **hardware}}))


def test_an_array_element_takes_the_machines_and_gpus_of_its_run(tmp_path):
    given = {**slurm.DEFAULTS, "cpus_per_task": 4, "partition": "gpu"}
    settings = slurm.run_settings(run_of(tmp_path), given)
    assert (settings["nodes"], settings["ntasks_per_node"], settings["gpus_per_node"]) == (2, 1, 8)
    assert settings["cpus_per_task"] == 4 * 8
    assert settings["srun_args"] == ["--nodes=1", "--ntasks=1"]  # one owner, on the first machine
    one_machine = slurm.run_settings(run_of(tmp_path / "one", nodes=1, processes=8), given)
    assert (one_machine["gpus_per_node"], "nodes" in one_machine) == (8, False)
    on_cpu = slurm.run_settings(run_of(tmp_path / "cpu", nodes=1, processes=2, strategy="ddp", device="cpu"), given)
    assert (on_cpu["cpus_per_task"], "gpus_per_node" in on_cpu) == (8, False)
    assert slurm.run_settings(run_of(tmp_path / "single", nodes=1, processes=1), given) == given


def test_srun_starts_one_launcher_on_each_machine(tmp_path, monkeypatch):
    run, program = run_of(tmp_path), ["-m", "agrae_lab.process", "agrae_lab.train", "run"]
    words = process_group.launch_command(run, program)
    assert words[:5] == ["srun", "--overlap", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
    at = words.index("agrae_lab.node")
    assert words[at + 1 : at + 3] == [str(run.path), "slurm"]
    assert words[-4:] == program
    monkeypatch.setenv("AGRAE_LAB_ADDRESS", "10.0.0.1:29500")  # Ray starts the other machines itself
    words = process_group.launch_command(run, program)
    assert {"--machine_rank=0", "--num_machines=2", "--main_process_ip=10.0.0.1"} <= set(words)


def test_a_bundle_of_ray_holds_a_machines_share_of_a_run(tmp_path):
    settings = {"needs": {"num_cpus": 2, "num_gpus": 0}, "gpus_given": False}
    assert ray.node_needs(run_of(tmp_path).config, settings) == {"num_cpus": 16, "num_gpus": 8}
    on_cpu = run_of(tmp_path / "cpu", device="cpu", strategy="ddp").config
    assert ray.node_needs(on_cpu, settings) == {"num_cpus": 16, "num_gpus": 0}


@pytest.mark.slow
def test_two_launchers_by_a_stand_in_for_srun_are_one_run(tmp_path, monkeypatch):
    """As on two machines: `srun` starts agrae_lab.node once for each, here side by side, with one process each."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "srun").write_text(
        "#!/bin/sh\n"
        'while [ "${1#--}" != "$1" ]; do shift; done\n'  # its own options
        'SLURM_NODEID=1 "$@" & other=$!\n'
        "trap 'kill -TERM $main $other' TERM\n"
        'SLURM_NODEID=0 "$@" & main=$!\n'
        "wait $main; code=$?\n"
        "wait $other && exit $code\n"
        "exit 1\n"
    )
    (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("platform.node", lambda: "127.0.0.1")
    run = run_of(tmp_path / "root", processes=2, device="cpu", strategy="ddp")
    config = {**run.config, "train": {"num_steps": 3, "step_seconds": 0.1}}
    path = runs.create_run({**config, "root": str(tmp_path / "trained")})
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    kept = signal.getsignal(signal.SIGTERM)
    try:
        assert process_group.execute(str(path), "fake_group_train") == "done"
    finally:
        signal.signal(signal.SIGTERM, kept)
    assert sorted(one.name for one in (path / "processes").glob("*.json")) == ["0.json", "1.json"]
    assert len(runs.read_run(path).meta["attempts"]) == 1
