"""The figure of what was dropped: shares of sampled groups, rounds, tokens, problems passed over, masked loss."""

import numpy as np
import pandas as pd
import pytest
from analysis_lab import Root, description

from agrae_lab.runs import list_experiments
from analysis.figures import dropped, find
from analysis.io.study import load_study
from analysis.presentation.render import render
from tests.analysis.figures.test_captions import sentences

STEPS, PROMPTS = 4, 16
TWICE = {"dropped_solved": 3, "dropped_unsolved": 9, "dropped_invalid": 1, "dropped_surplus": 3}  # of a second round


@pytest.fixture
def root(tmp_path):
    return Root(tmp_path / "runs", num_problems=5, num_samples=4, num_steps=STEPS)


def run(root, arm, seed=0, *, columns, loss=None, **train):
    """A run whose metrics have further columns."""
    made = root.run(arm, seed, train={**root.config(arm, seed)["train"], **train}, **({"loss": loss} if loss else {}))
    frame = pd.read_parquet(made.metrics_path)
    frame.assign(**columns).to_parquet(made.metrics_path)
    return made


def resampled(root, arm, seed=0):
    """Every other step needs a second round, which drops as many groups as it draws."""
    again = np.arange(STEPS) % 2
    counts = {name: count * again for name, count in TWICE.items()}
    tokens = 100 + 300 * again
    columns = {
        **counts,
        "num_prompts": PROMPTS * (1 + again),
        "sampling_rounds": 1 + again,
        "trained_unmixed": 0,
        "dropped_tokens": 300 * again,
        "num_tokens": np.cumsum(tokens),
    }
    return run(root, arm, seed, columns=columns, sampling_rounds=2)


def study_of(root, runs):
    root.experiment("x", runs)
    return load_study(root.path, list_experiments(root.path)[0])


def values(table, panel, arm):
    return table[(table["panel"] == panel) & (table["arm"] == arm)].sort_values("step")["value"].tolist()


def test_shares_are_of_what_a_step_sampled(root, tmp_path):
    study = study_of(root, [root.run("grpo"), resampled(root, "a_grae")])
    table = find("dropped").table(study)
    assert set(table["arm"]) == {"a_grae"}  # GRPO drops nothing
    assert values(table, "Dropped, all correct", "a_grae") == [0, 3 / 32, 0, 3 / 32]
    assert values(table, "Dropped, all incorrect", "a_grae") == [0, 9 / 32, 0, 9 / 32]
    assert values(table, "Groups trained on", "a_grae") == [1, 0.5, 1, 0.5]
    assert values(table, "Rounds of sampling", "a_grae") == [1, 2, 1, 2]
    assert values(table, "Tokens dropped", "a_grae") == [0, 0.75, 0, 0.75]
    assert "Problems passed over" not in set(table["panel"])
    assert "Mean share of tokens dropped, %: A-GRAE 37.5." in description(dropped, table)
    assert len(sentences(dropped.caption(table))) == 2
    assert render(dropped, study, tmp_path / "out", formats=["png"]).reason == ""
    assert (tmp_path / "out" / "dropped.png").stat().st_size > 0


def test_several_seeds_have_a_mean_with_an_interval(root):
    table = dropped.table(study_of(root, [resampled(root, "a_grae", seed) for seed in (0, 1)]))
    assert table.loc[table["panel"] != "Rounds of sampling", "hi"].max() <= 1
    mean = table[(table["seed"] == "mean") & (table["panel"] == "Groups trained on")]
    assert mean["value"].tolist() == [1, 0.5, 1, 0.5]
    assert (mean["seeds"] == 2).all()


def test_filters_and_masks_have_panels_of_their_own(root):
    skipping = run(root, "grpo", columns={"passed_over": [0, 2, 5, 1]}, skip_window=3)
    masked = run(root, "a_grae", columns={"truncated_share": [0.5, 0.25, 0, 0]}, loss={"mask_truncated": True})
    table = dropped.table(study_of(root, [skipping, masked]))
    assert set(table["panel"]) == {"Problems passed over", "Completions masked"}
    assert values(table, "Problems passed over", "grpo") == [0, 2, 5, 1]
    assert values(table, "Completions masked", "a_grae") == [0.5, 0.25, 0, 0]
    text = description(dropped, table)
    assert "they count in advantages, p and ω." in text
    assert "Tokens dropped" not in text


@pytest.mark.parametrize("is_on", [False, True])
def test_a_study_that_dropped_nothing_says_so(root, tmp_path, is_on):
    """With dynamic sampling too, where one round was always enough."""
    columns = dict.fromkeys([*TWICE, "dropped_tokens"], 0) | {
        "sampling_rounds": 1,
        "num_tokens": np.arange(1, STEPS + 1),
    }
    made = run(root, "grpo", columns=columns, sampling_rounds=2) if is_on else root.run("grpo")
    rendered = render(dropped, study_of(root, [made]), tmp_path / "out")
    assert rendered.reason == "nothing was dropped: no group, problem or completion"
    assert not rendered.refused


def test_a_single_setting_is_the_reason_for_no_grid(root, tmp_path):
    rendered = render(find("settings"), study_of(root, [root.run("grpo"), root.run("a_grae")]), tmp_path / "out")
    assert rendered.reason == "the study has one setting"
