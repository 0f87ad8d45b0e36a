"""Evaluation with the real nano model: what is written, and that an interruption changes nothing."""

from dataclasses import replace
from functools import partial

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from agrae_lab.evaluation import sample
from agrae_lab.evaluation.engines.base import Decoding
from agrae_lab.evaluation.engines.transformers import TransformersEngine, decode_greedily
from agrae_lab.evaluation.sample import evaluate
from agrae_lab.models.load import load_model
from agrae_lab.runs import RunError
from agrae_lab.tasks import load_task, read_problems
from agrae_lab.tasks.problems import shipped_file

TASK = load_task("countdown")
PROBLEMS = read_problems(shipped_file("countdown", "test"), TASK.columns, limit=12)
DECODING = Decoding(num_samples=16, temperature=1.0, top_p=1.0, max_new_tokens=16, batch_size=64, seed=0)


@pytest.fixture
def four_problems_a_chunk(monkeypatch):
    monkeypatch.setattr(sample, "PROBLEMS_PER_CHUNK", 4)


@pytest.fixture(scope="module")
def nano():
    return load_model("nano", dtype="float32")


def run(nano, path, **keywords):
    evaluate(TransformersEngine(*nano), TASK, PROBLEMS, DECODING, path, **keywords)
    return pd.read_parquet(path / "samples.parquet")


def test_one_row_per_problem_and_sample(nano, tmp_path):
    frame = run(nano, tmp_path / "test")
    sampled, greedy = frame[frame["decoding"] == "sample"], frame[frame["decoding"] == "greedy"]
    assert sampled.groupby("problem_id")["sample"].apply(list).map(lambda s: s == list(range(16))).all()
    assert sorted(greedy["problem_id"]) == [p["id"] for p in PROBLEMS]
    assert (greedy["sample"] == -1).all()
    assert greedy["mean_entropy"].between(0, 3).all()
    assert sampled["mean_entropy"].isna().all()
    problems = {p["id"]: p for p in PROBLEMS}
    judged = [
        TASK.verify(c, problems[i]).correct for c, i in zip(frame["completion"], frame["problem_id"], strict=True)
    ]
    assert frame["correct"].tolist() == judged
    assert sampled["correct"].mean() > 0.1
    assert sampled["completion"].nunique() > 50
    assert not (tmp_path / "test" / "chunks").exists()


def test_the_samples_of_a_problem_are_drawn_apart(nano, tmp_path):
    decoding = replace(DECODING, num_samples=128)
    evaluate(TransformersEngine(*nano), TASK, PROBLEMS[2:3], decoding, tmp_path / "one")
    frame = pd.read_parquet(tmp_path / "one" / "samples.parquet").query("decoding == 'sample'").sort_values("sample")
    texts = frame["completion"].tolist()
    assert all(texts[:32] != texts[at : at + 32] for at in (32, 64, 96))


def rows(path):
    return pd.read_parquet(path / "samples.parquet").sort_values(["problem_id", "sample"], ignore_index=True)


@pytest.mark.usefixtures("four_problems_a_chunk")
def test_more_samples_are_added_and_none_is_drawn_twice(nano, tmp_path, monkeypatch):
    """From within a block of 32 samples; from its end: the next test."""
    first = 40
    evaluate(TransformersEngine(*nano), TASK, PROBLEMS, replace(DECODING, num_samples=96), tmp_path / "once" / "test")
    path = tmp_path / "later" / "test"
    evaluate(TransformersEngine(*nano), TASK, PROBLEMS, replace(DECODING, num_samples=first), path)
    drawn = []
    engine = TransformersEngine(*nano)
    monkeypatch.setattr(
        TransformersEngine,
        "sample",
        lambda self, prompts, *a, draw=TransformersEngine.sample, **k: (
            drawn.append(len(prompts)) or draw(self, prompts, *a, **k)
        ),
    )
    evaluate(engine, TASK, PROBLEMS, replace(DECODING, num_samples=96), path)
    assert sum(drawn) == (96 - first) * len(PROBLEMS)
    pd.testing.assert_frame_equal(rows(path), rows(tmp_path / "once" / "test"))
    before = (path / "samples.parquet").read_bytes()
    evaluate(engine, TASK, PROBLEMS, replace(DECODING, num_samples=8), path)  # fewer: they are there
    assert (path / "samples.parquet").read_bytes() == before
    assert [p.name for p in path.iterdir()] == ["samples.parquet"]


@pytest.mark.usefixtures("four_problems_a_chunk")
def test_an_interrupted_addition_ends_with_the_same_samples(nano, tmp_path):
    class Stop(Exception):
        pass

    def stop_after_two(done, total):
        assert total == 6  # two blocks of 32 samples, three groups of problems
        if done == 2:
            raise Stop

    path, more = tmp_path / "cut" / "test", replace(DECODING, num_samples=96)
    evaluate(TransformersEngine(*nano), TASK, PROBLEMS, replace(DECODING, num_samples=32), path)
    evaluate(TransformersEngine(*nano), TASK, PROBLEMS, more, tmp_path / "whole" / "test")
    with pytest.raises(Stop):
        evaluate(TransformersEngine(*nano), TASK, PROBLEMS, more, path, on_progress=stop_after_two)
    assert len(pd.read_parquet(path / "samples.parquet")) == 33 * len(PROBLEMS)  # whole, until there are more
    evaluate(TransformersEngine(*nano), TASK, PROBLEMS, replace(more, num_samples=64), path)  # uses what is there
    evaluate(TransformersEngine(*nano), TASK, PROBLEMS, more, path)
    pd.testing.assert_frame_equal(rows(path), rows(tmp_path / "whole" / "test"))
    assert not (path / "chunks").exists()


def test_samples_that_are_not_whole_are_named(nano, tmp_path):
    run(nano, tmp_path / "test")
    out = tmp_path / "test" / "samples.parquet"
    pd.read_parquet(out).iloc[:-1].to_parquet(out)
    with pytest.raises(RunError, match=r"holds 203 rows, not equally many for each of 12 problems\. Delete it"):
        run(nano, tmp_path / "test")
    out.write_bytes(b"PAR1")
    with pytest.raises(RunError, match=r"samples.parquet cannot be read .*\. Delete it"):
        run(nano, tmp_path / "test")


def test_temperature_and_top_p_are_those_asked_for(nano, tmp_path):
    def num_distinct(**changes):
        path = tmp_path / str(changes)
        evaluate(TransformersEngine(*nano), TASK, PROBLEMS, replace(DECODING, **changes), path)
        frame = pd.read_parquet(path / "samples.parquet").query("decoding == 'sample'")
        assert set(frame["temperature"]) == {changes.get("temperature", 1.0)}
        return frame.groupby("problem_id")["completion"].nunique().mean()

    plain = num_distinct()
    assert num_distinct(temperature=0.1) < 0.5 * plain
    assert num_distinct(top_p=0.1) < 0.5 * plain


def test_a_models_own_sampling_defaults_are_left_out(nano):
    model, tokenizer = nano
    prompts = [TASK.prompt(p) for p in PROBLEMS]
    plain = decode_greedily(model, tokenizer, prompts, max_new_tokens=16)
    model.generation_config.repetition_penalty = 1.5
    try:
        assert decode_greedily(model, tokenizer, prompts, max_new_tokens=16) == plain
        assert model.generation_config.repetition_penalty == 1.5
    finally:
        model.generation_config.repetition_penalty = None


@pytest.mark.usefixtures("four_problems_a_chunk")
def test_an_interrupted_evaluation_ends_with_the_same_samples(nano, tmp_path):
    whole = run(nano, tmp_path / "whole" / "test")

    class Stop(Exception):
        pass

    def stop_after_two(done, total):
        assert total == 4  # one greedy chunk, three of four problems with 16 samples each
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        run(nano, tmp_path / "cut" / "test", on_progress=stop_after_two)
    assert len(list((tmp_path / "cut" / "test" / "chunks").glob("*.parquet"))) == 2
    done = []
    resumed = run(nano, tmp_path / "cut" / "test", on_progress=lambda d, t: done.append(d))
    pd.testing.assert_frame_equal(resumed, whole)


def test_chunks_of_a_version_without_rules_are_kept(nano, tmp_path):
    """An evaluation that an earlier version began: the column is null in its rows, and the file can be read."""
    whole = run(nano, tmp_path / "whole" / "test")

    def cut(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(nano, tmp_path / "cut" / "test", on_progress=cut)
    for path in (tmp_path / "cut" / "test" / "chunks").glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns("rule"), path)
    resumed = run(nano, tmp_path / "cut" / "test")
    pd.testing.assert_frame_equal(resumed.drop(columns="rule"), whole.drop(columns="rule"))


def test_a_finished_evaluation_is_not_repeated(nano, tmp_path):
    run(nano, tmp_path / "test")
    before = (tmp_path / "test" / "samples.parquet").stat().st_mtime_ns
    run((None, None), tmp_path / "test")
    assert (tmp_path / "test" / "samples.parquet").stat().st_mtime_ns == before


@pytest.mark.usefixtures("four_problems_a_chunk")
def test_a_slow_process_draws_no_chunk_again_that_the_main_process_has_joined(nano, tmp_path):
    """Its chunks were there from an earlier attempt, and the main process has ended meanwhile."""
    path = tmp_path / "test"

    def main_process_ends(done, total):
        if not (path / "samples.parquet").is_file():
            run(nano, path)

    run((None, None), path, shard=(1, 2), on_progress=main_process_ends)
    assert [p.name for p in path.iterdir()] == ["samples.parquet"]


@pytest.mark.usefixtures("four_problems_a_chunk")
def test_each_of_two_processes_tells_its_progress_before_its_own_chunks_alone(nano, tmp_path):
    told = {0: [], 1: []}
    for shard in (1, 0):
        run_shard = partial(evaluate, TransformersEngine(*nano), TASK, PROBLEMS, DECODING, tmp_path / "test")
        run_shard(shard=(shard, 2), on_progress=lambda done, total, shard=shard: told[shard].append((done, total)))
    assert told == {1: [(1, 4), (3, 4)], 0: [(0, 4), (2, 4), (4, 4)]}


def test_evaluation_leaves_the_random_state_alone(nano, tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run(nano, tmp_path / "test")
    assert torch.equal(torch.rand(3), expected)


def test_greedy_decoding_is_the_argmax_and_its_entropy_is_the_models(nano):
    model, tokenizer = nano
    prompts = [TASK.prompt(p) for p in PROBLEMS[:4]]
    together = decode_greedily(model, tokenizer, prompts, max_new_tokens=16)
    for i, prompt in enumerate(prompts):  # without padding, token by token
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        entropies = []
        for _ in range(16):
            with torch.no_grad():
                log_probs = model(ids).logits[0, -1].log_softmax(dim=-1)
            entropies.append(-(log_probs.exp() * log_probs).sum().item())
            ids = torch.cat([ids, log_probs.argmax().view(1, 1)], dim=1)
            if ids[0, -1] == tokenizer.eos_token_id:
                break
        assert tokenizer.decode(ids[0], skip_special_tokens=True) == prompt + together.texts[i]
        assert together.num_tokens[i] == len(entropies)
        assert together.mean_entropy[i] == pytest.approx(sum(entropies) / len(entropies), abs=1e-4)


def test_sharing_the_prompts_keys_and_values_changes_nothing(nano):
    """Prompts of different lengths, repeated and mixed: as if each had been continued alone."""
    model, tokenizer = nano
    prompts = [TASK.prompt(p) for p in PROBLEMS[:6]]
    alone = decode_greedily(model, tokenizer, prompts, max_new_tokens=16)
    order = [0, 3, 3, 1, 5, 0, 2, 4, 4, 4]
    shared = decode_greedily(model, tokenizer, [prompts[i] for i in order], max_new_tokens=16)
    assert shared.texts == [alone.texts[i] for i in order]
    assert shared.mean_entropy == pytest.approx([alone.mean_entropy[i] for i in order], abs=1e-4)


def test_completions_that_reach_the_limit_are_marked(nano):
    model, tokenizer = nano
    short = decode_greedily(model, tokenizer, [TASK.prompt(p) for p in PROBLEMS[:4]], max_new_tokens=3)
    assert short.truncated == [True] * 4
    assert short.num_tokens == [3] * 4


@pytest.mark.usefixtures("four_problems_a_chunk")
def test_processes_that_share_the_chunks_write_what_one_alone_does(nano, tmp_path):
    alone = run(nano, tmp_path / "alone" / "test")
    path = tmp_path / "shared" / "test"
    run_shard = partial(evaluate, TransformersEngine(*nano), TASK, PROBLEMS, DECODING, path)
    run_shard(shard=(1, 2))
    assert len(list((path / "chunks").glob("*.parquet"))) == 2
    assert not (path / "samples.parquet").exists()
    run_shard(shard=(0, 2))
    pd.testing.assert_frame_equal(pd.read_parquet(path / "samples.parquet"), alone)
