"""Named rewards: what they weigh, who is paid by which, and what a config says of it."""

import copy
import pickle
import re

import pytest

from agrae_lab.runs import training_hash
from agrae_lab.tasks import Verdict, differs_from_accuracy, is_control, load_task, task_settings, with_random_rewards
from agrae_lab.tasks.rewards import CONTROLS, REWARDS, default_reward, mixed_reward, reward_of, with_reward
from tests.training.conftest import compose_config

PROBLEM = {"id": "1", "digits": "123", "target": 9}
RIGHT, WELL_FORMED, WRONG = "(1+2)*3", "1+2+3", "1+"
NAMED = [("accuracy", (1.0, 0.0, 0.0)), ("code", (1.0, 0.1, 0.0)), ("paper", (1.0, 0.9, 0.0))]


def test_the_paper_states_what_its_code_has_the_other_way_round():
    assert REWARDS["paper"] == {"accuracy": 0.1, "format": 0.9}
    assert REWARDS["code"] == {"accuracy": 0.9, "format": 0.1}


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_is_a_share(name):
    assert sum(REWARDS[name].values()) == 1.0
    assert mixed_reward({"accuracy": 1.0, "format": 1.0}, name) == 1.0
    assert mixed_reward({"accuracy": 0.0, "format": 0.0, "length": 1.0}, name) == 0.0


def test_unknown_rewards_and_missing_parts_are_named():
    with pytest.raises(ValueError, match=r"task\.reward must be one of accuracy, code, paper, random, .* got 'cod'"):
        mixed_reward({"accuracy": 1.0}, "cod")
    with pytest.raises(
        ValueError, match=r"weighs accuracy and format, and the verdict has no format\. Its reward components are acc"
    ):
        mixed_reward({"accuracy": 1.0}, "code")


@pytest.mark.parametrize(("name", "rewards"), NAMED)
def test_a_task_pays_by_its_reward_and_judges_as_before(name, rewards):
    plain, task = load_task("countdown"), load_task("countdown", {"name": "countdown", "reward": name})
    texts = [RIGHT, WELL_FORMED, WRONG]
    verdicts = task.verify_all(texts, [PROBLEM] * 3)
    assert [v.reward for v in verdicts] == list(rewards)
    assert [task.verify(text, PROBLEM) for text in texts] == verdicts
    for verdict, before in zip(verdicts, plain.verify_all(texts, [PROBLEM] * 3), strict=True):
        assert (verdict.correct, verdict.components, verdict.answer) == (
            before.correct,
            before.components,
            before.answer,
        )
    assert (task.name, task.columns, task.components) == (plain.name, plain.columns, plain.components)
    assert task.prompt(PROBLEM) == plain.prompt(PROBLEM)
    assert differs_from_accuracy(task) == (name != "accuracy")
    for twin in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        assert (reward_of(twin), twin.verify(WELL_FORMED, PROBLEM).reward) == (name, rewards[1])


def test_invalid_completions_have_no_reward():
    class Undecided:
        name, columns, components = "invalid", ("id",), ("accuracy", "format")

        def verify(self, completion, problem):
            return Verdict.invalid()

    verdict = with_reward(Undecided(), "code").verify("", {})
    assert not verdict.valid
    assert verdict.reward != verdict.reward


def test_a_reward_wants_the_parts_that_it_weighs():
    class Bare:
        name, columns, components = "bare", ("id",), ("accuracy",)

    with pytest.raises(
        ValueError, match="'paper' weighs accuracy and format, and the verdicts of task 'bare' have no f"
    ):
        with_reward(Bare(), "paper")
    assert not differs_from_accuracy(with_reward(Bare(), None))


def test_the_reward_is_that_of_the_task_that_is_trained_on():
    section = {"name": "math", "reward": "paper"}
    assert reward_of(load_task("math", section)) == "paper"
    assert reward_of(load_task("countdown", section)) == "accuracy"
    assert load_task("math", {**section, "verifier": "official"}).verifier == "official"


def test_tasks_with_images_are_paid_as_the_code_does():
    task = load_task("geo3k")
    assert reward_of(task) == default_reward(task) == "code"
    assert task_settings({"name": "geo3k"}, ["mathvision"])["reward"] == "code"
    plain = {"name": "geo3k", "reward": "accuracy"}
    assert not differs_from_accuracy(load_task("geo3k", plain))
    assert task_settings(plain, ["geo3k"])["reward"] == "accuracy"


def test_a_config_says_a_reward_unless_it_is_accuracy_as_a_matter_of_course(tmp_path):
    default, plain, code, paper = (
        compose_config(f"root={tmp_path}", f"task.reward={name}") for name in ("null", "accuracy", "code", "paper")
    )
    assert "reward" not in default["task"]
    assert training_hash(plain) == training_hash(default)
    assert (code["task"]["reward"], paper["task"]["reward"]) == ("code", "paper")
    assert len({training_hash(config) for config in (default, code, paper)}) == 3


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("cod", "one of accuracy, code, paper, random, constant, format, inverted, got 'cod'"),
        ("[]", "task.reward must be text, or null, got []"),
    ],
)
def test_an_unknown_reward_is_refused_before_anything_starts(value, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        compose_config(f"task.reward={value}")


CONTROLLED = [("constant", (1.0, 1.0, 1.0)), ("format", (1.0, 1.0, 0.0)), ("inverted", (0.0, 1.0, 1.0))]


@pytest.mark.parametrize(("name", "rewards"), [*CONTROLLED, ("random", (0.5, 0.5, 0.5))])
def test_a_control_replaces_the_reward_and_keeps_the_verdict(name, rewards):
    plain, task = load_task("countdown"), load_task("countdown", {"name": "countdown", "reward": name})
    assert is_control(task)
    assert differs_from_accuracy(task)
    assert not is_control(plain)
    for text, reward in zip((RIGHT, WELL_FORMED, WRONG), rewards, strict=True):
        verdict, true = task.verify(text, PROBLEM), plain.verify(text, PROBLEM)
        assert verdict.reward == reward
        assert (verdict.correct, verdict.components, verdict.answer) == (true.correct, true.components, true.answer)
    assert name in CONTROLS


def test_random_rewards_are_a_function_of_seed_step_prompt_and_index():
    task = load_task("countdown", {"name": "countdown", "reward": "random"})
    verdicts, ids = [task.verify(RIGHT, PROBLEM), Verdict.invalid()] * 50, ["a", "b"] * 50

    def draw(**changes):
        return [
            v.reward for v in with_random_rewards(task, verdicts, ids, **({"seed": 0, "step": 1, "first": 0} | changes))
        ][::2]

    assert draw() == draw()
    assert set(draw()) == {0.0, 1.0}
    for change in ({"seed": 1}, {"step": 2}, {"first": 100}):
        assert draw(**change) != draw()
    ahead = with_random_rewards(
        task, verdicts[60:], ids[60:], seed=0, step=1, first=60
    )  # as the second of two processes
    assert [v.reward for v in ahead][::2] == draw()[30:]
    assert not any(
        v.valid for v in with_random_rewards(task, verdicts, ids, seed=0, step=1, first=0)[1::2]
    )  # invalid stays invalid
    assert with_random_rewards(load_task("countdown"), verdicts, ids, seed=0, step=1, first=0) == verdicts


def test_choosing_groups_by_their_verdicts_is_refused_under_a_control():
    with pytest.raises(ValueError, match=r"is a control, and train\.sampling_rounds would choose its groups"):
        compose_config("task.reward=random", "train.sampling_rounds=3")


def test_an_estimator_of_components_is_refused_under_a_control():
    with pytest.raises(ValueError, match=r"task\.reward = 'random' is a control, and advantage 'gdpo' weighs"):
        compose_config("advantage=gdpo", "task.reward=random")
