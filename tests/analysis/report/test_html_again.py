"""The report's commands make the same runs, and what it says of configs and provenance is what was recorded."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from agrae_lab.config import CONF_DIR
from agrae_lab.runs import Run, run_dir_for
from analysis.io.study import Study, View
from analysis.report.html.configs import differences
from analysis.report.html.provenance import facts, total_time
from analysis.report.html.reproduce import _value, script
from sweeps.spec.experiments import expand
from tests.training.conftest import compose_config

REVISION = "0123456789abcdef0123456789abcdef01234567"
HARD_QUESTION = """Is it "true" that 'they' cost $5, `not` \\ 4\\' {a: b}, [c]? "Ja"!"""


def run_of(*words: str, root: str = "somewhere") -> Run:
    config = compose_config(*words, f"root={root}", "experiment.name=x")
    return Run(run_dir_for(config), config, {"attempts": [{"git_revision": REVISION}]})


def study_of(*runs: Run, question: str = "Which?", **view) -> Study:
    return Study("x", question, runs, view=View(**view))


def carried_out(text: str) -> list[list[str]]:
    """The words that each python command of a script gets, from bash itself."""
    stubs = "set -eu; git() { :; }; python() { printf '%s\\0' \"$@\" $'\\n'; }\n"
    done = subprocess.run(["bash", "-c", stubs + text], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [line.strip("\0").split("\0") for line in done.stdout.split("\0\n\0") if line.strip("\0")]


def test_the_commands_make_the_same_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "my_file.py"
    own.write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mine:\n    tau: float = 0.5\n"
        "    LAWS = frozenset()\n    def __call__(self, rewards_PG, context):\n        return rewards_PG\n"
    )
    monkeypatch.chdir(tmp_path)
    runs = (
        run_of(),
        run_of("seed=3"),
        run_of("advantage=a_grae", "advantage.flavor=official"),
        run_of("advantage=negative_dominant", "advantage/match=l1", "train.learning_rate=1e-6"),
        run_of("advantage=dr_grpo", "loss=dr_grpo", "evaluation.benchmarks.countdown_test.limit=7"),
        run_of("task.reward=paper"),
        run_of("advantage=w_reinforce", "+evaluation.benchmarks.more.task=countdown"),
        run_of("advantage.base._target_=my_file.Mine", "advantage.base.name=null", "+advantage.base.tau=0.25"),
    )
    commands = carried_out(script(study_of(*runs, question=HARD_QUESTION), "x"))
    assert [command[:2] for command in commands] == [
        ["-m", "pip"], *[["-m", "agrae_lab.train"]] * 7, ["-m", "analysis"]
    ]  # fmt: skip
    made = set()
    for command in commands[1:-1]:
        assert command[2] == "-m"
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            points = expand(command[3:])
        for point in points:
            config = compose_config(*point)
            assert config["experiment"] == {"name": "x", "question": HARD_QUESTION}
            made.add(run_dir_for(config).relative_to("runs/again"))
    assert made == {run.path.relative_to("somewhere") for run in runs}
    assert commands[-1] == ["-m", "analysis", "runs=runs/again", "experiment=x"]


def test_the_view_and_the_revision_are_part_of_the_commands() -> None:
    run = run_of()
    text = script(study_of(run, published="A B/math", smooth=5, seed=2, intersect=True), "x")
    assert text.endswith("experiment=x 'published=A B/math' smooth=5 seed=2 --intersect\n")
    assert text.startswith(f"git checkout {REVISION}\n")
    changed = replace(run, meta={"attempts": [{"git_revision": "abcdef0+"}, {"git_revision": "x\nrm -rf ~"}]})
    text = script(study_of(run, changed), "x")
    assert text.startswith(f"# the runs are from several revisions\n# git checkout {REVISION}\n")
    assert "# the working tree had uncommitted changes" in text
    assert "rm -rf" not in text


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00$")))
def test_a_text_means_itself_to_hydra_and_to_the_shell(text: str) -> None:
    (word,) = shlex.split(shlex.quote(f"a={_value(text)}"))
    override = OverridesParser.create().parse_override(word)
    assert not override.is_sweep_override()
    assert override.value() == text


@pytest.mark.parametrize("value", [None, True, 0, 0.0, 1e-06, -3, 1e22, "null", "True", "1e5", "", "a,b", [1, "x"]])
def test_a_value_keeps_its_kind(value: object) -> None:
    found = OverridesParser.create().parse_override(f"a={_value(value)}").value()
    assert (type(found), found) == (type(value), value)


def test_only_settings_in_which_arms_differ_are_shown() -> None:
    study = study_of(run_of("seed=1"), run_of("seed=2"), run_of("advantage=positive_dominant", "train.num_steps=9"))
    assert {d.key: d.values for d in differences(study)} == {
        "advantage.name": ("grpo", "positive_dominant"),
        "advantage.group.name": ("none", "scale_positive"),
        "advantage.group.beta": (None, "10.0"),
        "train.num_steps": ("32", "9"),
    }


def test_provenance_names_the_runs_where_it_is_not_the_same() -> None:
    meta = {"packages": {"torch": "2.9"}, "python": "3.11.7", "machine": "Linux x86_64"}
    a, b = run_of("seed=0"), run_of("seed=1")
    a = replace(a, meta={"attempts": [{**meta, "git_revision": "aaa+"}], "timings": {"train_seconds": 7000.0}})
    b = replace(b, meta={"attempts": [{**meta, "git_revision": None}, meta], "model_fingerprint": "1fd6"})
    found = {fact.name: fact.values for fact in facts(study_of(a, b))}
    assert found["git revision"] == {
        "aaa (the working tree had changes)": (a.key,), "not in a repository": (b.key,)
    }  # fmt: skip
    assert found["torch"] == {"2.9": (a.key, b.key)}
    assert found["model"] == {"nano (fingerprint 1fd6)": (b.key,)}
    assert found["problems: train"] == {a.config["data_fingerprints"]["train"]: (a.key, b.key)}
    assert total_time(study_of(a, b)) == "1.9 hours"
