"""Commands and snippets of README.md and docs/*.md: each is accepted by the command that it names, and snippets run."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import itertools
import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

from agrae_lab.__main__ import COMMANDS
from agrae_lab.advantages import Context
from agrae_lab.advantages.external import load_object
from agrae_lab.advantages.presets import preset_names
from agrae_lab.advantages.simulator.__main__ import parse as parse_simulation
from agrae_lab.difficulty import parse as parse_difficulty
from agrae_lab.evaluate import parse_overrides
from agrae_lab.track import KEYS as TRACK_KEYS
from analysis import audit
from analysis.arguments import FLAGS, read_words
from sweeps import compare
from sweeps.__main__ import _read as parse_sweep
from sweeps.launch.cells import load_freeze
from sweeps.spec import experiments
from sweeps.spec.compose import CONFIG_DIR, compose, config_dir
from sweeps.spec.read import is_study, read_study
from sweeps.spec.study import Study
from sweeps.targets import find_study, split_words
from tests import documents, forked

ROOT = documents.ROOT
# programs of others; their words are theirs to check
FOREIGN = ("source", "pip", "export", "apt-get", "mkdir", "cat", "chown", "runuser", "trl", "slurmctld", "slurmd")
FOREIGN = (*FOREIGN, "sleep", "sinfo", "git", "cd", "python -")
LAUNCHERS = ("torchrun", "accelerate")  # they end in `-m module words`
MODULES = {"agrae_lab.train": "train", "agrae_lab.evaluate": "evaluate", "sweeps": "sweep", "analysis": "analyze"}
MODULES |= {"agrae_lab.advantages": "estimators", "agrae_lab.advantages.simulator": "simulate"}
MODULES |= {"agrae_lab.compare": "compare", "agrae_lab.difficulty": "difficulty"}
STANDS_FOR = {"$arm": "grpo", "…": "", "...": "", "<settings>": ""}  # placeholders of the pages
BASH = [(one, words) for one in documents.snippets("bash") for words in one.commands]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the files that the pages tell the user to write."""
    for name, text in documents.named_files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    load_freeze("agrae_lab.train")  # it registers config groups
    modules = {Path(name).stem for name in documents.named_files()}
    forget(modules)  # another test's file may have had the same name
    yield tmp_path
    forget(modules)


def forget(modules):
    for name in modules:
        sys.modules.pop(name, None)


def check(words):
    """Check that a command would be accepted; start nothing."""
    words = [STANDS_FOR.get(word, word) for word in (word.replace("=$arm", "=grpo") for word in words)]
    words = [word for word in words if word]
    program = words[0]
    if program in FOREIGN or words[:2] == ["python", "-"]:
        return
    if program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words[1:]) <= set(targets), f"no target of the Makefile: {words[1:]}"
    elif program == "agrae-lab":
        assert words[1] in COMMANDS, f"no command {words[1]}"
        CHECKS[words[1]](words[2:])
    elif program == "python" or program in LAUNCHERS:
        at = words.index("-m")
        for option, path in itertools.pairwise(words):
            assert option != "--config_file" or (ROOT / path).is_file(), f"no file {path}"
        check_module(words[at + 1], words[at + 2 :])
    else:
        raise AssertionError(f"{program}: a program that tests/test_documents.py does not know")


def check_module(module, words):
    if module in MODULES:
        CHECKS[MODULES[module]](words)
    elif module == "pytest":
        paths = [word for word in words if word.startswith("tests")]
        assert all((ROOT / path).exists() for path in paths), f"no such tests: {paths}"
    else:
        path = ROOT / (module.replace(".", "/") + ".py")
        assert path.is_file() or (path.with_suffix("") / "__main__.py").is_file(), f"no module {module}"


def check_train(words):
    words = [word for word in words if word not in ("-m", "--json")]
    own = None
    if "--config-dir" in words:
        own = Path(words.pop(words.index("--config-dir") + 1))
        words.remove("--config-dir")
    with config_dir(CONFIG_DIR, own):
        for word in words:
            if word.startswith("+experiment="):
                names = word.removeprefix("+experiment=").split(",")
                cells = experiments.experiment_cells(names, [other for other in words if other != word])
                assert cells
                return
        for point in experiments.expand(words):
            compose(point)


def check_sweep(words):
    given = parse_sweep(words)
    if given.command in ("status", "collect", "gc") and not is_study(given.words[0]):
        assert len(given.words) == 1  # a root
        return
    if given.command == "compare":
        return
    with config_dir(CONFIG_DIR, getattr(given, "user_configs", None)):
        if any(is_study(word) for word in given.words):
            study, _ = find_study(given.words, CONFIG_DIR)
            assert (study.protocol is not None) or given.command != "protocol"
        else:
            assert experiments.experiment_cells(*split_words(given.words))


def check_compare(words):
    given = compare._parse(words)
    names, words = split_words(given.words)
    overrides = [word for word in words if not word.startswith("root=")]
    for name in (*names, given.against or "grpo"):
        if name not in (*preset_names(), "base"):
            load_object(name, "class", "my_file:MyEstimator", lambda value: isinstance(value, type))
    compare.check_overrides(overrides, varied=(compare.AXIS,))
    with config_dir(CONFIG_DIR, given.user_configs):
        compose(overrides)


def check_analyze(words):
    if words[:1] == ["audit"]:
        check_audit(words[1:])
    elif not {"-h", "--help"} & set(words):
        given = read_words(words)
        assert "runs" in given or "simulation" in given or set(given) <= set(FLAGS)


def check_audit(words):
    audit.command.parse(words)


def check_evaluate(words):
    overrides = [word for word in words if "=" in word and word != "--json"]
    assert len(overrides) < len(words), "no run is named"
    parse_overrides(overrides)


def check_estimators(words):
    ended = forked.run("-m", "agrae_lab.advantages", *words, cwd=Path.cwd())
    assert ended.returncode == 0, ended.stderr[-2000:]


def check_simulate(words):
    parse_simulation(words)


def check_difficulty(words):
    parse_difficulty(words)


def check_track(words):
    assert words[0] == "push"
    given = [word for word in words[1:] if "=" in word]
    assert len(given) < len(words) - 1, "no run is named"
    assert {word.partition("=")[0] for word in given} <= set(TRACK_KEYS)


CHECKS = {
    "difficulty": check_difficulty,
    "track": check_track,
    **{"train": check_train, "sweep": check_sweep, "compare": check_compare, "analyze": check_analyze},
    **{"evaluate": check_evaluate, "estimators": check_estimators, "simulate": check_simulate, "audit": check_audit},
}


@pytest.mark.parametrize(("snippet", "words"), BASH, ids=[f"{one.place} {' '.join(words)[:60]}" for one, words in BASH])
def test_a_documented_command_is_accepted(snippet, words, folder):
    check(words)


def test_every_command_of_the_lab_is_documented():
    assert {words[1] for _, words in BASH if words[0] == "agrae-lab"} >= set(COMMANDS) - {"simulate", "audit"}


@pytest.mark.parametrize(
    "words",
    [
        ["agrae-lab", "trian"],
        ["agrae-lab", "train", "advantage=a_grea"],
        ["agrae-lab", "train", "train.num_step=3"],
        ["agrae-lab", "train", "-m", "+experiment=no_such_experiment"],
        ["agrae-lab", "sweep", "plan", "no_such_study"],
        ["agrae-lab", "sweep", "plan", "learning_rates", "--no-such-option"],
        ["agrae-lab", "compare", "no_such_file:Estimator"],
        ["agrae-lab", "analyze", "run=runs/mine"],
        ["agrae-lab", "evaluate", "runs/mine", "train.num_steps=3"],
        ["python", "-m", "no_such_module"],
        ["make", "no-such-target"],
        ["no-such-program"],
    ],
)
def test_a_command_that_fails_would_be_noticed(words, folder):
    with pytest.raises((AssertionError, ValueError, SystemExit, KeyError, RuntimeError)):
        check(words)


def names_of(snippets):
    return [one.place for one in snippets]


PYTHON = [one for one in documents.snippets("python") if not one.mark]


@pytest.mark.parametrize("snippet", PYTHON, ids=names_of(PYTHON))
def test_a_documented_snippet_runs(snippet, folder, capsys):
    if ">>>" in snippet.text:
        names = {"torch": torch, "Tensor": torch.Tensor, "Context": Context}
        test = doctest.DocTestParser().get_doctest(snippet.text, names, snippet.place, snippet.place, 0)
        assert doctest.DocTestRunner().run(test).failed == 0, capsys.readouterr().out
    else:
        exec(compile(snippet.text, snippet.place, "exec"), {"__name__": "__main__"})


NOT_RUN = [one for one in documents.snippets("python", "bash") if one.mark.startswith("not run: ")]


@pytest.mark.parametrize("snippet", NOT_RUN, ids=names_of(NOT_RUN))
def test_a_snippet_that_is_not_run_gives_its_reason(snippet):
    assert len(snippet.mark.removeprefix("not run: ").split()) > 3
    if snippet.language == "python":
        ast.parse(snippet.text)


FRAGMENTS = documents.snippets("yaml")


@pytest.mark.parametrize("snippet", FRAGMENTS, ids=names_of(FRAGMENTS))
def test_a_documented_yaml_file_is_read(snippet, folder):
    """A file that the page names is a study or an experiment; any other YAML holds keys of a study."""
    names = [name for name, text in documents.named_files().items() if text == snippet.text]
    if names and names[0].startswith("my_conf/"):
        with config_dir(CONFIG_DIR, Path("my_conf")):
            assert len(experiments.experiment_cells([Path(names[0]).stem], [])) > 1
    elif names:
        assert read_study(names[0]).question
    else:
        assert set(yaml.safe_load(snippet.text)) <= {field.name for field in dataclasses.fields(Study)}
