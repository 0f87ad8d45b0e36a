"""Random streams of samples: apart between training seeds, shared by arms, free of batches."""

import numpy as np
import pandas as pd
import pytest
import torch

from agrae_lab.evaluation.engines.base import Decoding
from agrae_lab.evaluation.engines.transformers import SeededSampling, TransformersEngine, invert
from agrae_lab.evaluation.sample import evaluate
from agrae_lab.evaluation.streams import BASE_STREAM, policy_stream, sample_seeds, uniforms
from agrae_lab.models.load import load_model
from agrae_lab.tasks import load_task, read_problems
from agrae_lab.tasks.problems import shipped_file

TASK = load_task("countdown")
PROBLEMS = read_problems(shipped_file("countdown", "test"), TASK.columns, limit=40)


@pytest.fixture(scope="module")
def engine():
    return TransformersEngine(*load_model("nano", dtype="float32"))


def test_no_two_samples_share_a_seed():
    seeds = [
        seed
        for evaluation_seed in (0, 1)
        for stream in (BASE_STREAM, policy_stream(0), policy_stream(1))
        for benchmark in ("a", "b")
        for problem in ("p", "q")
        for seed in sample_seeds(evaluation_seed, stream, benchmark, problem, range(512))
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_a_samples_seed_is_the_same_whichever_range_it_is_asked_for_in():
    whole = sample_seeds(3, 5, "b", "p", range(512))
    assert sample_seeds(3, 5, "b", "p", range(256, 512)) == whole[256:]
    assert sample_seeds(3, 5, "b", "p", range(0, 8)) == whole[:8]


def test_numbers_are_uniform_and_independent_between_neighbouring_seeds():
    drawn_nT = uniforms(range(2000), 50)
    assert drawn_nT.min() >= 0
    assert drawn_nT.max() < 1
    assert drawn_nT.mean() == pytest.approx(0.5, abs=5 / np.sqrt(12 * drawn_nT.size))
    assert abs(np.corrcoef(drawn_nT[:-1].ravel(), drawn_nT[1:].ravel())[0, 1]) < 5 / np.sqrt(drawn_nT.size)


def test_inversion_draws_each_token_as_often_as_its_probability_says():
    probs = torch.tensor([0.0, 0.25, 0.0, 0.7, 0.05, 0.0])
    at = torch.linspace(0, 1, 100_001, dtype=torch.float64)[:-1]
    tokens = invert(probs.expand(len(at), -1), at).flatten()
    shares = torch.bincount(tokens, minlength=6) / len(at)
    torch.testing.assert_close(shares, probs, atol=2e-5, rtol=0)
    largest = torch.tensor([np.nextafter(1, 0)], dtype=torch.float64)
    assert invert(probs.expand(1, -1), largest).item() == 4  # not the last, which has probability 0


def test_probabilities_that_are_not_finite_are_named():
    with pytest.raises(FloatingPointError, match="next-token probabilities are not finite"):
        invert(torch.tensor([[0.5, 0.5], [torch.nan, torch.nan]]), torch.tensor([0.1, 0.1], dtype=torch.float64))


def test_temperature_and_top_p_shape_the_distribution():
    scores = torch.tensor([0.6, 0.3, 0.1]).log()
    for temperature, top_p, expected in ((1.0, 1.0, [0.6, 0.3, 0.1]), (0.5, 1.0, [36, 9, 1]), (1.0, 0.8, [6, 3, 0])):
        decoding = Decoding(1, temperature, top_p, max_new_tokens=1, batch_size=1, seed=0)
        seeds = sample_seeds(0, 0, "b", "p", range(20_000))
        only = SeededSampling(decoding, seeds)(torch.zeros(len(seeds), 1), scores.expand(len(seeds), -1).clone())
        shares = torch.bincount(only.argmax(dim=-1), minlength=3) / len(seeds)
        wanted = torch.tensor(expected) / sum(expected)
        torch.testing.assert_close(shares, wanted, atol=0.015, rtol=0)


def samples(engine, path, **changes):
    settings = {"num_samples": 40, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 14, "batch_size": 512, "seed": 0}
    evaluate(engine, TASK, PROBLEMS, Decoding(**settings | changes), path, benchmark="test")
    frame = pd.read_parquet(path / "samples.parquet").query("decoding == 'sample'")
    return frame.set_index(["problem_id", "sample"]).sort_index()["completion"]


def test_the_batch_size_does_not_change_the_samples(engine, tmp_path):
    large, small = samples(engine, tmp_path / "large"), samples(engine, tmp_path / "small", batch_size=7, num_samples=4)
    assert (large.loc[small.index] == small).all()


def test_training_seeds_draw_apart_and_one_seed_draws_the_same(engine, tmp_path):
    """One policy in place of several: were the streams shared, all its samples would be the same."""
    base = samples(engine, tmp_path / "base")
    by_seed = [samples(engine, tmp_path / str(seed), stream=policy_stream(seed)) for seed in (0, 1)]
    again = samples(engine, tmp_path / "again", stream=policy_stream(0))
    assert (again == by_seed[0]).all()

    def correct(texts):
        known = {p["id"]: p for p in PROBLEMS}
        return np.array([TASK.verify(text, known[i]).correct for (i, _), text in texts.items()], dtype=float)

    for one, other in ((base, by_seed[0]), (base, by_seed[1]), (by_seed[0], by_seed[1])):
        a, b = (correct(texts).reshape(len(PROBLEMS), -1) for texts in (one, other))
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)  # within problems
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)
