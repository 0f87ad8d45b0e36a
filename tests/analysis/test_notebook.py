"""The notebook of docs/: its cells run in order on a root of runs, and its numbers are the analysis' own."""

import json
from pathlib import Path

import pandas as pd
import pytest
from analysis_lab import BENCHMARK, Root

from agrae_lab.runs import list_runs

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebooks" / "run_directory.ipynb"


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The names that the cells define."""
    folder = tmp_path_factory.mktemp("notebook")
    root = Root(folder / "runs" / "mine", num_problems=6, num_samples=8, num_steps=4)
    root.experiment("two", [root.run("grpo"), root.run("a_grae")])
    defined = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for cell in json.loads(NOTEBOOK.read_text())["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{NOTEBOOK.name} {cell['id']}", "exec"), defined)
    return defined, root


def test_it_lists_the_runs(names):
    defined, root = names
    assert [run.key for run in defined["runs"]] == [run.key for run in list_runs(root.path)]
    assert {run.arm for run in defined["runs"]} == {"grpo", "a_grae"}


def test_grpo_s_mass_is_symmetric_in_p(names):
    """In the notebook's table, GRPO's Σ|A| of a group is 2·G·√(p(1−p))."""
    mass = names[0]["mass_by_p"]["grpo"].dropna()
    assert len(mass) > 3
    expected = [16 * (p * (1 - p)) ** 0.5 for p in mass.index]
    assert mass.to_list() == pytest.approx(expected, abs=0.02)  # p is rounded to three digits


def test_the_completions_shown_are_of_one_group(names):
    defined, root = names
    assert len(defined["same"]) == root.group_size


def test_its_pass_at_1_is_the_share_of_correct_samples(names):
    defined, root = names
    table = defined["passk"]
    assert set(table["benchmark"]) == {BENCHMARK}
    assert set(table["k"]) == {1, 8}
    for run in list_runs(root.path):
        samples = pd.read_parquet(run.samples_path(BENCHMARK)).query("decoding == 'sample'")
        found = table.query("arm == @run.arm and k == 1")["pass_at_k"].item()
        assert found == pytest.approx(samples["correct"].mean())


def test_it_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert not [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")]
