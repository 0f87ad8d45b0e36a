"""Real runs of the nano world, and their records."""

import math

import pandas as pd
import pytest
import torch

from agrae_lab.advantages import make
from agrae_lab.lifecycle import execute
from agrae_lab.tasks import load_task
from agrae_lab.training.trl_config import trl_config
from tests.training.conftest import compose_config

TIMES = ["seconds_sampling", "seconds_reward", "seconds_training"]


def rollouts(run) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(p) for p in run.rollout_paths()], ignore_index=True)


def metrics(run) -> pd.DataFrame:
    return pd.read_parquet(run.metrics_path)


def test_a_run_leaves_everything_behind(small_run):
    run = small_run("advantage=a_grae")
    assert run.status == "done"
    assert run.meta["config_hash"]
    (attempt,) = run.meta["attempts"]
    assert attempt["packages"]["trl"].startswith("1.16")
    assert run.meta["timings"]["train_seconds"] > 0
    assert len(run.meta["model_fingerprint"]) == 12
    assert set(run.config["data_fingerprints"]) == {"train", "countdown_test"}
    assert [p.name for p in run.rollout_paths()] == [f"step-{i:06d}.parquet" for i in range(1, 7)]
    assert metrics(run)["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert (run.path / "model" / "model.safetensors").is_file()
    assert not (run.path / "checkpoints").exists()


def test_recorded_advantages_are_the_estimators_of_the_recorded_rewards(small_run):
    run = small_run("advantage=a_grae")
    for path in run.rollout_paths():
        step = pd.read_parquet(path)
        rewards = torch.tensor(step["reward"].to_numpy(), dtype=torch.float32).view(8, 4)
        torch.testing.assert_close(
            torch.tensor(step["advantage"].to_numpy()).float().view(8, 4), make("a_grae")(rewards)
        )
        torch.testing.assert_close(
            torch.tensor(step["advantage_grpo"].to_numpy()).float().view(8, 4), make("grpo")(rewards)
        )


def test_recorded_verdicts_are_the_tasks(small_run):
    run = small_run("advantage=a_grae")
    task = load_task("countdown")
    from agrae_lab.config import problem_sets

    problems = {p["id"]: p for p in problem_sets(run.config)["train"]}
    frame = rollouts(run)
    judged = [task.verify(c, problems[i]).correct for c, i in zip(frame["completion"], frame["prompt_id"], strict=True)]
    assert frame["correct"].tolist() == judged
    assert frame["correct"].any()
    assert not frame["correct"].all()
    assert (frame.groupby(["step", "group"])["prompt_id"].nunique() == 1).all()


def test_metrics_follow_from_the_rollouts(small_run):
    run = small_run("advantage=a_grae")
    rows, frame = metrics(run).set_index("step"), rollouts(run)
    for step, batch in frame.groupby("step"):
        row = rows.loc[step]
        solved = batch.groupby("group")["correct"].sum()
        assert row["correct_count"] == batch["correct"].sum()
        assert row["correct_count"] + row["incorrect_count"] + row["undecided_count"] == row["num_completions"] == 32
        assert row["fully_unsolved"] == (solved == 0).sum()
        assert row["fully_solved"] == (solved == 4).sum()
        assert row["solved_at_least_once"] == (solved > 0).sum()
        assert list(row["p_histogram"]) == [(solved == k).sum() for k in range(5)]
        assert row["omega"] == pytest.approx(batch["reward"].mean())
        assert row["adv_abs_sum"] == pytest.approx(batch["advantage"].abs().sum(), rel=1e-5)
        assert row["adv_positive_mass"] == pytest.approx(batch["advantage"].clip(lower=0).sum(), rel=1e-5)
        tokens = batch["n_tokens"]
        assert row["entropy"] == pytest.approx((batch["mean_entropy"] * tokens).sum() / tokens.sum(), rel=1e-6)
        assert row["num_tokens"] == frame[frame["step"] <= step]["n_tokens"].sum()
    assert rows["adv_share_changed"].max() > 0
    assert rows["greedy_accuracy"].notna().tolist() == [True, False, False, True, False, False]


def test_the_mean_log_probability_is_the_sampling_policys(small_run):
    """Step 1 is sampled by the base model, so its log-probabilities can be computed from the shipped checkpoint."""
    from agrae_lab.config import problem_sets
    from agrae_lab.models.load import load_model

    run = small_run("advantage=a_grae")
    model, tokenizer = load_model("nano", dtype="float32")
    task, problems = load_task("countdown"), {p["id"]: p for p in problem_sets(run.config)["train"]}
    step = pd.read_parquet(run.rollout_paths()[0])
    for row in step[shows_all_tokens(step)].head(5).itertuples():
        prompt = tokenizer(task.prompt(problems[row.prompt_id]), return_tensors="pt")["input_ids"]
        answer = tokenizer(row.completion, return_tensors="pt")["input_ids"]
        end = torch.tensor([[tokenizer.eos_token_id]])
        ids = torch.cat([prompt, answer, end], dim=1)
        log_probs = model(ids).logits[0, prompt.shape[1] - 1 : -1].log_softmax(dim=-1)
        chosen = log_probs.gather(1, ids[0, prompt.shape[1] :, None]).squeeze(1)
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
        assert row.n_tokens == len(chosen)
        assert row.mean_logprob == pytest.approx(chosen.mean().item(), abs=1e-4)
        assert row.mean_entropy == pytest.approx(entropy.mean().item(), abs=1e-4)


def shows_all_tokens(step: pd.DataFrame) -> pd.Series:
    """True where the text shows all sampled tokens but the end: the model sometimes samples a padding token."""
    return step["n_tokens"] == step["completion"].str.len() + ~step["truncated"]


def policy_gradient_norm(run) -> float:
    """‖∇ −mean_i(A_i · mean_t log π(token t of completion i))‖ at the base model, over the rollouts of step 1."""
    from agrae_lab.config import problem_sets
    from agrae_lab.models.load import load_model

    model, tokenizer = load_model("nano", dtype="float32")
    task, problems = load_task("countdown"), {p["id"]: p for p in problem_sets(run.config)["train"]}
    step = pd.read_parquet(run.rollout_paths()[0])
    assert shows_all_tokens(step).all()
    loss = torch.zeros(())
    for row in step.itertuples():
        prompt = tokenizer(task.prompt(problems[row.prompt_id]))["input_ids"]
        end = [] if row.truncated else [tokenizer.eos_token_id]
        answer = tokenizer(row.completion)["input_ids"] + end
        log_probs = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(dim=-1)
        token_mean = log_probs.gather(1, torch.tensor(answer)[:, None]).mean()
        loss = loss - row.advantage * token_mean / len(step)
    loss.backward()
    return torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9).item()


def test_the_update_is_the_policy_gradient_of_the_recorded_advantages(small_run, tmp_path):
    """One update on a fresh generation batch: every ratio is 1, so loss and gradient have a closed form."""
    run = small_run("advantage=w_reinforce", "train.num_minibatches=1", "train.num_steps=1", "seed=1", root=tmp_path)
    row = metrics(run).iloc[0]
    assert row["loss"] == pytest.approx(-row["adv_sum"] / row["num_completions"], rel=1e-4)
    assert row["grad_norm"] == pytest.approx(policy_gradient_norm(run), rel=1e-3)


def test_the_second_update_leaves_the_sampling_policy(small_run):
    """The first mini-batch is on policy, the second is not: a small positive KL, and TRL's own clip shares."""
    rows = metrics(small_run("advantage=a_grae"))
    assert (rows["approx_kl"] > 0).all()
    assert (rows["approx_kl"] < 0.5).all()
    assert ((rows["clip_low"] + rows["clip_high"] - rows["clip_region"]).abs() < 1e-6).all()
    assert rows["kl"].isna().all()  # no reference model without a KL coefficient


def test_a_kl_coefficient_brings_the_reference_model_in(small_run):
    rows = metrics(small_run("loss.kl_coefficient=0.1", "train.num_steps=2"))
    assert rows["kl"].iloc[0] < rows["kl"].iloc[1]
    assert rows["entropy"].between(0.3, 0.9).all()  # still the sampling policy's, not the reference's


def test_completions_cut_off_at_the_limit_are_marked(small_run):
    run = small_run("train.max_completion_length=7", "train.num_steps=1")
    frame = rollouts(run)
    assert frame["truncated"].any()
    assert not frame["truncated"].all()
    assert (frame.loc[frame["truncated"], "n_tokens"] == 7).all()
    # what ended in time lost its end token in the text: one character a token, and the end
    ended = frame[~frame["truncated"]]
    assert (ended["n_tokens"] == ended["completion"].str.len() + 1).all()
    assert metrics(run)["truncated_share"].item() == pytest.approx(frame["truncated"].mean())


def test_trl_is_asked_for_what_the_config_says(tmp_path):
    overrides = ["loss=dapo", "loss.kl_coefficient=0.25", "train.temperature=0.7", "train.top_p=0.9", "seed=3"]
    overrides += ["train.weight_decay=0.125", "hardware.per_device_batch_size=64", "hardware.device=cpu"]
    args = trl_config(compose_config(*overrides), tmp_path)
    assert (args.loss_type, args.epsilon, args.epsilon_high, args.beta) == ("dapo", 0.2, 0.28, 0.25)
    assert (args.temperature, args.top_p, args.weight_decay) == (0.7, 0.9, 0.125)
    assert (args.seed, args.data_seed, args.learning_rate, args.lr_scheduler_type) == (3, 3, 1e-3, "linear")
    # 64 × 8 completions a step, two updates of 256 each, four passes of 64 to an update
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps, args.steps_per_generation) == (64, 4, 8)
    assert args.max_steps == 2 * 32
    assert args.save_steps == 2 * 8


def test_batches_that_do_not_divide_over_the_processes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "6")
    with pytest.raises(
        ValueError,
        match=r"hardware\.per_device_batch_size: a mini-batch of 256 completions does not divide over 6 processes",
    ):
        trl_config(compose_config(), tmp_path)


def test_another_seed_has_other_rollouts(small_run):
    """The same seed has the same rollouts, metrics, samples and weights: test_interruptions.py, in two processes."""
    first, other = small_run("advantage=a_grae"), small_run("advantage=a_grae", "seed=1", "train.num_steps=1")
    assert rollouts(first)["completion"].tolist()[:32] != rollouts(other)["completion"].tolist()


def test_gradient_accumulation_changes_nothing_but_rounding(small_run, tmp_path):
    words = ["advantage=a_grae", "train.num_steps=2"]
    whole, parts = small_run(*words), small_run(*words, "hardware.per_device_batch_size=4", root=tmp_path)
    assert whole.key == parts.key
    assert rollouts(whole)["completion"].tolist()[:32] == rollouts(parts)["completion"].tolist()[:32]
    assert metrics(whole)["loss"].to_numpy() == pytest.approx(metrics(parts)["loss"].to_numpy(), abs=1e-4)
    assert metrics(whole)["grad_norm"][0] == pytest.approx(metrics(parts)["grad_norm"][0], rel=1e-2)


def test_a_loss_that_is_not_finite_ends_the_run_as_diverged(small_run, tmp_path):
    run = small_run("train.learning_rate=1e30", root=tmp_path)
    assert run.status == "diverged"
    assert "not finite" in run.meta["error"] or "nan" in run.meta["error"]
    recorded = metrics(run)
    assert len(recorded) >= 1
    assert math.isnan(recorded["loss"].iloc[-1]) or math.isnan(recorded["grad_norm"].iloc[-1])
    assert execute(run.path) == "diverged"  # final: the same config would end the same way


@pytest.mark.parametrize(
    "words",
    [
        ["train.num_steps=3", "train.validate_every=0"],
        ["train.num_steps=1", "train.validate_every=1", "train.validate_samples=2"],
    ],
)
def test_an_update_that_ruins_the_weights_ends_the_run_as_diverged(small_run, tmp_path, words):
    run = small_run("train.learning_rate=1e30", "train.num_minibatches=1", *words, root=tmp_path)
    assert run.status == "diverged", run.meta["error"]
    assert "logits are not finite after step 1" in run.meta["error"]
    assert metrics(run)["step"].tolist() == [1]
    assert not (run.path / "model").exists()


def test_an_estimator_that_changes_nothing_is_warned_of(small_run, tmp_path, caplog):
    # ω is about 0.3, so that min(1, ω/α) = 1: a claim of A-GRAE that trains plain GRPO
    run = small_run("advantage=a_grae_group_only", "advantage.group.alpha=0.01", "train.num_steps=4", root=tmp_path)
    assert any("trains plain GRPO" in w for w in run.meta["warnings"])
    assert "trains plain GRPO" in caplog.text
    assert "warnings" not in small_run("advantage=a_grae").meta
    assert "warnings" not in small_run("advantage=grpo", "advantage/match=l1").meta
