"""maj@k against enumeration, its reading of recorded answers, its intervals and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from analysis_lab import BENCHMARK, Root, description, samples_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from agrae_lab.runs import list_experiments, read_run, update_meta
from analysis.estimates.majority_curves import _restrict, collect_votes, vote_gain_table, vote_table
from analysis.estimates.passk_curves import collect, curve_table
from analysis.figures import majority as figure_module
from analysis.io.parquet import FrameError
from analysis.io.study import Study, View, load_study
from analysis.presentation.render import build, render
from analysis.presentation.style import STYLE, label
from analysis.statistics.evaluations import METHOD, OVER_BOTH, OVER_PROBLEMS
from analysis.statistics.majority_vote import NO_ANSWER, Answers, majority_at_k, num_draws_for, read_answers, tally


def answers_of(samples: Sequence[Sequence[str | None]], right: set[str]) -> Answers:
    """Answers of problems, by what each sample said; an answer is right if it is in `right`."""
    texts = sorted({said for problem in samples for said in problem if said is not None})
    text_Pn = np.array([[NO_ANSWER if said is None else texts.index(said) for said in p] for p in samples])
    correct_Pn = np.array([[said in right for said in problem] for problem in samples])
    ids = tuple(f"p{i}" for i in range(len(samples)))
    return tally(ids, text_Pn, correct_Pn, np.ones_like(correct_Pn), texts)


def by_enumeration(said: Sequence[str | None], right: set[str], k: int) -> float:
    """Mean over all subsets of the chance that a tie broken at random gives a right answer."""
    scores = []
    for subset in combinations(said, k):
        votes = [answer for answer in subset if answer is not None]
        top = [answer for answer in set(votes) if votes.count(answer) == max(map(votes.count, votes))]
        scores.append(np.mean([answer in right for answer in top]) if top else 0.0)
    return float(np.mean(scores))


# --- the estimate


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=8))
def test_votes_agree_with_enumeration(said: list[str | None]) -> None:
    ks = tuple(range(1, len(said) + 1))
    (means_PK,), (variances_PK,) = (x[None] for x in majority_at_k(answers_of([said], {"a"}), ks, seed=1))
    for mean, variance, k in zip(means_PK[0], variances_PK[0], ks, strict=True):
        exact = by_enumeration(said, {"a"}, k)
        assert abs(mean - exact) <= 5 * np.sqrt(variance) + 0.005
        if k in (1, len(said)):
            assert (mean, variance) == (pytest.approx(exact), 0.0)


def test_the_mean_of_many_draws_is_unbiased() -> None:
    """A case where the largest k is far from exact: 5 of 12 are right, spread wrong answers."""
    said = ["a"] * 5 + ["b"] * 4 + ["c"] * 2 + [None]
    means, variances = majority_at_k(answers_of([said], {"a"}), (6,), seed=0, num_draws=20_000)
    exact = by_enumeration(said, {"a"}, 6)
    assert abs(means[0, 0] - exact) < 4 * np.sqrt(variances[0, 0])
    assert np.sqrt(variances[0, 0]) < 0.004


def test_a_vote_of_two_is_no_better_than_one() -> None:
    """Two voters agree, or tie: the winner is a random one of them, unless one of them abstains."""
    samples = [["a"] * 6 + ["b"] * 10, ["a", "b", "c", "d"] * 4]
    means, _ = majority_at_k(answers_of(samples, {"a"}), (1, 2), seed=0, num_draws=4000)
    assert means[:, 1] == pytest.approx(means[:, 0], abs=0.03)
    means, _ = majority_at_k(answers_of([["a"] * 8 + [None] * 8], {"a"}), (1, 2), seed=0, num_draws=4000)
    assert means[0] == pytest.approx([0.5, 1 - 7 / 30], abs=0.03)  # wrong only if both abstain: 8·7 / (16·15)


def test_who_abstains_never_wins() -> None:
    means, _ = majority_at_k(answers_of([["a"] + [None] * 7, [None] * 8], {"a"}), (1, 8), seed=0)
    assert means.tolist() == [[1 / 8, 1.0], [0.0, 0.0]]


def test_with_right_answers_alone_it_is_pass_at_k() -> None:
    """One right sample wins the vote where all wrong ones abstain."""
    from analysis.statistics.passk import pass_at_k

    correct = np.array([0, 1, 5, 12, 16])
    samples = [["a"] * c + [None] * (16 - c) for c in correct]
    means, variances = majority_at_k(answers_of(samples, {"a"}), (1, 2, 4, 8, 16), seed=3)
    expected = pass_at_k(correct, 16, (1, 2, 4, 8, 16))
    rare = 5 / 1000  # a thousand draws may all miss what happens once in some hundred
    assert (np.abs(means - expected) <= 5 * np.sqrt(variances) + rare).all()
    assert means[:, [0, 4]] == pytest.approx(expected[:, [0, 4]])


def test_the_majority_is_right_in_the_end_where_right_leads() -> None:
    samples = [["a"] * 26 + ["b"] * 20 + ["c"] * 18, ["a"] * 20 + ["b"] * 26 + ["c"] * 18]
    means, _ = majority_at_k(answers_of(samples, {"a"}), (1, 4, 16, 64), seed=0)
    assert (np.diff(means[0]) > 0).all()
    assert (np.diff(means[1]) < 0).all()
    assert means[:, -1].tolist() == [1.0, 0.0]


def test_a_text_judged_both_ways_is_two_answers() -> None:
    text_Pn = np.zeros((1, 4), dtype=int)
    correct_Pn = np.array([[True, True, True, False]])
    found = tally(("p",), text_Pn, correct_Pn, np.ones((1, 4), dtype=bool), ["12"])
    assert found.disputed == (("p", "12"),)
    assert found.codes_Pn.tolist() == [[1, 1, 1, 0]]
    assert majority_at_k(found, (1, 4), seed=0)[0].tolist() == [[0.75, 1.0]]
    undecided = tally(("p",), text_Pn, correct_Pn, correct_Pn, ["12"])  # the fourth could not be judged
    assert undecided.disputed == ()
    assert undecided.rightness[0].tolist() == [1.0]


def test_votes_do_not_merge_what_the_verifier_tells_apart() -> None:
    r"""Recorded by an earlier version, 5 cm and 5 m are both the text 5; and a text that was not judged goes along."""
    correct_Pn = np.array([[True, False, False, True, False]])
    valid_Pn = np.array([[True, True, True, True, False]])
    text_Pn = np.array([[0, 0, 0, 1, 1]])
    found = tally(("p",), text_Pn, correct_Pn, valid_Pn, ["5", "7"])
    assert found.codes_Pn.tolist() == [[1, 0, 0, 2, 2]]
    assert found.rightness[0].tolist() == [0.0, 1.0, 1.0]
    assert found.disputed == (("p", "5"),)


def test_k_beyond_n_has_no_value_and_order_does_not_matter() -> None:
    found = answers_of([["a", "b", "a", "c"]], {"a"})
    means, variances = majority_at_k(found, (8, 4, 1), seed=0)
    assert np.isnan(means[0, 0])
    assert np.isnan(variances[0, 0])
    assert means[0, 1:].tolist() == [1.0, 0.5]
    with pytest.raises(ValueError, match="at least one sample"):
        majority_at_k(found, (0,), seed=0)


def test_a_seed_gives_the_same_votes() -> None:
    found = answers_of([["a", "b", "c", "a", "b", "d", "e", "a"]] * 3, {"a"})
    first, again, other = (majority_at_k(found, (2, 4), seed=seed)[0] for seed in (7, 7, 8))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert len(set(first[:, 0])) > 1  # equal problems: their errors are their own


def test_more_problems_need_fewer_draws() -> None:
    assert [num_draws_for(num) for num in (30, 500, 5000, 10**6)] == [1000, 60, 50, 50]


# --- reading


def with_answers(frame: pd.DataFrame, seed: int, num_wrong: int = 5, abstaining: float = 0.1) -> pd.DataFrame:
    """The right samples say "7", the others one of several other things, or nothing."""
    rng = np.random.default_rng(seed)
    wrong = np.array([f"x{i}" for i in rng.integers(0, num_wrong, len(frame))], dtype=object)
    wrong[rng.random(len(frame)) < abstaining] = None
    return frame.assign(answer=np.where(frame["correct"], "7", wrong))


def add_answers(root: Root) -> Root:
    """Give every evaluation under a root the column that newer runs have."""
    for i, path in enumerate(sorted(root.path.glob("**/samples.parquet"))):
        with_answers(pd.read_parquet(path), i).to_parquet(path)
    return root


def written(tmp_path: Path, frame: pd.DataFrame) -> Path:
    path = tmp_path / "samples.parquet"
    frame.to_parquet(path)
    return path


def test_answers_are_read_by_problem_and_sample(tmp_path: Path) -> None:
    frame = with_answers(samples_frame(np.array([0, 3, 8]), 8, ids=["b", "c", "a"]), 0)
    found = read_answers(written(tmp_path, frame))
    assert found is not None
    assert found.problem_ids == ("a", "b", "c")
    sampled = frame[frame["decoding"] == "sample"].set_index(["problem_id", "sample"])
    for i, problem in enumerate(found.problem_ids):
        rows = sampled.loc[problem].sort_index()
        said = rows["answer"].where(rows["answer"].notna(), None).tolist()
        groups = pd.Series(found.codes_Pn[i]).groupby(said, dropna=False).nunique()
        assert (groups == 1).all()
        assert (found.codes_Pn[i] == NO_ANSWER).tolist() == rows["answer"].isna().tolist()
    assert found.disputed == ()
    right_PK, _ = majority_at_k(found, (1,), seed=0)
    assert right_PK[:, 0].tolist() == [1.0, 0.0, 3 / 8]


def test_only_the_first_samples(tmp_path: Path) -> None:
    frame = with_answers(samples_frame(np.array([4, 8]), 8), 0)  # samples 0 … c−1 are the right ones
    found = read_answers(written(tmp_path, frame), first=4)
    assert found is not None
    assert found.num_samples == 4
    assert majority_at_k(found, (1, 4, 8), seed=0)[0][:, :2].tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_no_answers_on_record(tmp_path: Path) -> None:
    frame = samples_frame(np.array([1, 2]), 4)
    assert read_answers(written(tmp_path, frame)) is None
    assert read_answers(written(tmp_path, frame.assign(answer=pd.Series([None] * len(frame), dtype="string")))) is None


def test_right_samples_without_an_answer_are_counted(tmp_path: Path) -> None:
    frame = with_answers(samples_frame(np.array([4, 8]), 8), 0)
    right = frame[frame["correct"] & (frame["decoding"] == "sample")].index[:3]
    frame.loc[right, "answer"] = None
    found = read_answers(written(tmp_path, frame))
    assert found is not None
    assert found.num_right_unanswered == 3
    by_problem = [_restrict(found, {problem}).num_right_unanswered for problem in found.problem_ids]
    assert sorted(by_problem) == [1, 2]  # of the problems left out nothing is counted


def test_undecided_samples_judge_nothing(tmp_path: Path) -> None:
    frame = with_answers(samples_frame(np.array([8]), 8), 0)
    frame["valid"] = frame["sample"] != 0
    found = read_answers(written(tmp_path, frame))
    assert found is not None
    assert found.rightness[0].tolist() == [1.0]
    assert found.disputed == ()


def test_answers_that_cannot_be_trusted_are_refused(tmp_path: Path) -> None:
    frame = with_answers(samples_frame(np.array([1, 2]), 4), 0)
    with pytest.raises(FrameError, match=r"samples\.parquet: its column answer holds int64 but should hold text"):
        read_answers(written(tmp_path, frame.assign(answer=3)))
    with pytest.raises(FrameError, match="more than once"):
        read_answers(written(tmp_path, frame.assign(sample=0)))
    path = written(tmp_path, frame)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FrameError, match=r"samples\.parquet"):
        read_answers(path)


# --- curves and gains


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    root = Root(tmp_path_factory.mktemp("votes"), num_problems=40, num_samples=16, num_steps=3)
    root.experiment("x", [root.run(arm) for arm in ("grpo", "a_grae")])
    return load_study(add_answers(root).path, list_experiments(root.path)[0])


def votes_of(study: Study):
    evaluations = collect(study, BENCHMARK)
    assert evaluations is not None
    votes = collect_votes(study, evaluations)
    assert votes is not None
    return evaluations, votes


def test_maj_at_1_is_pass_at_1_with_the_same_interval(study: Study) -> None:
    """Every right sample has an answer, so k = 1 is the same mean, and the same problems are drawn."""
    evaluations, votes = votes_of(study)
    columns = ["arm", "estimate", "lo", "hi", "method", "scope", "n", "problems"]
    mine = vote_table(votes).query("k == 1")[columns].reset_index(drop=True)
    theirs = curve_table(evaluations).query("k == 1")[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, theirs, check_exact=False, check_dtype=False)
    assert set(mine["arm"]) == {"base", "grpo", "a_grae"}
    assert vote_table(votes)["k"].max() == 16


def test_the_base_model_has_one_evaluation_whatever_a_run_without_samples_names(new_root) -> None:
    root = add_answers(new_root(num_problems=10, num_samples=8))
    runs = [root.run("grpo"), root.run("a_grae", status="interrupted", steps=3)]
    add_answers(root)
    first = runs[1].base_samples_path(BENCHMARK)
    assert first is not None
    other = "base/00000000/" + BENCHMARK + "/samples.parquet"  # sorted before the one of grpo
    path = root.path / other
    path.parent.mkdir(parents=True)
    path.write_bytes(first.read_bytes())
    update_meta(runs[1].path, base_eval={BENCHMARK: other})
    study = Study("x", "?", tuple(read_run(run.path) for run in runs))
    _, votes = votes_of(study)
    assert votes.evaluations.correct["base"].shape == (1, 10)


def test_gains_are_paired(study: Study) -> None:
    _, votes = votes_of(study)
    gains = vote_gain_table(votes, "base").set_index(["arm", "k"])
    curve = vote_table(votes).set_index(["arm", "k"])
    for arm in ("grpo", "a_grae"):
        row = gains.loc[(arm, 4)]
        assert row["estimate"] == pytest.approx(curve.loc[(arm, 4), "estimate"] - curve.loc[("base", 4), "estimate"])
        assert row["lo"] < row["estimate"] < row["hi"]
        assert row["method"] == OVER_PROBLEMS
        unpaired = np.hypot(*(curve.loc[(x, 4), "hi"] - curve.loc[(x, 4), "lo"] for x in (arm, "base")))
        assert row["hi"] - row["lo"] < 0.8 * unpaired
    assert set(vote_gain_table(votes, "grpo")["arm"]) == {"a_grae"}
    assert vote_gain_table(votes, "nobody").empty


def test_seeds_are_the_unit_where_there_are_several(new_root) -> None:
    from scipy import stats as scipy_stats

    root = new_root(num_problems=20, num_samples=8, num_steps=3)
    root.experiment("x", [root.run(arm, seed) for arm in ("grpo", "a_grae") for seed in (0, 1, 2)])
    _, votes = votes_of(load_study(add_answers(root).path, list_experiments(root.path)[0]))
    table = vote_table(votes)
    assert set(table.loc[table["arm"] == "grpo", "seed"]) == {"mean", "0", "1", "2"}
    per_seed = {arm: votes.scores_of(arm).mean(axis=1)[:, 2] for arm in ("grpo", "a_grae")}  # k = 4
    expected = scipy_stats.ttest_rel(per_seed["a_grae"], per_seed["grpo"]).confidence_interval(0.95)
    row = vote_gain_table(votes, "grpo").query("k == 4").iloc[0]
    assert row["lo"] < expected.low < expected.high < row["hi"]  # over problems too
    assert (row["method"], row["scope"], row["seeds"]) == (OVER_BOTH, METHOD, 3)


def test_votes_are_on_the_problems_and_samples_of_the_evaluations(study: Study) -> None:
    """Votes use the same intersection as Pass@k."""
    evaluations, votes = votes_of(study)
    fewer = replace(evaluations, num_samples=8)
    cut = collect_votes(study, fewer)
    assert cut is not None
    assert tuple(cut.scores) == (1, 2, 4, 8)
    first = read_answers(next(run for run in study.runs if run.arm == "grpo").samples_path(BENCHMARK), first=8)
    assert first is not None
    assert cut.scores_of("grpo")[0] == pytest.approx(majority_at_k(first, (1, 2, 4, 8), seed=0)[0])
    assert cut.scores_of("grpo").shape == (1, 40, 4)
    assert votes.scores_of("grpo").shape == (1, 40, 5)


# --- the figure


def test_picture_and_csv_agree(study: Study, tmp_path: Path) -> None:
    table = figure_module.table(study)
    table.to_csv(tmp_path / "majority.csv", index=False)
    csv = pd.read_csv(tmp_path / "majority.csv").fillna({"reference": ""})
    panels = [f"{BENCHMARK}: {what}" for what in ("Pass@k", "maj@k", "maj@k minus Base model", "maj@k minus GRPO")]
    assert csv["panel"].unique().tolist() == panels
    with mpl.rc_context(STYLE):
        figure = build(figure_module, table)
    for ax, panel in zip(figure.axes, panels, strict=True):
        for arm, rows in csv[csv["panel"] == panel].groupby("arm"):
            (line,) = (line for line in ax.get_lines() if line.get_label() == label(arm))
            assert np.column_stack(line.get_data()) == pytest.approx(rows[["k", "estimate"]].to_numpy())
    for words in ("(40 problems): n = 16", "750 random subsets", "seed 0", "A sample without an answer abstains"):
        assert words in description(figure_module, table)


def test_old_runs_are_named_and_left_out(new_root, tmp_path: Path) -> None:
    root = new_root(num_problems=10, num_samples=8, num_steps=3)
    runs = [root.run(arm) for arm in ("grpo", "a_grae")]
    root.experiment("x", runs)
    study = load_study(root.path, list_experiments(root.path)[0])
    for path in root.path.glob("**/samples.parquet"):
        pd.read_parquet(path).drop(columns="answer", errors="ignore").to_parquet(path)
    assert render(figure_module, study, tmp_path).reason == "no data yet"
    path = runs[0].samples_path(BENCHMARK)
    frame = with_answers(pd.read_parquet(path), 0)
    sampled = frame[frame["decoding"] == "sample"]
    right = sampled.groupby("problem_id")["correct"].sum()
    (name, *_) = right[(right > 1) & (right < 8)].index
    here = sampled[sampled["problem_id"] == name]
    frame.loc[here.index[here["correct"]][0], "answer"] = None
    frame.loc[here.index[~here["correct"]][0], "answer"] = "7"
    frame.to_parquet(path)
    table = figure_module.table(study)
    votes = table[table["quantity"] == "maj@k"]
    assert set(votes["arm"]) == {"grpo"}
    caption = description(figure_module, table)
    assert "No answers recorded: Base model, A-GRAE." in caption
    assert f"votes as two answers: 1, such as “7” to “{name}”." in caption
    assert "GRPO: right samples without an answer, which abstain: 1." in caption


def test_the_seed_of_the_view_is_used(study: Study) -> None:
    other = replace(study, view=View(seed=5))
    first, second = (figure_module.table(s) for s in (study, other))
    middle = (first["quantity"] == "maj@k") & (first["k"] == 4)
    assert (first.loc[middle, "estimate"].to_numpy() != second.loc[middle, "estimate"].to_numpy()).any()
    assert "seed 5" in description(figure_module, second)
