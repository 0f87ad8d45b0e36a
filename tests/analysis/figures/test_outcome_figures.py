"""Cover, solved sets and seeds needed: drawn from run directories, and what is drawn is what the table says."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from analysis_lab import BENCHMARK, description
from matplotlib.figure import Figure

from agrae_lab.runs import list_experiments
from analysis.estimates.passk_curves import collect
from analysis.figures import cover, seeds_needed, solved_sets
from analysis.figures.collapse import collapse_counts
from analysis.io.study import Study, load_study, merge_studies
from analysis.presentation.render import build, render
from analysis.presentation.style import STYLE, label
from analysis.statistics.count_metrics import solved_sets as sets_of
from analysis.statistics.evaluations import CHECKPOINTS, METHOD, NO_VARIATION
from analysis.statistics.multiplicity import holm
from analysis.statistics.seeds import power_by_seeds


@pytest.fixture(scope="module")
def one_seed(demo_root) -> Study:
    studies = [load_study(demo_root.path, experiment) for experiment in list_experiments(demo_root.path)]
    return merge_studies(studies, name="all", question="?")


@pytest.fixture
def seeds(new_root) -> Study:
    """GRPO and A-GRAE with three seeds, Hard-Focused with one that is not finished."""
    root = new_root(num_problems=30, num_samples=16, num_steps=4)
    runs = [root.run(arm, seed) for arm in ("grpo", "a_grae") for seed in range(3)]
    unfinished = root.run("hard_focused", status="interrupted")
    root.samples("hard_focused", 0, unfinished.samples_path(BENCHMARK))
    root.experiment("x", [*runs, unfinished])
    return load_study(root.path, list_experiments(root.path)[0])


def drawn(module: ModuleType, table: pd.DataFrame) -> Figure:
    with mpl.rc_context(STYLE):
        return build(module, table)


def lines_of(figure: Figure) -> dict[str, list[np.ndarray]]:
    found: dict[str, list[np.ndarray]] = {}
    for ax in figure.axes:
        for line in ax.get_lines():
            found.setdefault(str(line.get_label()), []).append(np.column_stack(line.get_data()).astype(float))
    return found


@pytest.mark.parametrize(("module", "x"), [(cover, "tau"), (seeds_needed, "num_seeds")], ids=["cover", "seeds_needed"])
def test_curves_and_csv_agree(module: ModuleType, x: str, seeds: Study, tmp_path: Path) -> None:
    rendered = render(module, seeds, tmp_path)
    assert rendered.reason == ""
    csv = pd.read_csv(tmp_path / f"{module.NAME}.csv", keep_default_na=False, na_values=[""])
    lines = lines_of(drawn(module, module.table(seeds)))
    for (arm, _), rows in csv.groupby(["arm", "panel"]):
        name = label(arm) + (" (unfinished)" if rows["unfinished"].any() else "")
        expected = rows[[x, "estimate"]].to_numpy(dtype=float)
        assert any(points.shape == expected.shape and np.allclose(points, expected) for points in lines[name])


def test_cover_begins_at_the_solved_share_and_falls(one_seed: Study) -> None:
    table = cover.table(one_seed)
    evaluations = collect(one_seed, BENCHMARK)
    assert evaluations is not None
    for arm, rows in table[table["reference"] == ""].groupby("arm"):
        assert rows["estimate"].iloc[0] == pytest.approx((evaluations.correct[arm] > 0).mean())
        assert rows["tau"].iloc[0] == 1 / 64
        assert (rows["estimate"].diff().dropna() <= 0).all()
        assert rows[["lo", "hi"]].stack().between(0, 1).all()
    half = table.query("arm == 'grpo' and tau == 0.5 and reference == ''").iloc[0]
    assert half["estimate"] == pytest.approx((evaluations.correct["grpo"][0] >= 32).mean())


def test_cover_says_what_n_does_to_it(one_seed: Study) -> None:
    table = cover.table(one_seed)
    caption = description(cover, table)
    for words in ("n = 64 samples", "only at equal n", "simultaneous, min-p", "arms and"):
        assert words in caption
    difference = table.query("reference == 'base' and arm == 'grpo' and tau == 0.5").iloc[0]
    levels = table.query("reference == '' and tau == 0.5").set_index("arm")["estimate"]
    assert difference["estimate"] == pytest.approx(levels["grpo"] - levels["base"])


def test_cover_with_few_samples_has_a_step_for_each(new_root) -> None:
    root = new_root(num_problems=8, num_samples=4)
    root.experiment("x", [root.run("grpo")])
    table = cover.table(load_study(root.path, list_experiments(root.path)[0]))
    assert sorted(table["tau"].unique()) == [0.25, 0.5, 0.75, 1.0]


def test_solved_sets_of_one_checkpoint_are_counts_with_mcnemars_p(one_seed: Study) -> None:
    table = solved_sets.table(one_seed)
    evaluations = collect(one_seed, BENCHMARK)
    assert evaluations is not None
    p_values = []
    for arm, rows in table.groupby("arm", sort=False):
        expected = sets_of(evaluations.correct[arm][0], evaluations.correct["base"][0])
        by_kind = rows.set_index("kind")
        assert by_kind.loc[["gained", "lost"], "count"].tolist() == [expected.gained, expected.lost]
        assert by_kind.loc["net", "estimate"] == pytest.approx((expected.gained - expected.lost) / 40)
        enough = expected.gained + expected.lost >= 6
        p_value = expected.p_value if enough else np.nan
        assert by_kind.loc["net", "p_value"] == pytest.approx(p_value, nan_ok=True)
        assert by_kind.loc["lost", "x"] == -by_kind.loc["lost", "estimate"]
        assert by_kind.loc["lost", "x_lo"] <= by_kind.loc["lost", "x"] <= by_kind.loc["lost", "x_hi"] <= 0
        p_values.append(p_value)
    adjusted = table.loc[table["kind"] == "net", "p_holm"].to_numpy()
    assert adjusted == pytest.approx(holm(p_values), nan_ok=True)
    assert set(table["scope"]) == {CHECKPOINTS}
    assert "exact McNemar" in description(solved_sets, table)


def test_solved_sets_over_seeds_are_means_with_every_seed_beside(seeds: Study) -> None:
    table = solved_sets.table(seeds)
    grpo = table[(table["arm"] == "grpo") & (table["kind"] == "gained")].set_index("seed")
    assert grpo.loc["mean", "estimate"] == pytest.approx(grpo.loc[["0", "1", "2"], "estimate"].mean())
    assert grpo.loc["mean", "scope"] == METHOD
    assert grpo.loc[["0", "1", "2"], "method"].tolist() == ["", "", ""]
    caption = description(solved_sets, table)
    assert "Hatched: no finished run (Hard-Focused)" in caption
    assert "Fewer than 5 seeds" in caption
    alike = (table["arm"] == "grpo") & (table["kind"] == "gained")
    without = table.assign(lo=table["lo"].mask(alike), method=table["method"].mask(alike, "none (all seeds alike)"))
    assert "Wilson over problems" in description(solved_sets, without)
    assert "t over seeds and over problems" in description(solved_sets, table)


def test_solved_sets_tell_no_change_from_a_change_of_every_problem(one_seed: Study) -> None:
    table = solved_sets.table(one_seed)
    net = table["kind"] == "net"
    first, second = table.loc[net, "arm"].iloc[:2]
    for arm, change in ((first, 1.0), (second, 0.0)):
        own = net & (table["arm"] == arm)
        empty = dict.fromkeys(("lo", "hi", "x_lo", "x_hi", "p_value", "p_holm"), np.nan)
        texts = dict.fromkeys(("method", "test"), NO_VARIATION)
        for name, value in {**empty, **texts, "estimate": change, "x": change}.items():
            table.loc[own, name] = value
    texts = {text.get_text() for text in drawn(solved_sets, table).axes[0].texts}
    assert {"no change", "all problems alike"} <= texts
    words = description(solved_sets, table)
    assert "none (" not in words.partition("test of no net change")[2].partition(".")[0]


def test_solved_sets_picture_shows_the_tables_bars_and_diamonds(seeds: Study) -> None:
    table = solved_sets.table(seeds)
    ax = drawn(solved_sets, table).axes[0]
    bars = table[(table["kind"] != "net") & (table["method"] != "")]
    assert sorted(bar.get_width() for bar in ax.patches) == pytest.approx(sorted(bars["x"]))
    diamonds = [line.get_xdata()[0] for line in ax.get_lines() if line.get_marker() == "D"]
    assert sorted(diamonds) == pytest.approx(sorted(table.loc[table["kind"] == "net", "x"]))


def test_without_the_base_there_are_no_solved_sets(seeds: Study) -> None:
    for path in (seeds.runs[0].path.parents[1] / "base").rglob("samples.parquet"):
        path.unlink()
    assert solved_sets.table(seeds).empty


def test_seeds_needed_are_where_the_power_line_crosses(seeds: Study) -> None:
    table = seeds_needed.table(seeds)
    assert set(table["arm"]) == {"a_grae"}  # an arm with one seed, or without a finished one, has no spread
    assert table.groupby("panel")["k"].first().tolist() == [1, 16]
    for _, rows in table.groupby("panel"):
        needed = rows["needed"].iloc[0]
        enough = rows[rows["estimate"] >= 0.8]["num_seeds"]
        below = rows[rows["estimate"] < 0.8]["num_seeds"]
        if np.isfinite(needed) and needed <= 64:
            assert below.max() < needed <= enough.min()
        assert (rows["lo"] <= rows["estimate"] + 0.02).all()
        assert (rows["estimate"] <= rows["hi"] + 0.02).all()
        assert rows["needed_lo"].iloc[0] <= needed <= rows["needed_hi"].iloc[0]
    caption = description(seeds_needed, table)
    assert "A-GRAE at k = 1 on countdown_test" in caption
    assert "likely to be smaller than recorded" in caption


def test_power_is_of_the_recorded_effect_and_spread(seeds: Study) -> None:
    evaluations = collect(seeds, BENCHMARK)
    assert evaluations is not None
    per_seed = {arm: (evaluations.correct[arm] / 16).mean(axis=1) for arm in ("a_grae", "grpo")}
    effect = per_seed["a_grae"].mean() - per_seed["grpo"].mean()
    paired = per_seed["a_grae"] - per_seed["grpo"]  # both have the seeds 0, 1, 2
    deviations = [paired.std(ddof=1)]
    rows = seeds_needed.table(seeds).query("k == 1")
    assert rows["effect"].iloc[0] == pytest.approx(effect)
    expected = power_by_seeds(effect, deviations, rows["num_seeds"].tolist(), seed=0)
    assert rows["estimate"].to_numpy() == pytest.approx(expected)


def test_one_seed_has_no_power_to_show(one_seed: Study, tmp_path: Path) -> None:
    assert seeds_needed.table(one_seed).empty
    assert "one seed shows no spread" in render(seeds_needed, one_seed, tmp_path).reason


def test_runs_too_short_for_a_collapse_are_not_counted_as_stable() -> None:
    rows = {"arm": "grpo", "status": "done", "collapsed": False, "observable": [True, False, False]}
    assert collapse_counts(pd.DataFrame(rows))["runs"].tolist() == [1]
