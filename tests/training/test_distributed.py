"""Runs of several processes (gloo, no GPU): two train as one does, and the run resumes when one of them dies."""

import signal

import pandas as pd
import pytest
from safetensors.torch import load_file

from agrae_lab import lifecycle, runs
from agrae_lab import train as train_command
from agrae_lab.config import problem_sets
from agrae_lab.lifecycle import execute
from agrae_lab.models.load import NANO, load_model
from agrae_lab.training.session import train
from agrae_lab.training.trainer import DivergedError
from tests.training.conftest import SMALL, compose_config
from tests.training.distributed_lab import EXECUTE, FSDP, REPLAY, processes, replay, run_processes
from tests.training.test_interruptions import wait_for
from tests.training.test_runs_end_to_end import metrics, rollouts

# All of a step in one update: which completions share a mini-batch is drawn by each process for itself.
# at the nano world's own rate the policy would sample <pad>, which a recorded text does not show
ONE_UPDATE = [*SMALL, "train.num_minibatches=1", "train.learning_rate=1.5e-4"]
LORA = "model.lora={rank: 4, alpha: 8}"
ARMS = {
    "tokens, history, accumulation, checkpointing": [
        *("advantage=curve_rl", "advantage/token=entropy", "loss=dr_grpo"),
        *("hardware.per_device_batch_size=4", "hardware.gradient_checkpointing=true"),
    ],
    "tokens of the update, entropy bonus, truncation mask, random reward": [
        *("loss=bnpo", "loss.entropy_target=3", "loss.entropy_step=0.02", "loss.mask_truncated=true"),
        *("task.reward=random", "hardware.per_device_batch_size=4", "train.max_completion_length=9"),
    ],
    "LoRA": ["advantage=reinforce_pp", LORA, "train.learning_rate=2e-3"],
}


def weights(run):
    return load_file(run.path / "model" / "model.safetensors")


def distance(one, other) -> float:
    """‖one − other‖ over all weights."""
    return sum((one[name] - other[name]).square().sum().item() for name in one) ** 0.5


def replays(root, arms):
    """Arm → (run of one process, the same by two processes, the same by two up to step 2), on the same rollouts."""
    triples, words = {}, []
    for number, (name, overrides) in enumerate(arms.items()):
        words_of_run = ["seed=1", *ONE_UPDATE, "train.num_steps=3", *overrides]
        one, two, cut_off = (
            runs.read_run(runs.create_run(compose_config(f"root={root}/{number}-{kind}", *words_of_run)))
            for kind in ("one", "two", "cut")
        )
        train(one, problem_sets(one.config))
        triples[name] = (one, two, cut_off)
        words += [two.path, one.path, 3, cut_off.path, one.path, 2]
    run_processes(*REPLAY, *words)
    return triples


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    pytest.importorskip("peft")
    return replays(tmp_path_factory.mktemp("replayed"), ARMS)


@pytest.mark.parametrize("arm", ARMS)
def test_two_processes_train_the_parameters_of_one(replayed, arm):
    one, two, _ = replayed[arm]
    assert_same_training(one, two)


@pytest.mark.slow
def test_two_processes_know_the_omega_of_the_whole_batch(tmp_path):
    """Quickly: other statistics of a whole batch in the arm LoRA; ω in two processes of test_dynamic_sampling.py."""
    (triple,) = replays(tmp_path, {"ω": ["advantage=a_grae", "loss=dr_grpo"]}).values()
    one, two, cut_off = triple
    assert_same_training(one, two)
    assert_resumed_by_one(one, cut_off)


def assert_same_training(one, two):
    same = ["step", "prompt_id", "group", "sample", "completion", "correct"]
    pd.testing.assert_frame_equal(rollouts(one)[same], rollouts(two)[same])
    for column in ("advantage", "mean_logprob", "mean_entropy"):
        assert rollouts(two)[column].to_numpy() == pytest.approx(rollouts(one)[column].to_numpy(), abs=2e-4)
    assert rollouts(one)["advantage"].abs().max() > 0.5
    for column in ("loss", "grad_norm", "approx_kl", "greedy_accuracy", "greedy_entropy"):
        pd.testing.assert_series_equal(metrics(one)[column], metrics(two)[column], rtol=2e-3, atol=2e-5)
    moved = distance(weights(one), load_file(NANO / "model.safetensors"))
    assert moved > 0.05
    assert distance(weights(one), weights(two)) < 0.01 * moved


@pytest.mark.parametrize("arm", ARMS)
def test_a_checkpoint_of_two_processes_is_resumed_by_one(replayed, arm):
    one, _, cut_off = replayed[arm]
    assert_resumed_by_one(one, cut_off)


def assert_resumed_by_one(one, cut_off):
    (checkpoint,) = (cut_off.path / "checkpoints").glob("checkpoint-2/.complete")
    assert checkpoint.exists()
    assert not (cut_off.path / "model").exists()
    replay(cut_off.path, one.path, 3)
    assert metrics(cut_off)["step"].tolist() == [1, 2, 3]
    moved = distance(weights(one), load_file(NANO / "model.safetensors"))
    assert distance(weights(one), weights(cut_off)) < 0.01 * moved


@pytest.fixture
def long_run(tmp_path):
    config = compose_config(
        f"root={tmp_path}", *ONE_UPDATE, "advantage=a_grae", "train.num_steps=8", "evaluation.num_samples=2"
    )
    return runs.create_run(config)


def test_when_a_process_is_killed_the_other_says_so_and_the_run_resumes(long_run):
    with processes(*EXECUTE, long_run) as (main, other):
        wait_for(long_run / "rollouts" / "step-000003.parquet", main)
        other.kill()
        _, errors = main.communicate(timeout=120)
    assert main.returncode == 1
    left = runs.read_run(long_run)
    assert left.status == "failed"
    assert not left.is_locked()
    assert left.meta["error"].startswith("ConnectionError: another process of this run has ended or does not answer (")
    assert left.meta["error"].endswith("the same command resumes from the last checkpoint")
    assert "ConnectionError" in errors.splitlines()[-1]
    assert max(metrics(left)["step"]) < 8

    assert execute(long_run) == "done"
    assert metrics(left)["step"].tolist() == list(range(1, 9))
    assert len(runs.read_run(long_run).meta["attempts"]) == 2


@pytest.mark.slow
def test_when_the_main_process_is_killed_the_run_is_interrupted(long_run):
    with processes(*EXECUTE, long_run) as (main, other):
        wait_for(long_run / "rollouts" / "step-000003.parquet", main)
        main.kill()
        _, errors = other.communicate(timeout=120)
    assert other.returncode == 1
    assert "another process of this run has ended" in errors
    left = runs.read_run(long_run)
    assert left.status == "running"
    assert not left.is_locked()
    run_processes(*EXECUTE, long_run)
    assert runs.read_run(long_run).status == "done"
    assert metrics(left)["step"].tolist() == list(range(1, 9))


@pytest.mark.slow
def test_a_process_that_does_not_answer_is_not_waited_for_for_ever(long_run, tmp_path):
    """Half an hour by default; here as long as two processes may be apart on a busy machine."""
    impatient = tmp_path / "impatient.py"
    impatient.write_text(
        "import datetime, sys, torch\n"
        "from agrae_lab.lifecycle import execute\n"
        "torch.distributed.init_process_group('gloo', timeout=datetime.timedelta(seconds=40))\n"
        "execute(sys.argv[1])\n"
    )
    with processes(impatient, long_run) as (main, other):
        wait_for(long_run / "rollouts" / "step-000003.parquet", main)
        other.send_signal(signal.SIGSTOP)
        main.communicate(timeout=120)
    assert main.returncode == 1
    assert "does not answer" in runs.read_run(long_run).meta["error"]


@pytest.mark.slow
def test_parameters_spread_by_fsdp_become_those_of_one_process(tmp_path):
    """Sampling, validation, a sharded checkpoint and its resumption included."""
    overrides = [*ONE_UPDATE, "seed=1", "advantage=a_grae", "loss=dapo", "hardware.gradient_checkpointing=true"]
    one, spread = (
        runs.read_run(runs.create_run(compose_config(f"root={tmp_path}/{name}", *overrides)))
        for name in ("one", "spread")
    )
    train(one, problem_sets(one.config))
    run_processes(*REPLAY, spread.path, one.path, 4, **FSDP)
    assert list(spread.path.glob("checkpoints/checkpoint-4/pytorch_model_fsdp_0/*.distcp"))
    run_processes(*REPLAY, spread.path, one.path, 6, **FSDP)
    assert metrics(spread)["step"].tolist() == [1, 2, 3, 4, 5, 6]
    for column in ("loss", "grad_norm", "approx_kl", "greedy_accuracy", "greedy_entropy"):
        pd.testing.assert_series_equal(metrics(one)[column], metrics(spread)[column], rtol=2e-3, atol=2e-5)
    moved = distance(weights(one), load_file(NANO / "model.safetensors"))
    assert distance(weights(one), weights(spread)) < 0.01 * moved


@pytest.mark.slow
def test_a_run_spread_by_fsdp_samples_and_trains(tmp_path):
    run = runs.read_run(runs.create_run(compose_config(f"root={tmp_path}", *SMALL, "advantage=a_grae")))
    run_processes(*EXECUTE, run.path, **FSDP)
    assert runs.read_run(run.path).status == "done"
    assert rollouts(run)["correct"].any()
    policy, _ = load_model(str(run.path / "model"), dtype="float32")
    base, _ = load_model("nano", dtype="float32")
    assert 0 < distance(policy.state_dict(), base.state_dict()) < 1


@pytest.fixture
def second_process(monkeypatch):
    """This process as process 1 of two."""
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


def test_only_the_main_process_writes_a_launch_into_the_run(second_process, tmp_path):
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL))
    before = (run_dir / "config.yaml").read_text()
    more = compose_config(f"root={tmp_path}", *SMALL, "evaluation.num_samples=16")
    with runs.lock(run_dir):  # by the main process, which is quicker
        assert train_command._created(more) == run_dir
    assert (run_dir / "config.yaml").read_text() == before


def test_further_processes_evaluate_as_the_main_process_will_write(tmp_path):
    more = compose_config(f"root={tmp_path}", *SMALL, "evaluation.num_samples=16", "hardware.per_device_batch_size=4")
    run = runs.read_run(runs.create_run(compose_config(f"root={tmp_path}", *SMALL)))
    expected = runs.updated_config(run, more)
    runs.update_config(run, more)
    assert runs.read_run(run.path).config == expected != run.config


def test_a_further_process_of_a_diverged_run_ends_well(second_process, monkeypatch, tmp_path):
    def diverge(run):
        raise DivergedError("the loss is not finite")

    monkeypatch.setattr(lifecycle, "_train_and_evaluate", diverge)
    assert execute(runs.create_run(compose_config(f"root={tmp_path}", *SMALL))) == "done"
