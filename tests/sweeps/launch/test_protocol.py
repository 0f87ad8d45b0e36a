"""Confirmatory studies by the command line: refusals, tuning, freeze, looks, kill and resume."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_search_train
import pytest
import yaml
from search_lab import SearchLab, in_lab
from sweep_lab import environment, wait_until

from agrae_lab import runs
from analysis.statistics.sequential import Rule
from sweeps.__main__ import main
from sweeps.launch.looks import Question, run_looks
from sweeps.launch.study import LaunchOptions, launch_study
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec.compose import config_dir
from sweeps.spec.read import as_data, parse_study

TUNE = {
    "base": ["~evaluation.benchmarks.problems", "+evaluation.benchmarks.tuning={file: tuning.jsonl}"],
    "seeds": [1000, 1001],
    "metric": "pass@1/tuning",
    "search": {
        "sampler": "random",
        "num_trials": 3,
        "space": {"train.x": {"kind": "float", "low": 0.0, "high": 1.0}},
    },
}
STUDY: dict[str, Any] = {
    "question": "Is other better than plain?",
    "resources": {"slots": 2},
    "protocol": {
        "arms": {"plain": {"kind": "plain"}, "other": {"kind": "other"}, "third": {"kind": "plain", "train.x": 0.55}},
        "reference": "plain",
        "metrics": ["pass@1/problems"],
        "smallest_effect": "1pp",
        "looks": [3, 5, 8],
    },
}


class ProtocolLab(SearchLab):
    """A lab whose study is a protocol."""

    def write(self, study: dict[str, Any]) -> Path:
        path = self.conf.parent / "night.yaml"
        path.write_text(yaml.safe_dump(study, sort_keys=False))
        return path

    def do(self, command: str, study: dict[str, Any], *words: str, root: Path | None = None) -> int:
        """`python -m sweeps <command> night.yaml` in this process; return the exit code."""
        argv = [command, str(self.write(study)), *words, f"root={root or self.root}"]
        return main(argv, config_dir=self.conf, train_module="fake_protocol_train", preload=("fake_protocol_train",))

    @property
    def folder(self) -> Path:
        return runs.protocol_dir(self.root, "night")

    def frozen(self) -> dict[str, Any]:
        content = runs.read_frozen(self.folder)
        assert content is not None
        return content

    def looks(self, root: Path | None = None) -> list[dict[str, Any]]:
        """Return the looks without their dates."""
        content = json.loads((runs.protocol_dir(root or self.root, "night") / "looks.json").read_text())
        return [{key: value for key, value in look.items() if key != "date"} for look in content["looks"]]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProtocolLab]:
    with in_lab(tmp_path, monkeypatch) as made:
        monkeypatch.syspath_prepend(Path(__file__).parents[1])
        yield ProtocolLab(made.conf, made.root)


def changed(**changes: Any) -> dict[str, Any]:
    """Return STUDY with changes of its protocol; None deletes a key."""
    study = copy.deepcopy(STUDY)
    study["protocol"] = {key: value for key, value in {**study["protocol"], **changes}.items() if value is not None}
    return study


TWO = {"plain": {"kind": "plain"}, "other": {"kind": "other"}}

REFUSALS = {
    "one arm": (changed(arms={"plain": {}}), "protocol.arms needs two arms or more"),
    "reference": (changed(reference="plane"), "protocol.reference: there is no arm 'plane'; did you mean 'plain'?"),
    "name": (
        changed(arms={"plain": {}, "a b": {"train.x": 1.0}}),
        "protocol.arms: 'a b' cannot name files; begin with a letter or digit",
    ),
    "seed": (changed(arms={"plain": {}, "b": {"seed": 1}}), "protocol.arms.b: seed is for replication"),
    "metric": (changed(metrics=["metrics.loss:last"]), "protocol.metrics: a protocol compares Pass@k"),
    "benchmark": (changed(metrics=["pass@1/problem"]), "evaluation.benchmarks has no 'problem'; did you mean"),
    "samples": (changed(metrics=["pass@64/problems"]), "evaluation.num_samples = 40 gives no Pass@64"),
    "twice": (changed(metrics=["pass@1/problems"] * 2), "protocol.metrics names a metric more than once"),
    "effect": (
        changed(smallest_effect="1"),
        "protocol.smallest_effect: '1' is not an effect. Write",
    ),
    "number": (changed(smallest_effect=0.01), "protocol.smallest_effect must be a valid string"),
    "looks": (changed(looks=[5, 3]), "protocol.looks must be increasing numbers of seeds from 3"),
    "alpha": (changed(alpha=0.9), "protocol.alpha must lie between 0.001 and 0.2"),
    "missing": (changed(looks=None), "protocol.looks is missing"),
    "unknown": (changed(lokks=[3]), "protocol has no key 'lokks'; did you mean 'looks'?"),
    "other samples": (
        changed(arms={"plain": {}, "b": {"evaluation.num_samples": 8}}),
        "protocol.arms: plain and b are evaluated differently",
    ),
    "same arms": (changed(arms={"plain": {}, "b": {"kind": "plain"}}), "plain and b are one configuration"),
    "axes": (STUDY | {"axes": {"grid": {"train.x": [0.1]}}}, "protocol takes the place of axes"),
    "seeds": (STUDY | {"seeds": [0, 1]}, "protocol has its own seeds"),
    "objective": (
        STUDY | {"objective": [{"metric": "pass@1/problems", "direction": "maximize"}]},
        "protocol has its own metrics",
    ),
    "low tuning seed": (changed(arms=TWO, tune={**TUNE, "seeds": [7]}), "protocol.tune.seeds must be 1000 or more"),
    "shared seed": (
        changed(arms=TWO, first_seed=998, tune=TUNE),
        "protocol: seed 1000 is a seed of both tuning and confirmation",
    ),
    "shared metric": (
        changed(arms=TWO, tune={**TUNE, "metric": "pass@4/problems"}),
        "protocol: problems is evaluated in both tuning and confirmation, so its problems are not fresh",
    ),
    "shared benchmark": (
        changed(arms=TWO, tune={**TUNE, "base": TUNE["base"][1:]}),
        "protocol: problems is evaluated in both tuning and confirmation",
    ),
    "shared file": (
        changed(arms=TWO, tune={**TUNE, "base": [TUNE["base"][0], "+evaluation.benchmarks.tuning={}"]}),
        "protocol: tuning (problems) is evaluated in both tuning and confirmation",
    ),
    "searched key": (changed(tune=TUNE), "protocol.arms.third: train.x is searched by tune"),
    "engine": (
        changed(arms=TWO, tune=TUNE) | {"resources": {"engine": "slurm", "options": {"partition": "gpu"}}},
        "resources.engine is slurm, but protocol.tune is a search, which needs local",
    ),
    "bad space": (
        changed(arms={"plain": {}, "b": {"kind": "other"}}, tune={**TUNE, "search": {**TUNE["search"], "space": {}}}),
        "protocol.tune.search.space is empty",
    ),
    "unknown space": (
        changed(
            arms={"plain": {}, "b": {"kind": "other"}},
            tune={
                **TUNE,
                "search": {**TUNE["search"], "space": {"kind.alpha": {"kind": "float", "low": 0, "high": 1}}},
            },
        ),
        "protocol.tune, arm b: search.space: the configuration has no value 'kind.alpha'",
    ),
    "dimension key": (
        changed(
            arms=TWO, tune={**TUNE, "search": {**TUNE["search"], "space": {"train.x": {"kind": "float", "lo": 0}}}}
        ),
        "protocol.tune.search.space.train.x has no key 'lo'; did you mean 'low'?",
    ),
}


PLANNED = ("missing", "shared file", "unknown space")  # refused by `plan` too, which reads a study in the same way


@pytest.mark.parametrize("case", REFUSALS)
def test_a_mistake_is_one_sentence_before_anything_starts(
    case: str, lab: ProtocolLab, capsys: pytest.CaptureFixture[str]
) -> None:
    study, sentence = REFUSALS[case]
    for command in ("plan", "protocol") if case in PLANNED else ("protocol",):
        assert lab.do(command, study) == 2
        assert sentence in capsys.readouterr().err
    assert not lab.root.exists()


def test_an_override_without_effect_is_refused(lab: ProtocolLab, capsys: pytest.CaptureFixture[str]) -> None:
    study = changed(arms=TWO, tune=TUNE)
    for word in ("seed=5", "kind=other", "train.x=0.1"):
        assert lab.do("protocol", study, word) == 2
        assert f"{word!r} would have no effect" in capsys.readouterr().err
    assert not lab.root.exists()


def test_other_commands_name_the_right_one(lab: ProtocolLab, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "retry"):
        assert lab.do(command, STUDY) == 2
        assert "has a protocol; start or resume it by `python -m sweeps protocol`" in capsys.readouterr().err
    plain = {"axes": {"grid": {"train.x": [0.1, 0.2]}}}
    assert lab.do("protocol", plain) == 2
    assert "has no protocol" in capsys.readouterr().err


def test_looks_end_when_each_comparison_is_decided(lab: ProtocolLab, capsys: pytest.CaptureFixture[str]) -> None:
    assert lab.do("plan", STUDY) == 0
    assert "looks at 3, 5, 8 seeds from seed 0: 9 to 24 runs" in capsys.readouterr().out
    assert not lab.root.exists()
    assert lab.do("protocol", STUDY) == 0
    printed = capsys.readouterr().out
    looks = lab.looks()
    decided = {
        one["candidate"]: (look["num_seeds"], one["decision"])
        for look in looks
        for one in look["comparisons"]
        if one["decision"] != "open"
    }
    assert decided["other"][1] == "better"
    assert decided["third"][1].startswith(("undecided: the budget ends", "worse"))
    seeds = dict.fromkeys(("plain", "other", "third"), 0)
    (experiment,) = runs.list_experiments(lab.root)
    for key in experiment.runs:
        assert runs.read_run(lab.root / key).status == "done"
        seeds[experiment.arms[key]] += 1
    assert seeds == {"plain": looks[-1]["num_seeds"], "other": decided["other"][0], "third": decided["third"][0]}
    last = next(one for one in looks[0]["comparisons"] if one["candidate"] == "other")
    assert f"{100 * last['estimate']:+.1f} pp [" in printed
    assert "other − plain at k = 1 on problems: +" in printed
    assert "Is other better than plain? (frozen " in printed

    before = {run.key: run.meta["updated"] for run in lab.runs()}
    assert lab.do("protocol", STUDY) == 0
    again = capsys.readouterr().out
    assert again.strip() == printed[printed.index("\nIs other better") :].strip()
    assert {run.key: run.meta["updated"] for run in lab.runs()} == before
    assert lab.looks() == looks
    assert lab.do("plan", STUDY) == 0
    assert "other − plain" in capsys.readouterr().out
    assert lab.do("status", STUDY, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == sum(seeds.values())
    assert lab.do("export", STUDY, "--out", str(lab.root.with_name("copy"))) == 0
    assert {path.name for path in lab.root.with_name("copy").glob("protocols/night/*")} == {
        "looks.json",
        f"frozen-{lab.frozen()['frozen']}.json",
    }


def test_tuning_is_equal_for_all_arms_and_frozen_before_the_first_look(lab: ProtocolLab) -> None:
    study = changed(
        arms=TWO,
        tune=TUNE,
        looks=[3],
    )
    study["name"] = "night"
    assert lab.do("protocol", study) == 0
    frozen = lab.frozen()
    tuned = runs.list_runs(lab.root / "tuning")
    assert {run.seed for run in tuned} == {1000, 1001}
    assert len(tuned) == 2 * 3 * 2
    for arm in ("plain", "other"):
        chosen = frozen["arms"][arm]["chosen"]
        assert (chosen["num_trials"], chosen["num_without_value"], chosen["metric"]) == (3, 0, "pass@1/tuning")
        best = min({run.config["train"]["x"] for run in tuned}, key=lambda x: abs(x - 0.3))
        assert chosen["settings"] == {"train.x": best}  # the score is highest at 0.3
        assert frozen["arms"][arm]["settings"]["train.x"] == best
    confirmed = lab.runs()
    assert {run.seed for run in confirmed} == {0, 1, 2}
    assert {run.config["train"]["x"] for run in confirmed} == {best}
    assert all(list(run.config["evaluation"]["benchmarks"]) == ["problems"] for run in confirmed)
    assert [one.name for one in runs.list_experiments(lab.root)] == ["night"]  # no tuning among the questions
    (path,) = lab.folder.glob("frozen-*.json")
    assert path.name == f"frozen-{frozen['frozen']}.json"
    first = min(run.meta["created"] for run in confirmed) if "created" in confirmed[0].meta else None
    assert first is None or frozen["frozen"] <= first[:10]


def test_a_frozen_file_cannot_silently_change(lab: ProtocolLab, capsys: pytest.CaptureFixture[str]) -> None:
    study = changed(arms={"plain": {}, "other": {"kind": "other"}}, looks=[3])
    assert lab.do("protocol", study) == 0
    capsys.readouterr()
    for changes, named in (({"looks": [3, 4]}, "protocol.looks was [3]"), ({"alpha": 0.1}, "protocol.alpha was 0.05")):
        assert lab.do("protocol", {**study, "protocol": {**study["protocol"], **changes}}) == 2
        assert f"{named} when this protocol was frozen" in capsys.readouterr().err
    assert lab.do("protocol", study, "train.num_steps=3") == 2
    assert "base was [] when this protocol was frozen" in capsys.readouterr().err
    (path,) = lab.folder.glob("frozen-*.json")
    assert not path.stat().st_mode & 0o222
    path.chmod(0o644)
    path.write_text(path.read_text().replace('"alpha": 0.05', '"alpha": 0.06'))
    assert lab.do("protocol", study) == 1
    assert "has been changed since it was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("num_samples", "problems", "sentence"),
    [(8, "first", "the evaluation of plain has changed"), (40, "second", "the problems of problems have changed")],
)
def test_later_looks_are_of_the_frozen_evaluation(
    num_samples: int, problems: str, sentence: str, lab: ProtocolLab, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def freeze_with(fingerprint: str) -> None:
        data = {"data_fingerprints": {"train": "0", "problems": fingerprint}}
        monkeypatch.setattr("fake_protocol_train.freeze", lambda config: {**fake_search_train.freeze(config), **data})

    freeze_with("first")
    study, launched = changed(arms=TWO, looks=[3, 5]), []

    def launch_once(*given: Any) -> int:
        launched.append(given)
        if len(launched) > 1:
            raise KeyboardInterrupt
        return launch_study(*given)

    with monkeypatch.context() as patch:
        patch.setattr("sweeps.launch.looks.launch_study", launch_once)
        assert lab.do("protocol", study) == 130
    assert "run the same command to resume" in capsys.readouterr().err
    assert len(lab.looks()) == 1
    config = lab.conf / "config.yaml"
    config.write_text(config.read_text().replace("num_samples: 40", f"num_samples: {num_samples}"))
    freeze_with(problems)
    assert lab.do("protocol", study) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("word", ["evaluation.num_samples=40", "evaluation.num_samples=44"])
def test_runs_from_before_the_freeze_are_not_fresh(
    word: str, lab: ProtocolLab, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = {"name": "seen", "base": [word], "axes": {"grid": {"kind": ["other"]}}, "seeds": [2]}
    assert lab.do("run", seen) == 0
    study = changed(arms={"plain": {}, "other": {"kind": "other"}}, looks=[3])
    assert lab.do("protocol", study) == 2
    assert "seed-2 has run before the freeze, so its seed is not fresh" in capsys.readouterr().err
    fresh = {**study, "protocol": {**study["protocol"], "first_seed": 10}}
    assert lab.do("protocol", fresh) == 0


def test_failed_runs_end_the_look_and_diverged_ones_their_comparison(
    lab: ProtocolLab, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = {"plain": {}, "bad": {"train.mood": "raise"}}
    study = {**changed(arms=arms, looks=[3]), "stop": {"retries": 0}}
    assert lab.do("protocol", study) == 1
    assert "the look at 3 seeds is not complete" in capsys.readouterr().out
    assert not (lab.folder / "looks.json").exists()

    root = lab.root.with_name("diverging")
    study = changed(arms={"plain": {}, "bad": {"train.mood": "diverge"}, "other": {"kind": "other"}}, looks=[3, 4])
    assert lab.do("protocol", study, root=root) == 0
    decisions = {one["candidate"]: one["decision"] for one in lab.looks(root)[0]["comparisons"]}
    assert decisions["bad"].startswith("undecided: ")
    assert decisions["bad"].endswith("is diverged and has no value")
    assert [one["candidate"] for look in lab.looks(root)[1:] for one in look["comparisons"]] == ["other"]
    assert "is diverged" in capsys.readouterr().out


def test_looks_of_any_study_without_a_protocol(lab: ProtocolLab) -> None:
    arms = {"plain": {"kind": "plain"}, "other": {"kind": "other", "kind.beta": 4.0}}
    question = Question(arms, "plain", ("pass@1/problems",), Rule((3, 5), 0.01))
    study = parse_study({"name": "asked", "resources": {"slots": 2}})
    directory = StudyDirectory(lab.root, "asked")
    options = LaunchOptions(train_module="fake_protocol_train", preload=("fake_protocol_train",))
    said: list[str] = []

    def ask(asked: Question) -> tuple[list[dict[str, Any]], int]:
        with config_dir(lab.conf):
            return run_looks(asked, study, directory, options, folder=directory.path, report=said.append)

    looks, code = ask(question)
    assert code == 0
    assert [one["decision"] for one in looks[-1]["comparisons"]] == ["better"]
    assert said[-1].startswith("other − plain at k = 1 on problems: +")
    assert said[-1].endswith("seeds: better.")
    assert ask(question) == (looks, 0)
    assert len(said) == len(looks)
    with pytest.raises(runs.RunError, match="looks of another design"):
        ask(replace(question, rule=Rule((3, 5), 0.02)))


def test_a_protocol_survives_being_written() -> None:
    study = parse_study({"name": "night", **changed(arms=TWO, tune=TUNE)})
    assert study.protocol is not None
    assert study.protocol.tune is not None
    assert parse_study(yaml.safe_load(yaml.safe_dump(as_data(study)))) == study


KILLED = """\
import sys
from pathlib import Path
from sweeps.__main__ import main
conf, *words = sys.argv[1:]
sys.exit(main(words, config_dir=Path(conf), train_module="fake_protocol_train", preload=("fake_protocol_train",)))
"""


def start(lab: ProtocolLab, study: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start the protocol in a process group of its own."""
    argv = [sys.executable, "-c", KILLED, str(lab.conf), "protocol", str(lab.write(study)), f"root={lab.root}"]
    return subprocess.Popen(argv, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL)


SHORT_TUNE = {**TUNE, "seeds": [1000], "search": {**TUNE["search"], "num_trials": 2}}


@pytest.mark.parametrize("tune", [None, pytest.param(SHORT_TUNE, marks=pytest.mark.slow)])
def test_killed_at_any_time_it_resumes_to_the_same_decisions(lab: ProtocolLab, tune: dict[str, Any] | None) -> None:
    """In the first look; with a tuning there too. A killed search alone: search/test_search_faults.py."""
    study = changed(
        arms={"plain": {"kind": "plain"}, "other": {"kind": "other", "kind.beta": 0.2}}, tune=tune, looks=[3, 4]
    )
    study["base"] = ["train.step_seconds=0.1"]
    unbroken = lab.root.with_name("unbroken")
    assert lab.do("protocol", study, root=unbroken) == 0

    moments = [lambda: list(lab.root.glob("*/seed-0/trace.txt"))]  # in the first look
    if tune is not None:
        moments.insert(0, lambda: list((lab.root / "tuning").glob("*/seed-*/trace.txt")))
    for moment in moments:
        process = start(lab, study)
        wait_until(lambda moment=moment: bool(moment()) or process.poll() is not None, seconds=60)  # noqa: B023
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.2)
    assert lab.do("protocol", study) == 0
    assert lab.looks() == lab.looks(unbroken)
    ours, theirs = lab.frozen(), runs.read_frozen(runs.protocol_dir(unbroken, "night"))
    assert theirs is not None
    assert {**ours, "frozen": "", "digest": ""} == {**theirs, "frozen": "", "digest": ""}
    assert len(lab.looks()) == 2
