"""Console script `agrae-lab`: every command answers --help with its purpose and examples, and starts no work."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from agrae_lab.__main__ import COMMANDS, main
from agrae_lab.runs.hydra_overrides import for_hydra, for_multirun
from tests import forked

ROOT = Path(__file__).resolve().parents[1]
MODULES = ("agrae_lab.tasks", "sweeps", "analysis.pareto", "benchmarks")


def call(*words):
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, cwd=ROOT)


# Commands one after the other in one process, as `python -m <command> --help` each: exit status and output of each.
HELPS = """
import contextlib, io, json, runpy, sys
told = []
for words in json.loads(sys.argv[1]):
    out, sys.argv = io.StringIO(), [*words, "--help"]
    for name in (words[0], f"{words[0]}.__main__"):
        sys.modules.pop(name, None)
    status = 0
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        except SystemExit as end:
            status = end.code or 0
    told.append((status, out.getvalue()))
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def helps():
    """Words of a command → exit status and output of its help."""
    commands = [("agrae_lab", name) for name in COMMANDS] + [(name,) for name in MODULES]
    answer = forked.run("-c", HELPS, json.dumps(commands))
    assert answer.returncode == 0, answer.stderr[-2000:]
    return dict(zip(commands, json.loads(answer.stdout), strict=True))


@pytest.mark.parametrize("words", [("agrae_lab", name) for name in COMMANDS] + [(name,) for name in MODULES])
def test_help_says_what_a_command_does_with_two_examples(helps, words):
    status, output = helps[words]
    assert status == 0
    called = f"python -m {words[0]}" if len(words) == 1 else words[1]
    examples = [line for line in output.splitlines() if "python -m " in line or "agrae-lab " in line]
    assert len(examples) >= 2, f"{called}: {output}"


def test_the_script_is_declared():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["agrae-lab"]


def test_without_a_command_it_lists_all(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"agrae-lab {name} " in out for name in COMMANDS)


def test_a_misspelt_command_is_refused_with_the_nearest(capsys):
    assert main(["trian"]) == 2
    assert capsys.readouterr().err == "agrae-lab: there is no command 'trian'; did you mean train?\n"


def test_a_command_s_words_and_exit_status_are_its_module_s():
    answer = call("agrae_lab", "audit", "nowhere.csv")
    assert answer.returncode != 0
    assert "nowhere.csv" in answer.stderr


def test_multirun_may_stand_anywhere_in_the_line():
    words = ["root=x", "-m", "advantage=grpo,rloo", "--multirun", "seed=1"]
    assert for_multirun(words) == ["-m", "--multirun", "root=x", "advantage=grpo,rloo", "seed=1"]


def test_settings_of_a_multirun_are_left_to_the_sweeper():
    words = ["advantage.group.alpha=0.5", "train.num_steps=1,2", "world=nano", "-m", "root=x"]
    expected = ["-m", "advantage.group.alpha=choice(0.5)", "train.num_steps=1,2", "world=nano", "root=x"]
    assert for_multirun(words) == expected


def test_a_link_given_as_a_whole_replaces_the_one_before():
    assert for_hydra(["advantage.base={_target_: 'a:B', tau: 0.1}", "+method=dapo"]) == [
        "~advantage.base",
        "+advantage.base={_target_: 'a:B', tau: 0.1}",
        "method=dapo",
    ]
    assert for_hydra(["advantage.base={epsilon: 0.1}"]) == ["advantage.base={epsilon: 0.1}"]
    words = ["advantage.base._target_=a:B", "advantage.base.tau=0.2", "advantage.group.alpha=1"]
    assert for_hydra(words) == ["++advantage.base._target_=a:B", "++advantage.base.tau=0.2", "advantage.group.alpha=1"]
