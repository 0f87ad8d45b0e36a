"""Fingerprints of code: the files that decide a result, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agrae_lab import training
from agrae_lab.advantages import make
from agrae_lab.config.code_fingerprints import training_code


def files_of(estimator: str = "grpo", **changes) -> set[str]:
    config = {"engine": "transformers", "task": {"name": "countdown"}, "model": {"lora": None}, **changes}
    return {name.removeprefix("agrae_lab/") for name in training_code(config, make(estimator))}


def test_training_depends_on_the_trainer_the_links_and_the_task() -> None:
    files = files_of()
    assert {"training/trainer.py", "advantages/adapters/trl.py", "tasks/text/countdown.py"} <= files
    assert not [name for name in files if name.startswith("evaluation/")]
    assert "training/recorder.py" not in files  # it only writes


def test_every_file_of_the_trainer_that_counts_is_one_that_training_imports() -> None:
    reached, waiting = set(), {"session"}
    while waiting:
        reached.add(name := waiting.pop())
        text = (Path(training.__file__).parent / f"{name}.py").read_text()
        waiting |= set(re.findall(r"from agrae_lab\.training\.(\w+) import", text)) - reached
    counted = {Path(name).stem for name in files_of(engine="vllm") if name.startswith("training/")}
    assert counted <= reached


@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_only_a_run_that_samples_by_vllm_depends_on_the_code_of_vllm(engine: str) -> None:
    found = {name for name in files_of(engine=engine) if name.startswith("training/vllm")}
    assert bool(found) == (engine == "vllm")


def test_only_a_run_with_lora_depends_on_the_code_of_lora() -> None:
    assert "models/lora.py" in files_of(model={"lora": {"rank": 2}})
    assert "models/lora.py" not in files_of()


def test_only_the_links_of_the_estimator_count() -> None:
    others = files_of("a_grae") - files_of()
    assert others
    assert all(name.startswith("advantages/") for name in others)
