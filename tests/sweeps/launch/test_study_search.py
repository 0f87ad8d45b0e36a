"""Searches by the command line: preview, start, resume, retry, status."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from search_lab import SearchLab, in_lab

from agrae_lab import runs
from sweeps.__main__ import main

QUEST = {
    "objective": [{"metric": "pass@1/problems", "direction": "maximize"}],
    "search": {
        "sampler": "random",
        "num_trials": 2,
        "space": {"train.x": {"kind": "float", "low": 0.0, "high": 1.0}},
    },
    "seeds": [0, 1],
}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchLab]:
    with in_lab(tmp_path, monkeypatch) as lab:
        yield lab


def _do(lab: SearchLab, command: str, *words: str, **changes: object) -> int:
    study = lab.conf.parent / "quest.yaml"
    study.write_text(yaml.safe_dump({**QUEST, **changes}))
    argv = [command, str(study), *words, f"root={lab.root}"]
    return main(argv, config_dir=lab.conf, train_module="fake_search_train", preload=())


def test_a_search_is_planned_begun_and_found_done(lab: SearchLab, capsys: pytest.CaptureFixture[str]) -> None:
    assert _do(lab, "plan") == 0
    assert not lab.root.exists()
    assert "2 trials by random, each with seeds 0, 1: none started yet" in capsys.readouterr().out
    lab.make_storage()
    assert _do(lab, "run") == 0
    output = capsys.readouterr().out
    assert "[4/4]" in output
    assert f"all trials: {lab.directory().path / 'trials.csv'}" in output
    (experiment,) = runs.list_experiments(lab.root)
    assert len(experiment.runs) == 4
    before = {run.key: run.meta["updated"] for run in lab.runs()}
    assert _do(lab, "run") == 0
    assert {run.key: run.meta["updated"] for run in lab.runs()} == before
    capsys.readouterr()
    assert _do(lab, "plan") == 0
    assert "2 done" in capsys.readouterr().out
    assert _do(lab, "status", "--json") == 0
    cells = {row["cell"] for row in json.loads(capsys.readouterr().out)}
    assert len(cells) == 2
    assert all(cell.startswith("train.x=0.") for cell in cells)
    assert _do(lab, "collect") == 0


def test_a_search_with_failures_says_so_and_retries_them(lab: SearchLab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.make_storage()
    assert _do(lab, "run", "train.mood=raise", "seed=0") == 1
    assert [row["status"] for row in lab.table()] == ["failed", "failed"]
    output = capsys.readouterr().out
    for number in (0, 1):
        assert re.search(rf"trial {number} failed: \S+ failed: RuntimeError: the reward is on fire", output), output
    assert _do(lab, "run", "train.mood=raise", "seed=0") == 1  # a failed trial is an answer, and no success
    assert len(lab.table()) == 2
    assert _do(lab, "retry", "train.mood=raise", "seed=0") == 1
    assert [row["status"] for row in lab.table()] == ["requeued", "requeued", "failed", "failed"]
    assert _do(lab, "retry", "train.mood=raise", "seed=0", "--diverged") == 2
    assert "--diverged is for other studies" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "changes", "sentence"),
    [
        (["train.x=0.3"], {}, "'train.x=0.3' would have no effect: the study varies train.x"),
        ([], {"resources": {"engine": "slurm"}}, "a search needs local"),
        ([], {"search": {**QUEST["search"], "space": {"train.z": {"kind": "int", "low": 0, "high": 1}}}}, "train.z"),  # type: ignore[dict-item]
        (["seed=0"], {"search": {**QUEST["search"], "pruner": "wilcoxon"}}, "seeds lists one"),  # type: ignore[dict-item]
    ],
)
def test_searches_that_cannot_be_are_refused(
    lab: SearchLab, capsys: pytest.CaptureFixture[str], words: list[str], changes: dict, sentence: str
) -> None:
    for command in ("plan", "run"):
        assert _do(lab, command, *words, **changes) == 2
        assert sentence in capsys.readouterr().err
    assert not lab.root.exists()
