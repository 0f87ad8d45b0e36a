"""Dynamic sampling: which groups are kept and dropped, real runs with it, a resume, and two processes."""

import json
import sys
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from agrae_lab import runs
from agrae_lab.advantages import Context, make
from agrae_lab.config import ConfigError, problem_sets
from agrae_lab.tasks import Verdict
from agrae_lab.training import session
from agrae_lab.training.dynamic_sampling import (
    Draw,
    divide,
    other_problems,
    replace_skipped,
    sampling_metrics,
    unmixed_reason,
)
from agrae_lab.training.trainer import AdvantageTrainer
from tests.training.conftest import SMALL, compose_config
from tests.training.distributed_lab import run_processes
from tests.training.test_interruptions import start, wait_for
from tests.training.test_runs_end_to_end import TIMES, metrics, rollouts

NUM_FEW = 40
ROUNDS = ["train.sampling_rounds=3", "train.num_prompts=16"]


def group(name, *marks):
    """A group with a completion for each mark: 1 correct, 0 incorrect, None invalid."""
    verdicts = [Verdict(mark == 1, float(mark or 0), valid=mark is not None) for mark in marks]
    return [Draw(name, [1, 2, 3], f"{name} {i}", None, verdict) for i, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ((1, 0, 0), None),
        ((1, None, 0), None),
        ((1, 1, 1), "solved"),
        ((1, None, 1), "solved"),
        ((0, 0, 0), "unsolved"),
        ((None, 0, None), "unsolved"),
        ((None, None, None), "invalid"),
    ],
)
def test_a_group_is_mixed_if_its_verdicts_differ(marks, reason):
    assert unmixed_reason([draw.verdict for draw in group("a", *marks)]) == reason


def names(groups):
    return [one[0].problem_id for one in groups]


def test_mixed_groups_of_the_earliest_rounds_are_kept():
    first = [group("a", 1, 1), group("b", 0, 1), group("c", 0, 0)]
    second = [group("d", 1, 0), group("e", 0, 1), group("f", None, None)]
    sampled = divide([first, second], 2)
    assert names(sampled.kept) == ["b", "d"]
    assert [(d.round_number, d.draws[0].problem_id, d.reason) for d in sampled.dropped] == [
        *((1, "a", "solved"), (1, "c", "unsolved"), (2, "e", "surplus"), (2, "f", "invalid")),
    ]
    assert sampling_metrics(sampled) == {
        **{"sampling_rounds": 2, "trained_unmixed": 0, "dropped_solved": 1, "dropped_unsolved": 1},
        **{"dropped_invalid": 1, "dropped_surplus": 1, "dropped_tokens": 4 * 2 * 3},
    }


def test_unmixed_groups_of_the_first_round_fill_the_batch():
    first = [group("a", 1, 1), group("b", 0, 0), group("c", 0, 1)]
    second = [group("d", 1, 1), group("e", 1, 0), group("f", 0, 0)]
    sampled = divide([first, second], 3)
    assert names(sampled.kept) == ["c", "e", "a"]
    assert sampling_metrics(sampled)["trained_unmixed"] == 1
    assert [d.draws[0].problem_id for d in sampled.dropped] == ["b", "d", "f"]


def test_other_problems_are_drawn_by_seed_step_and_round():
    pool = [str(i) for i in range(40)]
    taken = {str(i) for i in range(10)}
    drawn = other_problems(pool, taken, 10, seed=1, step=2, round_number=3)
    assert drawn == other_problems(pool, taken, 10, seed=1, step=2, round_number=3)
    assert len(set(drawn)) == 10
    assert taken.isdisjoint(drawn)
    for other in ({"seed": 2}, {"step": 3}, {"round_number": 2}):
        assert drawn != other_problems(pool, taken, 10, **({"seed": 1, "step": 2, "round_number": 3} | other))
    assert other_problems(pool, set(pool[:31]), 10, seed=1, step=2, round_number=3) is None


def test_skipped_problems_give_their_places_to_others():
    pool = [str(i) for i in range(12)]
    chosen = replace_skipped(["0", "1", "2", "3"], {"1", "3", "9"}, pool, seed=0, step=1)
    assert chosen[::2] == ["0", "2"]
    assert set(chosen[1::2]) <= {"4", "5", "6", "7", "8", "10", "11"}
    assert len(set(chosen)) == 4
    assert chosen == replace_skipped(["0", "1", "2", "3"], {"1", "3", "9"}, pool, seed=0, step=1)
    assert replace_skipped(["0", "1"], {"0", "1"}, ["0", "1", "2"], seed=0, step=1) == ["0", "2"]  # one is left
    assert replace_skipped(["0", "1"], {"7"}, pool, seed=0, step=1) == ["0", "1"]


def dropped(run) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(p) for p in sorted((run.path / "rollouts").glob("dropped-*"))], ignore_index=True)


@pytest.fixture(scope="module")
def resampled(small_run):
    return small_run("advantage=a_grae", "loss=dapo", *ROUNDS)


def test_a_step_is_trained_on_mixed_groups(resampled):
    kept, rows = rollouts(resampled), metrics(resampled)
    p = kept.groupby(["step", "group"])["correct"].mean()
    unmixed = ((p == 0) | (p == 1)).groupby("step").sum()
    assert unmixed.tolist() == rows["trained_unmixed"].tolist()
    assert (rows["sampling_rounds"] <= 3).all()
    assert ((rows["trained_unmixed"] == 0) | (rows["sampling_rounds"] == 3)).all()
    assert (rows["sampling_rounds"] > 1).any()
    assert (kept.groupby("step").size() == 16 * 4).all()
    assert resampled.config["method"] == "a_grae+dapo+resampled" == resampled.arm


def test_what_was_dropped_is_recorded_and_counted(resampled):
    kept, out, rows = rollouts(resampled), dropped(resampled), metrics(resampled)
    for step, row in rows.set_index("step").iterrows():
        own, other = kept[kept["step"] == step], out[out["step"] == step]
        groups = other.groupby("group")
        reasons = groups["reason"].first().value_counts()
        for reason in ("solved", "unsolved", "invalid", "surplus"):
            assert row[f"dropped_{reason}"] == reasons.get(reason, 0)
        share = groups["correct"].mean()
        assert ((share == 1) == (groups["reason"].first() == "solved")).all()
        assert row["num_prompts"] == 16 + groups.ngroups
        assert row["num_prompts"] == 16 * row["sampling_rounds"]
        both = pd.concat([own, other])
        assert not both.groupby("prompt_id").size().gt(4).any()  # no problem twice in a step
        assert row["omega"] == pytest.approx(both["correct"].mean())
        correct = both.groupby("prompt_id")["correct"].sum()
        assert row["p_histogram"].tolist() == [int((correct == k).sum()) for k in range(5)]
        assert row["dropped_tokens"] == other["n_tokens"].sum()
    spent = kept.groupby("step")["n_tokens"].sum() + out.groupby("step")["n_tokens"].sum()
    assert rows["num_tokens"].tolist() == spent.cumsum().tolist()


def test_omega_is_of_all_that_was_sampled(resampled):
    for (step, own), omega in zip(rollouts(resampled).groupby("step"), metrics(resampled)["omega"], strict=True):
        rewards = torch.tensor(own["reward"].to_numpy()).view(16, 4)
        expected = make("a_grae")(rewards, Context(omega=omega)).flatten()
        assert own["advantage"].to_numpy() == pytest.approx(expected.numpy(), abs=1e-5), step


def killed_and_resumed(root, words, *, at_step):
    """A run that was killed once a step's rollouts were there, and then resumed to its end."""
    run_dir = runs.create_run(compose_config(f"root={root}", *SMALL, *words))
    process = start(run_dir)
    wait_for(run_dir / "rollouts" / f"step-{at_step:06d}.parquet", process)
    process.kill()
    process.wait()
    assert start(run_dir).wait(timeout=240) == 0
    return runs.read_run(run_dir)


def sampled_groups(run):
    """The groups of a run that were sampled: step, problem, and whether they were mixed."""
    paths = sorted((run.path / "rollouts").glob("*-*.parquet"))
    groups = pd.concat(map(pd.read_parquet, paths)).groupby(["step", "prompt_id"])["correct"].mean().reset_index()
    return groups.assign(mixed=groups["correct"].between(0, 1, inclusive="neither"))


@pytest.fixture(scope="module")
def skipping(tmp_path_factory):
    """Words of a run on few problems, so that they come again soon."""
    few = tmp_path_factory.mktemp("few") / "few.jsonl"
    shipped = problem_sets(compose_config())["train"][:NUM_FEW]
    few.write_text("".join(json.dumps(row) + "\n" for row in shipped))
    return [f"task.train_file={few}", "train.skip_window=2", "train.num_steps=6"]


@pytest.mark.parametrize("rounds", [[], ["train.sampling_rounds=2"]])
def test_a_problem_whose_group_was_not_mixed_is_skipped_for_a_while(small_run, skipping, rounds):
    run = small_run(*skipping, *rounds)
    groups = sampled_groups(run)
    assert metrics(run)["passed_over"].sum() > 0
    for problem, visits in groups.groupby("prompt_id"):
        steps, mixed = visits["step"].tolist(), visits["mixed"].tolist()
        for before, after, was_mixed in zip(steps, steps[1:], mixed, strict=False):
            assert was_mixed or after - before > 2, problem
    assert run.arm == "+".join(["grpo", *(["resampled"] if rounds else []), "skipping"])


def test_a_killed_run_with_several_rounds_remembers_what_it_passes_over(small_run, skipping, tmp_path):
    words = [*skipping, "train.sampling_rounds=2"]
    unbroken = small_run(*words)
    assert metrics(unbroken)["passed_over"][2] > 0  # at step 3, by what the checkpoint of step 2 remembers
    resumed = killed_and_resumed(tmp_path, words, at_step=4)
    pd.testing.assert_frame_equal(rollouts(resumed), rollouts(unbroken))
    pd.testing.assert_frame_equal(dropped(resumed), dropped(unbroken))
    pd.testing.assert_frame_equal(metrics(resumed).drop(columns=TIMES), metrics(unbroken).drop(columns=TIMES))
    one, other = (load_file(run.path / "model" / "model.safetensors") for run in (resumed, unbroken))
    assert all(torch.equal(one[name], other[name]) for name in one)


@contextmanager
def sampling_as(source: Path):
    """Inside this block, every problem of a step gets the completions that `source` has sampled for it there."""

    class Repeating(AdvantageTrainer):
        def _generate_single_turn(self, prompt_ids, *arguments, **keywords):
            tables = [source / "rollouts" / f"{kind}-{self._batch.step:06d}.parquet" for kind in ("step", "dropped")]
            recorded = pd.concat([pd.read_parquet(path) for path in tables if path.exists()])
            texts = {key: part["completion"].tolist() for key, part in recorded.groupby("prompt_id", sort=False)}
            lengths = {key: part["n_tokens"].tolist() for key, part in recorded.groupby("prompt_id", sort=False)}
            first = self.accelerator.process_index * len(prompt_ids)
            ids = []
            for i, problem_id in enumerate(self._batch.problem_ids_n, start=first):
                tokens = self._tokenizer(texts[problem_id][i % self.num_generations])["input_ids"]
                tokens = [*tokens, self._tokenizer.eos_token_id][: lengths[problem_id][i % self.num_generations]]
                ids.append(tokens)
            return ids, None

    original = session.AdvantageTrainer
    session.AdvantageTrainer = Repeating
    try:
        yield
    finally:
        session.AdvantageTrainer = original


def repeat(run_dir: str, source: str) -> None:
    """Train a run on the completions of another."""
    run = runs.read_run(Path(run_dir))
    with sampling_as(Path(source)):
        session.train(run, problem_sets(run.config))


def test_two_processes_keep_and_drop_as_one_does(small_run, tmp_path):
    """5 prompts of 4: both processes sample a half of the third group of each round."""
    words = ["advantage=a_grae", "loss=dapo", "train.sampling_rounds=3", "train.num_prompts=5", "train.num_steps=3"]
    words += ["train.skip_window=3", "train.overlong_share=0.3"]
    words += ["train.num_minibatches=1", "train.learning_rate=1.5e-4"]
    one = small_run(*words)
    two = runs.read_run(runs.create_run(compose_config(f"root={tmp_path}", *SMALL, *words)))
    run_processes("-m", "tests.training.test_dynamic_sampling", two.path, one.path)
    same = ["step", "prompt_id", "group", "sample", "completion", "correct"]
    pd.testing.assert_frame_equal(rollouts(two)[same], rollouts(one)[same])
    pd.testing.assert_frame_equal(dropped(two), dropped(one))
    assert rollouts(two)["advantage"].to_numpy() == pytest.approx(rollouts(one)["advantage"].to_numpy(), abs=1e-5)
    counts = [c for c in metrics(one) if c.startswith(("dropped_", "sampling_r", "trained_", "num_", "omega"))]
    pd.testing.assert_frame_equal(metrics(two)[counts], metrics(one)[counts])
    for column in ("loss", "grad_norm", "approx_kl"):
        pd.testing.assert_series_equal(metrics(one)[column], metrics(two)[column], rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train.sampling_rounds=1"], "train.sampling_rounds must be a whole number of at least 2, or null, got 1"),
        (
            ["train.sampling_rounds=2", "train.num_prompts=2000", "train.num_minibatches=1"],
            "up to train.num_prompts = 2000 other problems are drawn .* and 2048 problems are left to train on; lower",
        ),
        (["train.skip_window=0"], "train.skip_window must be a whole number of at least 1, or null, got 0"),
        (["train.skip_window=2", "train.prompt_order=listed"], "train.skip_window draws other problems at random"),
    ],
)
def test_rounds_that_cannot_be_are_refused(words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        compose_config(*SMALL, *words)


def test_rounds_may_draw_all_other_problems_once():
    words = ["train.sampling_rounds=2", "train.num_prompts=1024", "train.num_minibatches=1"]
    assert compose_config(*SMALL, *words)["train"]["num_prompts"] == 1024  # of 2048


def test_the_method_of_dapo_with_its_sampling():
    config = compose_config("method=dapo_resampled")
    assert (config["arm"], config["train"]["sampling_rounds"]) == ("grpo+dapo+resampled", 10)
    assert "sampling_rounds" not in compose_config("method=dapo")["train"]


if __name__ == "__main__":
    repeat(*sys.argv[1:])
