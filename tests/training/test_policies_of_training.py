"""Policies before the last one: evaluated at steps, validated, and none of it touches the weights."""

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from agrae_lab import evaluate, runs
from agrae_lab.config import ConfigError
from agrae_lab.evaluation.benchmarks import policy_after
from agrae_lab.lifecycle import execute
from agrae_lab.runs.evaluated_steps import steps_to_evaluate, steps_to_keep
from agrae_lab.training.session import resume_policies
from tests.training.conftest import SMALL, compose_config
from tests.training.test_interruptions import start, wait_for
from tests.training.test_runs_end_to_end import metrics

OFTEN = ["train.num_steps=4", "train.checkpoint_every=2", "evaluation.at_steps=[0,1,3,last]", "train.validate_every=3"]


def trained(root, *overrides):
    run_dir = runs.create_run(compose_config(f"root={root}", *SMALL, *overrides))
    execute(run_dir)
    return runs.read_run(run_dir)


def weights(run):
    return load_file(run.path / "model" / "model.safetensors")


def step_samples(run, step):
    return pd.read_parquet(run.step_samples_path(step, "countdown_test"))


@pytest.fixture(scope="module")
def often(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("often"), *OFTEN, "train.validate_samples=4")


def test_the_policies_of_steps_are_evaluated_and_deleted(often):
    assert often.evaluated_steps() == [1, 3]
    frames = {step: step_samples(often, step) for step in (1, 3)}
    frames[4] = pd.read_parquet(often.samples_path("countdown_test"))
    assert all(len(frame) == 16 * 9 for frame in frames.values())
    assert not frames[1]["completion"].equals(frames[4]["completion"])  # another policy, the same streams
    assert not list(often.path.glob("policies/*/model"))
    assert set(often.meta["evaluations_at"]) == {"1", "3"}


def test_watching_often_leaves_the_weights_as_they_are(often, tmp_path):
    """Keys outside the training identity do not decide weights: checkpoints, validation, kept policies, benchmarks."""
    plain = trained(tmp_path, "train.num_steps=4", "train.checkpoint_every=3", "train.validate_every=0")
    assert runs.training_hash(plain.config) == runs.training_hash(often.config)
    ours, theirs = weights(plain), weights(often)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_policy_after_the_last_step_is_validated_and_samples_are_counted(often):
    rows = metrics(often).set_index("step")
    assert rows["greedy_accuracy"].notna().tolist() == [True, False, False, True]
    assert rows["final_greedy_accuracy"].notna().tolist() == [False, False, False, True]
    final = pd.read_parquet(often.samples_path("countdown_test"))
    greedy, sampled = (final[final["decoding"] == kind] for kind in ("greedy", "sample"))
    assert rows.loc[4, "final_greedy_accuracy"] == pytest.approx(greedy["correct"].mean())
    four = sampled[sampled["sample"] < 4]  # validation draws from the evaluation's streams
    assert rows.loc[4, "final_sampled_accuracy"] == pytest.approx(four["correct"].mean())
    any_of_four = four.groupby("problem_id")["correct"].any().mean()
    assert rows.loc[4, "final_pass_at_4"] == pytest.approx(any_of_four)
    before_third = step_samples(often, 3)
    first = before_third[before_third["decoding"] == "greedy"]
    assert rows.loc[4, "greedy_accuracy"] == pytest.approx(first["correct"].mean())  # of the policy after step 3


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The same run, killed past step 3 and resumed, that keeps the policies of its steps."""
    root, words = tmp_path_factory.mktemp("kept"), [*SMALL, *OFTEN, "train.validate_samples=4"]
    run_dir = runs.create_run(compose_config(f"root={root}", *words, "evaluation.keep_policies=true"))
    process = start(run_dir)
    wait_for(run_dir / "rollouts" / "step-000004.parquet", process)
    process.kill()
    process.wait()
    assert not (run_dir / "model").exists()
    execute(run_dir)
    return runs.read_run(run_dir)


def test_a_kill_between_steps_and_evaluations_changes_nothing(often, kept):
    for step in (1, 3):
        pd.testing.assert_frame_equal(step_samples(kept, step), step_samples(often, step))
    ours, theirs = weights(kept), weights(often)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_kept_policies_can_be_asked_for_more_later_and_deleted_ones_are_named(often, kept, capsys):
    assert len(list(kept.path.glob("policies/*/model"))) == 2
    assert evaluate.main([str(kept.path), "evaluation.num_samples=12"]) == 0
    assert len(step_samples(runs.read_run(kept.path), 3)) == 16 * 13
    assert evaluate.main([str(often.path), "evaluation.num_samples=12"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the policy after step 1" in line
    assert "has been evaluated and deleted" in line
    assert evaluate.main([str(often.path), "evaluation.num_samples=12", "evaluation.at_steps=null"]) == 0
    assert runs.read_run(often.path).evaluated_steps() == [1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"step": 2, "fin', "is not readable as JSON"),
        ('{"step": 2, "fingerprinu": "x"}', "is damaged"),
        ("[]", "must"),
    ],
)
def test_a_damaged_record_of_a_policy_is_named(tmp_path, text, message):
    run = runs.read_run(runs.create_run(compose_config(f"root={tmp_path}", *SMALL)))
    record = run.policy_dir(2) / "policy.json"
    record.parent.mkdir(parents=True)
    record.write_text(text)
    with pytest.raises(runs.RunError, match=f"{record} {message}"):
        policy_after(run, 2)


def unfinished(root, *, kept):
    """An interrupted run with evaluation.at_steps=[1,3,last] that has kept the policies of some steps."""
    run = runs.read_run(runs.create_run(compose_config(f"root={root}", *SMALL, *OFTEN)))
    for step in kept:
        model = run.policy_dir(step) / "model"
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
    return run


def test_a_resumed_run_drops_the_policies_of_steps_that_it_trains_again(tmp_path):
    run = unfinished(tmp_path, kept=[1, 3])
    resume_policies(run, 2)
    assert (run.policy_dir(1) / "model").is_dir()
    assert not run.policy_dir(3).exists()


def test_a_policy_that_an_unfinished_run_did_not_keep_is_refused_before_training_goes_on(tmp_path):
    run = unfinished(tmp_path, kept=[])
    resume_policies(run, 0)
    with pytest.raises(runs.RunError, match=r"the policy after step 1 .* was not kept in training"):
        resume_policies(run, 2)


def test_which_steps_are_asked_for():
    def steps(at_steps):
        config = {"evaluation": {"at_steps": at_steps}, "train": {"num_steps": 10}}
        return steps_to_evaluate(config), steps_to_keep(config)

    assert steps(None) == ([], [])
    assert steps(4) == ([0, 4, 8, 10], [4, 8])
    assert steps([0, 7, "last"]) == ([0, 7, 10], [7])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluation.at_steps=[0,73]"], "evaluation.at_steps names step 73, and train.num_steps = 32"),
        (["evaluation.at_steps=0"], "evaluation.at_steps must be a number of steps"),
        (["evaluation.at_steps=[first]"], "evaluation.at_steps must be a number of steps"),
        (["evaluation.at_steps=[-1]"], "evaluation.at_steps must be a number of steps"),
        (
            ["train.validate_on=math"],
            "train.validate_on must be one of evaluation.benchmarks, countdown_test, got 'math'",
        ),
        (
            ["+evaluation.benchmarks.more={task: countdown}", "train.validate_on=null"],
            "train.validate_on must say which of countdown_test, more the policy is validated on",
        ),
        (["train.validate_samples=-1"], "train.validate_samples must be a whole number of at least 0"),
    ],
)
def test_mistakes_are_one_sentence(overrides, message):
    with pytest.raises(ConfigError, match=message) as error:
        compose_config(*overrides)
    assert "\n" not in str(error.value)


def test_the_order_of_benchmarks_decides_nothing():
    added = [f"+evaluation.benchmarks.{name}={{task: countdown, limit: 3}}" for name in ("b", "a")]
    configs = [compose_config(*words, "train.validate_on=a") for words in (added, added[::-1])]
    assert list(configs[0]["evaluation"]["benchmarks"]) == list(configs[1]["evaluation"]["benchmarks"])
    assert configs[0] == configs[1]
