"""Pruning by the controller: it reads recorded values, stops runs, and marks their trials as pruned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_search_train import steps
from search_lab import SearchLab, in_lab, quest

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.search.pruning import SuccessiveHalving
from sweeps.spec.objectives import Recorded

LONG = ["train.num_steps=9", "train.step_seconds=0.3"]  # rungs at steps 1, 3 and 9
GREEDY = [{"metric": "metrics.greedy_accuracy:last", "direction": "maximize"}]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchLab]:
    with in_lab(tmp_path, monkeypatch) as lab:
        yield lab


def good_then_bad(lab: SearchLab, plain: dict[str, Any], *, slots: int) -> None:
    """A trial of mood ok, then one of mood dumb."""
    first = {**plain, "search": {**plain["search"], "num_trials": 1}}
    lab.search(first, inline=True)
    with lab.stored() as stored:
        stored.enqueue_trial({"train.mood": "dumb"})
    lab.search(plain, slots=slots)


def moody(pruner: str, **changes: Any) -> dict[str, Any]:
    space = {"train.mood": {"kind": "categorical", "choices": ["ok", "dumb"]}}
    return quest(search={"num_trials": 2, "seed": 0, "pruner": pruner, "space": space}, **changes)


def test_successive_halving_stops_all_runs_of_a_trial_that_falls_behind(lab: SearchLab) -> None:
    good_then_bad(lab, moody("successive_halving", base=LONG, seeds=[0, 1], objective=GREEDY), slots=2)
    good, bad = lab.table()
    assert (good["param train.mood"], good["status"]) == ("ok", "done")
    assert (bad["param train.mood"], bad["status"], bad["front"]) == ("dumb", "pruned", "no")
    assert bad["reason"] == "not among the best third at step 1"
    stopped = [runs.read_run(lab.root / key) for key in bad["runs"].split()]
    assert [run.status for run in stopped] == ["interrupted", "interrupted"]
    assert all(run.meta["pruned"] == "trial 1 of quest: not among the best third at step 1" for run in stopped)
    assert all(len(steps(run.path)) < 9 for run in stopped)
    with lab.stored() as stored:
        assert [trial.state.name for trial in stored.trials] == ["COMPLETE", "PRUNED"]
        assert sorted(stored.trials[0].intermediate_values) == list(range(1, 9))  # its end is its value
    lab.search(moody("successive_halving", base=LONG, seeds=[0, 1], objective=GREEDY))
    assert len(lab.table()) == 2  # a pruned trial counts, and is not requeued


@pytest.mark.parametrize(("num_steps", "rung"), [(9, 1), (3, 1), (27, 3), (10, 2)])
def test_a_fully_trained_trial_is_not_compared(tmp_path: Path, num_steps: int, rung: int) -> None:
    halving = SuccessiveHalving(Recorded("greedy_accuracy", "last"), num_steps=num_steps)
    stored = optuna.create_study(direction="maximize", pruner=halving.algorithm())
    number = iter(range(99))

    def reasons(*accuracies: float) -> str | None:
        path = tmp_path / f"trial-{next(number)}" / "seed-0"
        at = list(range(1, num_steps + 1))
        rows = {"schema_version": [1] * num_steps, "step": at, "greedy_accuracy": list(accuracies)}
        path.mkdir(parents=True)
        pq.write_table(pa.table(rows), path / "metrics.parquet")
        return halving.report(stored.ask(), runs.Run(path, {"train": {"num_steps": num_steps}}), index=0)

    for _ in range(3):
        assert reasons(*[0.5] * num_steps) is None
    assert reasons(*[0.6] * (num_steps - 1), 0.0) is None  # ahead at every rung, and behind at its very end
    assert reasons(*[0.0] * num_steps) == f"not among the best third at step {rung}"


def test_wilcoxon_spares_a_trial_that_loses_on_most_problems_its_further_seeds(lab: SearchLab) -> None:
    good_then_bad(lab, moody("wilcoxon", seeds=[0, 1, 2], base=["train.step_seconds=0.2"]), slots=1)
    good, bad = lab.table()
    assert (good["param train.mood"], good["status"]) == ("ok", "done")
    assert (bad["param train.mood"], bad["status"], bad["front"]) == ("dumb", "pruned", "no")
    assert bad["reason"] == "worse than the best trial, problem by problem"
    assert [bool(bad[f"seed {seed} pass@1/problems"]) for seed in (0, 1, 2)] == [True, False, False]
    assert bad["maximize pass@1/problems"] == bad["seed 0 pass@1/problems"]
    assert [runs.read_run(lab.root / key).status for key in bad["runs"].split()] == ["done", "pending", "pending"]


def test_a_whole_trial_is_never_pruned(lab: SearchLab) -> None:
    good_then_bad(lab, moody("wilcoxon", seeds=[0, 1]), slots=2)  # both seeds of a trial at once
    with lab.stored() as stored:
        best = stored.best_trial
    assert best.params == {"train.mood": "ok"}
    assert len(best.intermediate_values) == 2 * 12  # every problem with every seed


@pytest.mark.parametrize(
    ("changes", "output"),
    [
        (moody("successive_halving"), "needs an objective that is recorded step by step"),
        (moody("wilcoxon", objective=GREEDY, seeds=[0, 1]), "its objective must be pass@<k>/<benchmark>"),
        (moody("wilcoxon"), "seeds lists one"),
        (moody("wilcoxon", seeds=[0, 1], resources={"engine": "slurm"}), "stops runs of this machine, not of slurm"),
    ],
)
def test_a_study_that_cannot_be_pruned_so_is_told_before_anything_starts(
    lab: SearchLab, changes: dict[str, Any], output: str
) -> None:
    with pytest.raises(PlanError) as refused:
        lab.search(changes)
    assert output in str(refused.value)
    assert len(refused.value.sentences) == 1
    assert lab.runs() == []
