"""A confirmatory study in the nano world, through the command line: killed, resumed, and quoted by the report."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from sweep_lab import environment, wait_until

from agrae_lab import runs
from agrae_lab.tasks.text.countdown import DATA
from analysis.__main__ import main as analyse
from sweeps.__main__ import main
from sweeps.spec.objectives import metric_value
from sweeps.spec.read import read_study

SMALL = [
    "world=nano",
    "train.num_steps=1",
    "train.num_prompts=8",
    "train.num_generations=4",
    "train.validate_every=0",
    "evaluation.num_samples=16",
    "evaluation.batch_size=256",
    "hardware.device=cpu",
]
METRIC = "pass@1/countdown_test"


def study(folder: Path, **protocol: Any) -> Path:
    """Write a small study of two arms and two looks, which no look decides, and return its path."""
    plain = {
        "question": "Is A-GRAE better than GRPO after one step?",
        "base": [*SMALL, "evaluation.benchmarks.countdown_test.limit=8"],
        "resources": {"slots": 2},
        "protocol": {
            "arms": {"grpo": {"advantage": "grpo"}, "a_grae": {"advantage": "a_grae"}},
            "reference": "grpo",
            "metrics": [METRIC],
            "smallest_effect": "0.01pp",
            "looks": [3, 4],
            **protocol,
        },
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(plain, sort_keys=False))
    return path


def tuning(folder: Path) -> dict[str, Any]:
    """Return a search of two trials on one seed and eight problems of its own."""
    with (DATA / "countdown_train.jsonl").open() as file:
        (folder / "tune.jsonl").write_text("".join(itertools.islice(file, 8)))
    benchmark = f"+evaluation.benchmarks.tuning={{task: countdown, file: '{folder / 'tune.jsonl'}', limit: null}}"
    return {
        "base": ["~evaluation.benchmarks.countdown_test", benchmark, "train.validate_on=tuning"],
        "seeds": [1000],
        "metric": "pass@1/tuning",
        "search": {
            "sampler": "random",
            "num_trials": 2,
            "space": {"train.learning_rate": {"kind": "float", "low": 1e-4, "high": 4e-4, "log": True}},
        },
    }


def kill_at(words: list[str], pattern: str, root: Path) -> None:
    """Start the command in a process group of its own, and kill it when a path under the root exists."""
    argv = [sys.executable, "-m", "sweeps", *words]
    process = subprocess.Popen(argv, env=environment(), start_new_session=True, stdout=subprocess.DEVNULL)
    wait_until(lambda: bool(list(root.glob(pattern))) or process.poll() is not None, seconds=300)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def looks(root: Path) -> list[dict[str, Any]]:
    content = json.loads((root / "protocols" / "small" / "looks.json").read_text())
    return [{key: value for key, value in look.items() if key != "date"} for look in content["looks"]]


@pytest.mark.slow  # test_protocol.py kills one at any time, without training
def test_a_study_killed_in_its_second_look_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "runs"
    words = ["protocol", str(study(tmp_path)), f"root={root}"]
    kill_at(words, "*/seed-3/log.txt", root)
    (first,) = looks(root)
    frozen = runs.read_frozen(root / "protocols" / "small")
    before = {run.key: run.meta["updated"] for run in runs.list_runs(root) if run.seed < 3}
    assert main(words) == 0
    printed = capsys.readouterr().out

    found = looks(root)
    assert found[0] == first
    assert [look["num_seeds"] for look in found] == [3, 4]
    assert runs.read_frozen(root / "protocols" / "small") == frozen
    every = {(run.arm, run.seed): run for run in runs.list_runs(root)}
    assert {run.key: run.meta["updated"] for run in every.values() if run.seed < 3} == before
    assert sorted(every) == [(arm, seed) for arm in ("a_grae", "grpo") for seed in range(4)]
    (last,) = found[1]["comparisons"]
    for seed, difference in enumerate(last["differences"]):
        ours, theirs = (metric_value(every[arm, seed], METRIC) for arm in ("a_grae", "grpo"))
        assert ours is not None
        assert theirs is not None
        assert difference == pytest.approx(ours - theirs)
    sentence = "at k = 1 on countdown_test: "
    assert f"a_grae − grpo {sentence}" in printed

    assert analyse([f"runs={root}", "experiment=small"]) == 0
    for name in ("summary.md", "report.html"):
        text = (root / "figures" / "small" / name).read_text()
        assert "Protocol" in text
        assert f"A-GRAE − GRPO {sentence}" in text
        assert frozen is not None
        assert f"Frozen on {frozen['frozen']}" in text
        assert "To decide: Is a_grae better or worse than grpo in pass@1/countdown_test, or is the difference" in text


@pytest.mark.slow
def test_with_tuning_a_killed_study_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    path = study(tmp_path, tune=tuning(tmp_path))
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    assert main(["protocol", str(path), f"root={unbroken}"]) == 0
    for pattern in ("tuning/*/seed-1000/log.txt", "*/seed-1/log.txt", "*/seed-3/log.txt"):
        kill_at(["protocol", str(path), f"root={broken}"], pattern, broken)
    assert main(["protocol", str(path), f"root={broken}"]) == 0
    assert looks(broken) == looks(unbroken)
    files = [runs.read_frozen(root / "protocols" / "small") for root in (broken, unbroken)]
    assert files[0] is not None
    assert files[0]["arms"]["a_grae"]["chosen"]["num_trials"] == 2
    assert files[0]["arms"] == files[1]["arms"] if files[1] is not None else False


def test_the_shipped_protocol_is_the_documented_one_and_can_be_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "sweeps.md").read_text()
    (documented,) = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "\nprotocol:" in block]
    path = tmp_path / "confirm_a_grae.yaml"
    path.write_text(documented)
    assert read_study(path) == read_study("confirm_a_grae")
    assert main(["plan", str(path), f"root={tmp_path / 'runs'}"]) == 0
    printed = capsys.readouterr().out
    assert "tune: 2 arms × 6 trials × 2 seeds = 24 runs at most, for pass@1/countdown_tune" in printed
    assert "freeze: not yet" in printed
    assert "confirm: 2 arms, looks at 3, 5, 8, 12 seeds from seed 0: 6 to 24 runs" in printed
    assert not (tmp_path / "runs").exists()
