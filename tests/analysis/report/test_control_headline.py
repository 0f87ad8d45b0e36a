"""A study with controls says whether a gain over the base model is also had by them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from analysis_lab import Root

from agrae_lab.runs import Experiment, Run
from agrae_lab.tasks.rewards import CONTROLS
from analysis.__main__ import evaluate
from analysis.claims import a_grae_pairs
from analysis.estimates.answers import answers
from analysis.estimates.control_gains import CONTROL_REWARDS, control_arms, control_gains, is_control, nearest_control
from analysis.io.study import Study, load_study
from analysis.report.headline import headline
from analysis.report.result import Result
from analysis.statistics.intervals import Interval

ZERO: dict[str, Any] = {slot: {"name": "none"} for slot in ("sample", "group", "match")}


def controlled(root: Root, arm: str, like: str, seed: int, **changes: Any) -> Run:
    """A run with the results of the arm `like` under another arm's name."""
    return root.run(like, seed, **{"arm": arm, **changes})


def study_of(root: Root, runs: list[Run]) -> Study:
    Experiment("e", "Is it the reward?", tuple(run.key for run in runs)).write(root.path)
    return load_study(root.path, Experiment.read(root.path / "experiments" / "e.json"))


def sentences(study: Study) -> list[str]:
    result = Result(study, answers=answers(study), control_gains=control_gains(study))
    return [sentence for sentence in headline(result) if sentence.startswith("The gain of")]


def make(path: Path, *, control_like: str, seeds: int = 3, **changes: Any) -> Study:
    root = Root(path, num_samples=64)
    runs = [root.run("a_grae", seed) for seed in range(seeds)]
    runs += [root.run("grpo", seed) for seed in range(seeds)]
    runs += [controlled(root, "other", control_like, seed, **changes) for seed in range(seeds)]
    return study_of(root, runs)


def test_the_names_are_those_of_the_tasks() -> None:
    assert set(CONTROL_REWARDS) == CONTROLS.keys()


def test_a_control_is_known_by_its_config() -> None:
    base = {"advantage": {"base": {"name": "grpo"}}, "arm": "grpo+reward=random"}
    assert not is_control(base)
    assert not is_control({**base, "task": {"reward": "code"}})
    assert all(is_control({**base, "task": {"reward": name}}) for name in CONTROL_REWARDS)
    assert is_control({"advantage": {"base": {"name": "zero"}}})


def test_a_gain_that_a_control_has_too_is_no_evidence(tmp_path: Path) -> None:
    study = make(tmp_path, control_like="a_grae", task={"reward": "random"})
    assert control_arms(study) == ["other"]
    said = sentences(study)
    assert any(s.startswith("The gain of A-GRAE over the base model at k = 1 is also had by a control") for s in said)
    assert not any("is more than that of any control" in s and "A-GRAE" in s for s in said)
    assert not any(s.startswith("The gain of other") for s in said)
    assert set(said) <= set(headline(evaluate(study)))


def test_a_gain_beyond_all_controls_is_said_so(tmp_path: Path) -> None:
    root = Root(tmp_path, num_samples=64)
    runs = [root.run("a_grae", seed) for seed in range(3)]
    for seed in range(3):
        run = controlled(root, "zero", "grpo", seed, advantage={"name": "zero", "flavor": "paper", **ZERO,
                                                                 "base": {"name": "zero"}})  # fmt: skip
        root.samples("base", 10 + seed, run.samples_path("countdown_test"))
        runs.append(run)
    (sentence,) = [s for s in sentences(study_of(root, runs)) if "at k = 1 " in s]
    assert "is more than that of any control (the nearest: A-GRAE − zero: +" in sentence


def test_a_control_without_an_interval_is_the_nearest_only_where_no_other_has_one() -> None:
    lows = {"unknown": math.nan, "far": 0.2, "near": 0.1, "unknown too": math.nan}
    beyond = {control: Interval(0.3, lo, 0.4, "t", "the method") for control, lo in lows.items()}
    for order in (list(lows), list(reversed(lows))):
        assert nearest_control(order, beyond) == "near"
    assert nearest_control(["unknown", "unknown too"], beyond) == "unknown"


def test_each_control_is_weighed_by_itself(tmp_path: Path) -> None:
    """A control that gains as much counts before one that wavers; those that it exceeds are named."""
    root = Root(tmp_path, num_samples=64)
    runs = [root.run("a_grae", seed) for seed in range(3)]
    likes = {"alike": "a_grae", "wavering": "hard_focused", "behind": "negative_dominant"}
    for arm, like in likes.items():
        runs += [controlled(root, arm, like, seed, task={"reward": "random"}) for seed in range(3)]
    root.samples("base", 90, runs[3 + 3].samples_path("countdown_test"))  # a seed of the second control learns nothing
    for seed in range(3):  # none of the third
        root.samples("base", 80 + seed, runs[9 + seed].samples_path("countdown_test"))
    study = study_of(root, runs)
    (gain,) = [gain for gain in control_gains(study) if gain.k == 1]
    assert (gain.control, gain.has_gain, gain.exceeded) == ("alike", True, ("behind",))
    assert gain.controls == ("alike", "behind", "wavering")
    (sentence,) = [s for s in sentences(study) if "at k = 1 " in s]
    assert "is also had by a control, so that it is no evidence: alike gains +" in sentence
    assert sentence.endswith("; it is more than that of behind.")
    study = replace(study, runs=tuple(run for run in study.runs if run.arm != "alike"))
    (sentence,) = [s for s in sentences(study) if "at k = 1 " in s]
    assert "cannot be told from that of a control, wavering: A-GRAE − wavering: " in sentence
    assert sentence.endswith("; it is more than that of behind.")


def test_the_answer_of_a_study_of_controls_comes_first(tmp_path: Path) -> None:
    """Its other arms are the reference alone; a difference from an arm with a + in its name has brackets."""
    root = Root(tmp_path, num_samples=64)
    runs = [root.run("grpo", seed) for seed in range(3)]
    runs += [controlled(root, "grpo+reward=random", "grpo", seed, task={"reward": "random"}) for seed in range(3)]
    said = headline(evaluate(study_of(root, runs)))
    assert said[0].startswith("The gain of GRPO over the base model at k = 1 is also had by a control")
    assert "GRPO − (GRPO + reward=random): " in said[0]
    assert said[-1].startswith("GRPO + reward=random − GRPO at k = 1: ")


def test_a_study_without_controls_says_nothing_of_them(tmp_path: Path) -> None:
    study = make(tmp_path, control_like="a_grae")
    assert control_gains(study) == []
    assert sentences(study) == []


def test_one_seed_speaks_of_its_checkpoints(tmp_path: Path) -> None:
    study = make(tmp_path, control_like="a_grae", seeds=1, task={"reward": "constant"})
    said = sentences(study)
    assert said
    assert all(s.endswith("; this is of these checkpoints alone.") for s in said)


@pytest.mark.parametrize("reward", [None, "random"])
def test_a_pair_of_controls_proves_no_claim(tmp_path: Path, reward: str | None) -> None:
    root = Root(tmp_path, num_samples=16)
    loss = {"loss": {"name": "grpo"}, "task": {"reward": reward}}
    study = study_of(root, [root.run(arm, 0, **loss) for arm in ("grpo", "a_grae")])
    assert bool(a_grae_pairs(study)) == (reward is None)
