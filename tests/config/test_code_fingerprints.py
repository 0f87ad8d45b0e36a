"""Fingerprints of code: the files that decide a result, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agrae_lab import training
from agrae_lab.advantages import make
from agrae_lab.config.code_fingerprints import fingerprint_source, training_code


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


def test_a_task_in_a_file_of_the_user_depends_on_that_file(tmp_path: Path) -> None:
    """Also if it only gives one of our classes other settings."""
    file = tmp_path / "my_task.py"
    file.write_text('from agrae_lab.tasks.text.mathematics import MathTask\nTASK = MathTask("mine")\n')
    files = files_of(task={"name": "mine", "_target_": f"{file}:TASK"})
    assert {"my_task.py", "tasks/text/mathematics.py"} <= files


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('T = """a\n\nb"""\n', 'T = """a\nb"""\n', False),
        ('T = f"""{x}  \nb"""\n', 'T = f"""{x}\nb"""\n', False),
        ('T = "a"  # why\n\n\nU = 1  \n', 'T = "a"\nU = 1\n', True),
        ('"""Prose."""\nT = """a\n# b"""\n', 'T = """a\n# b"""\n', True),
        ('def f():\n    """Two\n\n    lines."""\n    return 1\n', "def f():\n    return 1\n", True),
    ],
)
def test_blank_lines_count_inside_a_text_alone(one: str, other: str, same: bool, tmp_path: Path) -> None:
    digests = []
    for number, text in enumerate((one, other)):
        (tmp_path / f"{number}.py").write_text(text)
        digests.append(fingerprint_source(tmp_path / f"{number}.py"))
    assert (digests[0] == digests[1]) == same


def test_only_the_links_of_the_estimator_count() -> None:
    others = files_of("a_grae") - files_of()
    assert others
    assert all(name.startswith("advantages/") for name in others)
