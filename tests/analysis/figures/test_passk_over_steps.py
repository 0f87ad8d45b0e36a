"""Pass@1 and Pass@k against step: from the evaluations of evaluation.at_steps, paired between arms."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from agrae_lab.runs import Experiment
from analysis.estimates.passk_curves import collect, gain_table
from analysis.figures import discover, passk_over_steps
from analysis.io.study import load_study
from analysis.statistics.passk import pass_at_k
from tests.analysis.analysis_lab import BENCHMARK, description

STEPS = (12, 24)


@pytest.fixture
def study(new_root):
    root = new_root()
    keys = []
    for arm in ("grpo", "a_grae"):
        for seed in (0, 1):
            run = root.run(arm, seed)
            for step in STEPS:
                path = run.policy_dir(step) / "eval" / f"{BENCHMARK}-1234abcd" / "samples.parquet"
                root.samples(arm, 10 * step + seed, path)
            keys.append(run.key)
    return load_study(root.path, Experiment("x", "?", tuple(keys)))


def test_every_step_has_its_own_evaluations_and_the_last_the_runs(study):
    table = passk_over_steps.table(study)
    last = study.runs[0].config["train"]["num_steps"]
    assert sorted(table["step"].unique()) == [0, *STEPS, last]
    e = collect(study, BENCHMARK)
    by = table.set_index(["panel", "arm", "step"])["estimate"]
    for arm in ("grpo", "a_grae"):
        for k in (1, e.largest_k):
            mean = pass_at_k(e.correct[arm].reshape(-1), e.num_samples, [k]).mean()
            assert by[f"{BENCHMARK}: Pass@{k}", arm, last] == pytest.approx(mean)
            base = pass_at_k(e.correct["base"].reshape(-1), e.num_samples, [k]).mean()
            assert by[f"{BENCHMARK}: Pass@{k}", arm, 0] == pytest.approx(base)
    gain = gain_table(e, "grpo").query("arm == 'a_grae' and k == 1").iloc[0]
    ours = table[table["panel"].str.contains("Pass@1 minus") & (table["step"] == last)].iloc[0]
    assert (ours["estimate"], ours["lo"], ours["hi"]) == pytest.approx((gain["estimate"], gain["lo"], gain["hi"]))
    assert len(table[table["step"] == STEPS[0]]) == 2 * 2 + 2  # two arms at two k, and two differences
    assert by[f"{BENCHMARK}: Pass@1", "grpo", STEPS[0]] != by[f"{BENCHMARK}: Pass@1", "grpo", last]


def test_it_is_drawn_and_says_what_it_is(study):
    assert passk_over_steps in discover()
    table = passk_over_steps.table(study)
    for _, rows in table.groupby("panel"):
        ax = passk_over_steps.draw(rows, Figure().subplots())
        assert len(ax.get_lines()) >= rows["arm"].nunique()
    assert "Step 0 is the base model" in description(passk_over_steps, table)


def test_without_policies_of_training_there_is_no_figure(new_root):
    root = new_root()
    run = root.run("grpo")
    assert passk_over_steps.table(load_study(root.path, Experiment("x", "?", (run.key,)))).equals(pd.DataFrame())
