"""A model's own sampling defaults act nowhere in a run, and its ends of a completion act everywhere."""

import json
import logging

import pandas as pd
import pytest

from agrae_lab.models.load import load_generation_settings
from tests.training.generation_lab import SAMPLING_DEFAULTS, nano_with, token_id
from tests.training.test_runs_end_to_end import TIMES, metrics, rollouts

SHORT = ("train.num_steps=2", "train.validate_every=1", "train.num_minibatches=1", "train.checkpoint_every=1")


def evaluations(run):
    """The samples of the trained policy, and those of the model that the run started from."""
    paths = [run.samples_path("countdown_test"), *run.root.glob("base/*/samples.parquet")]
    assert len(paths) == 2
    return [pd.read_parquet(path) for path in paths]


def num_distinct(frame):
    """Completions of a problem that differ, on average."""
    by = "prompt_id" if "prompt_id" in frame else "problem_id"
    return frame.groupby(by)["completion"].nunique().mean()


@pytest.fixture(scope="module")
def plain(small_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return small_run(f"model.path={nano_with(folder / 'model')}", *SHORT, root=folder / "runs")


def assert_same(run, other):
    pd.testing.assert_frame_equal(rollouts(run), rollouts(other))
    pd.testing.assert_frame_equal(metrics(run).drop(columns=TIMES), metrics(other).drop(columns=TIMES))
    for one, two in zip(evaluations(run), evaluations(other), strict=True):
        pd.testing.assert_frame_equal(one, two)


def test_sampling_defaults_act_nowhere(small_run, plain, tmp_path, caplog):
    """Training, validation, both evaluations and the saving of checkpoints and model are those of plain nano.

    Each of them alone, where they hide each other: tests/models/test_generation.py.
    """
    caplog.set_level(logging.INFO, logger="agrae_lab")
    run = small_run(f"model.path={nano_with(tmp_path / 'model', **SAMPLING_DEFAULTS)}", *SHORT, root=tmp_path / "runs")
    assert run.status == "done"
    assert num_distinct(rollouts(run)) > 2.5  # of 4
    assert num_distinct(evaluations(run)[0].query("decoding == 'sample'")) > 4  # of 8
    assert_same(run, plain)
    saved = json.loads((run.path / "model" / "generation_config.json").read_text())
    assert not saved.keys() & SAMPLING_DEFAULTS.keys() - {"use_cache"}
    lines = [record.message for record in caplog.records if "ignored sampling defaults of" in record.message]
    assert len(lines) == 1
    assert "min_p = 0.9, " in lines[0]
    assert "\n" not in lines[0]
    assert all(f"{key} = " in lines[0] for key in SAMPLING_DEFAULTS if key != "use_cache")


def test_sampling_defaults_beside_an_adapter(small_run, tmp_path):
    pytest.importorskip("peft", reason="peft is not installed (extra: lora)")
    lora = "+model.lora={rank: 2, alpha: 4}"
    paths = [nano_with(tmp_path / "own", **SAMPLING_DEFAULTS), nano_with(tmp_path / "none")]
    words = [lora, *SHORT, "train.num_steps=1"]
    assert_same(*(small_run(f"model.path={p}", *words, root=tmp_path / f"runs-{i}") for i, p in enumerate(paths)))


@pytest.mark.slow
def test_a_tokenizer_without_an_end_takes_the_models(small_run, plain, tmp_path):
    """In a whole run; that it is taken: tests/models/test_generation.py."""
    path = nano_with(tmp_path / "model", tokenizer_ends=False)
    run = small_run(f"model.path={path}", *SHORT, root=tmp_path / "runs")
    assert_same(run, plain)


@pytest.mark.parametrize("with_the_tokenizers", [pytest.param(False, marks=pytest.mark.slow), True])
def test_every_end_of_a_completion_counts_everywhere(small_run, tmp_path, caplog, with_the_tokenizers):
    caplog.set_level(logging.INFO, logger="agrae_lab")
    star = token_id("*")
    path = nano_with(tmp_path / "model", eos_token_id=[star, 1] if with_the_tokenizers else star)
    run = small_run(f"model.path={path}", *SHORT, root=tmp_path / "runs")
    assert "a completion ends at '<eos>' or '*'" in caplog.text
    for frame in (rollouts(run), *evaluations(run)):
        texts = frame["completion"]
        assert not texts.str.contains(r"\*.", regex=True).any()
        at_star = texts.str.endswith("*")
        assert at_star.any()
        assert not at_star.all()
        assert not frame.loc[at_star, "truncated"].any()
        # a character a token; <eos> is no character, a star is one
        ended = frame[~frame["truncated"]]
        assert (ended["n_tokens"] == ended["completion"].str.rstrip("*").str.len() + 1).all()
    assert load_generation_settings(str(run.path / "model"))["eos_token_id"] == [1, star]
