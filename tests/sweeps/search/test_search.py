"""Searches over real runs in real processes: trials, their values, and the settings that must not change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_search_train
import optuna
import pytest
import yaml
from fake_search_train import steps
from search_lab import Quiet, SearchLab, in_lab, quest

from agrae_lab import runs
from sweeps.__main__ import main
from sweeps.errors import PlanError
from sweeps.search.space import rounded_value
from sweeps.spec.objectives import metric_value
from sweeps.spec.read import parse_study
from sweeps.spec.study import Dimension

PLAIN_X = {"kind": "float", "low": 0.0, "high": 1.0}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SearchLab]:
    with in_lab(tmp_path, monkeypatch) as lab:
        yield lab


def moods(*choices: str, **search: Any) -> dict[str, Any]:
    return {"space": {"train.mood": {"kind": "categorical", "choices": list(choices)}}, **search}


def test_a_trial_is_a_cell_and_its_value_the_mean_over_its_seeds(lab: SearchLab) -> None:
    outcomes, interrupted = lab.search(quest(seeds=[3, 5], search={"num_trials": 2}), slots=2)
    assert not interrupted
    assert sorted(outcome.run.seed for outcome in outcomes) == [3, 3, 5, 5]
    for row in lab.table():
        found = [runs.read_run(lab.root / key) for key in row["runs"].split()]
        assert [run.seed for run in found] == [3, 5]
        assert {run.config["train"]["x"] for run in found} == {float(row["param train.x"])}
        values = [metric_value(run, "pass@1/problems") for run in found]
        assert values[0] != values[1]
        assert [float(row[f"seed {seed} pass@1/problems"]) for seed in (3, 5)] == values
        assert float(row["maximize pass@1/problems"]) == pytest.approx(sum(values) / 2)
    assert [row["status"] for row in lab.table()] == ["done", "done"]
    assert [row["front"] for row in lab.table()].count("yes") == 1
    assert {cell.settings["train.x"] for cell in lab.directory().frozen_cells().values()} == {
        float(row["param train.x"]) for row in lab.table()
    }


def test_num_trials_is_the_total_and_an_interrupted_search_proposes_what_an_unbroken_one_would(lab: SearchLab) -> None:
    """A random search: test_search_faults.py."""
    for sampler, total in (("tpe", 12), ("nsga2", 6)):  # beyond the random start of each
        plain = quest(name=sampler, search={"sampler": sampler, "num_trials": total})
        lab.search(plain, inline=True)
        broken = SearchLab(lab.conf, lab.root.with_name(f"broken_{sampler}"))
        for num_trials in (2, total - 2, total):
            some = quest(name=sampler, search={"sampler": sampler, "num_trials": num_trials})
            broken.search(some, inline=True)
        assert len(broken.table(sampler)) == total
        points = [row["param train.x"] for row in lab.table(sampler)]
        assert len(set(points)) == total
        assert points == [row["param train.x"] for row in broken.table(sampler)]


def test_a_trial_is_asked_only_when_a_slot_is_free_for_it(lab: SearchLab) -> None:
    quiet = Quiet()
    lab.search(quest(search={"num_trials": 4}, seeds=[0, 1]), slots=3, display=quiet)
    with lab.stored() as stored:
        trials = stored.trials
    # three slots hold three runs, of two trials; the third trial waits for a run to end, and the last for a trial
    ended = sorted(trial.datetime_complete for trial in trials)
    assert trials[3].datetime_start >= ended[0]
    assert quiet.waiting[0] == 8 - 3
    assert quiet.waiting[-1] == 0


def test_a_trial_whose_cell_is_done_costs_nothing(lab: SearchLab) -> None:
    plain = quest(search=moods("ok", "dumb", num_trials=8, sampler="random"), seeds=[0, 1])
    outcomes, _ = lab.search(plain, slots=3)  # trials of equal parameters may be open at a time
    table = lab.table()
    assert len(table) == 8
    assert {row["status"] for row in table} == {"done"}
    assert sorted(run.config["train"]["mood"] for run in lab.runs()) == ["dumb", "dumb", "ok", "ok"]
    assert len(outcomes) == 4
    assert [steps(run.path) for run in lab.runs()] == [[1, 2]] * 4


def test_a_failed_a_diverged_and_an_infinite_run_fail_their_trials_and_nothing_else(lab: SearchLab) -> None:
    space = moods("ok", "raise", "diverge", "infinite", num_trials=12, sampler="random")
    plain = quest(search=space, objective=[{"metric": "metrics.loss:last", "direction": "minimize"}])
    lab.search(plain, slots=2)
    found = {row["param train.mood"]: row for row in lab.table()}
    assert {mood: row["status"] for mood, row in found.items()} == {
        "ok": "done",
        "raise": "failed",
        "diverge": "failed",
        "infinite": "failed",
    }
    assert found["raise"]["reason"].endswith("failed: RuntimeError: the reward is on fire")
    assert "diverged" in found["diverge"]["reason"]
    assert found["infinite"]["reason"] == "metrics.loss:last is inf, which is not a finite number"
    assert found["ok"]["front"] == "yes"
    num_failed = sum(row["param train.mood"] == "raise" for row in lab.table())
    lab.search(plain, inline=True)
    assert len(lab.table()) == 12  # failures count
    lab.search(plain, failed_too=True, inline=True)
    again = lab.table()[12:]
    assert [row["param train.mood"] for row in again] == ["raise"] * num_failed
    assert {row["attempt"] for row in again} == {"2"}


def test_a_parameter_is_asked_where_the_chosen_group_has_it(lab: SearchLab) -> None:
    space = {
        "kind": {"kind": "categorical", "choices": ["plain", "other"]},
        "kind.alpha": {"kind": "float", "low": 0.1, "high": 1.0},
        "kind.beta": {"kind": "float", "low": 0.1, "high": 10.0, "log": True},
        "train.num_steps": {"kind": "int", "low": 1, "high": 2},
    }
    lab.search(quest(search={"space": space, "num_trials": 8, "sampler": "random"}), inline=True)
    configs = [run.config for run in lab.runs()]
    assert {config["kind"]["name"] for config in configs} == {"plain", "other"}
    for row in lab.table():
        config = runs.read_run(lab.root / row["runs"]).config
        assert config["kind"]["name"] == row["param kind"]
        assert bool(row["param kind.alpha"]) == ("alpha" in config["kind"]) == (row["param kind"] == "plain")
        assert bool(row["param kind.beta"]) == ("beta" in config["kind"])
        assert config["train"]["num_steps"] == int(row["param train.num_steps"])


def test_a_yaml_edited_meanwhile_changes_no_trial(lab: SearchLab) -> None:
    class Editing(Quiet):
        def ended(self, outcome: Any) -> None:
            path = lab.conf / "config.yaml"
            path.write_text(path.read_text().replace("num_steps: 2", "num_steps: 7"))

    lab.search(quest(search={"num_trials": 3}), display=Editing(), inline=True)
    assert "num_steps: 7" in (lab.conf / "config.yaml").read_text()
    assert [run.config["train"]["num_steps"] for run in lab.runs()] == [2, 2, 2]


def test_constraints_keep_a_trial_off_the_front(lab: SearchLab) -> None:
    plain = quest(
        search={"num_trials": 5, "sampler": "random"},
        objective=[
            {"metric": "pass@1/problems", "direction": "maximize"},
            {"metric": "pass@8/problems", "direction": "maximize"},
        ],
        constraints=[{"metric": "metrics.greedy_accuracy:last", "at_most": 0.7}],
    )
    lab.search(plain, inline=True)
    table = lab.table()
    bounds = [float(row["constraint metrics.greedy_accuracy:last"]) for row in table]
    assert [row["feasible"] for row in table] == ["yes" if bound <= 0.7 else "no" for bound in bounds]
    assert {row["feasible"] for row in table} == {"yes", "no"}
    feasible = [row for row in table if row["feasible"] == "yes"]
    best = max(feasible, key=lambda row: float(row["maximize pass@1/problems"]))
    assert best["front"] == "yes"
    assert not [row for row in table if row["feasible"] == "no" and row["front"] == "yes"]


BEGUN_OTHERWISE: list[tuple[dict[str, Any], str]] = [
    ({"seeds": [0, 1]}, "seeds was [0] and is [0, 1]"),
    ({"base": ["train.num_steps=3"]}, "train.num_steps was 2 and is 3"),
    (
        {"objective": [{"metric": "pass@1/problems", "direction": "minimize"}]},
        "objective was ['maximize pass@1/problems'] and is ['minimize pass@1/problems']",
    ),
    (
        {"search": {"space": {"train.x": {"kind": "float", "low": 0.0, "high": 0.9}}}},
        "space.train.x was float 0.0 to 1.0 and is float 0.0 to 0.9",
    ),
    (
        {"search": {"space": {"train.x": PLAIN_X, "kind": {"kind": "categorical", "choices": ["plain", "other"]}}}},
        "space.kind is new (['plain', 'other'])",
    ),
    (
        {"constraints": [{"metric": "metrics.loss:last", "at_most": 1.0}]},
        "constraint metrics.loss:last is new (at most 1.0)",
    ),
]


def test_a_changed_bound_of_two_is_named(lab: SearchLab) -> None:
    metric = "metrics.loss:last"
    both = [{"metric": metric, "at_most": 0.9}, {"metric": metric, "at_least": 0.1}]
    lab.search(quest(search={"num_trials": 1}, constraints=both), inline=True)
    for change in ({"at_most": 0.2}, {"at_least": 0.3}):
        bounds = [{"metric": metric, **change} if change.keys() <= bound.keys() else bound for bound in both]
        with pytest.raises(PlanError, match=r"was at least 0\.1, at most 0\.9 and is"):
            lab.search(quest(constraints=bounds))


def test_a_value_with_a_step_stays_on_its_grid() -> None:
    far = Dimension(kind="float", low=10_000.0, high=20_000.0, step=1.0)
    near = Dimension(kind="float", low=0.99, high=1.0, step=1e-5)
    assert (rounded_value(far, 12_345.0), rounded_value(near, 0.99995)) == (12_345.0, 0.99995)
    assert rounded_value(Dimension(kind="float", low=0.0, high=1.0, step=0.1), 0.1 * 3) == 0.3
    assert rounded_value(Dimension(kind="float", low=0.0, high=1.0), 0.123456) == 0.1235


def test_problems_that_change_during_a_search_are_named(lab: SearchLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def freeze_with(**fingerprints: str) -> None:
        more = {"data_fingerprints": fingerprints} if fingerprints else {}
        monkeypatch.setattr("fake_search_train.freeze", lambda config: {**original(config), **more})

    original = fake_search_train.freeze
    freeze_with()  # as a search of before, whose storage knows no fingerprints
    lab.search(quest(search={"num_trials": 1}, name="old"), inline=True)
    freeze_with(train="0", problems="first")
    lab.search(quest(search={"num_trials": 1}), inline=True)
    freeze_with(train="0", problems="second")
    with pytest.raises(PlanError, match=r"data_fingerprints\.problems was first and is second"):
        lab.search(quest())


def test_a_search_that_was_begun_otherwise_is_refused_with_what_changed(lab: SearchLab) -> None:
    lab.search(quest(search={"num_trials": 1}), inline=True)
    before = (lab.directory().path / "trials.csv").read_bytes()
    for changes, output in BEGUN_OTHERWISE:
        changed = {**quest(), **changes, "search": {**quest()["search"], **changes.get("search", {})}}
        with pytest.raises(PlanError) as refused:
            lab.search(changed)
        assert output in str(refused.value)
        assert len(refused.value.sentences) == 1, changes
        assert len(lab.table()) == 1, changes
        assert (lab.directory().path / "trials.csv").read_bytes() == before, changes
        assert len(lab.runs()) == 1, changes


@pytest.mark.parametrize(
    ("search", "output"),
    [
        ({"space": {"train.y": PLAIN_X}}, "the configuration has no value 'train.y'; did you mean 'train.x'?"),
        ({"space": {"train": PLAIN_X}}, "the configuration has no value 'train'"),
        ({"space": {"kind": PLAIN_X}}, "search.space.kind is a config group; give it choices, from other, plain"),
        (
            {"space": {"kind": {"kind": "categorical", "choices": ["plain", "othr"]}}},
            "there is no 'othr'; did you mean 'other'?",
        ),
        (
            {"space": {"train.x": {"kind": "float", "low": 0.0, "high": 1.5}}},
            "search.space: train.x=1.5: train.x must lie in [0, 1], got 1.5",
        ),
        (
            {"space": {"train.x": {"kind": "categorical", "choices": [0.1, [0.2]]}}},
            "[0.2] is not a single value",
        ),
    ],
)
def test_a_bad_space_is_told_in_one_sentence_before_anything_starts(
    lab: SearchLab, search: dict[str, Any], output: str
) -> None:
    with pytest.raises(PlanError) as refused:
        lab.search(quest(search=search))
    assert output in str(refused.value)
    assert len(refused.value.sentences) == 1
    assert lab.runs() == []


def test_an_objective_that_no_run_will_have_is_told_before_anything_starts(lab: SearchLab) -> None:
    with pytest.raises(PlanError, match="did you mean 'problems'"):
        lab.search(quest(objective=[{"metric": "pass@1/problem", "direction": "maximize"}]))
    assert lab.runs() == []


@pytest.mark.parametrize(
    ("url", "output"),
    [
        ("sqlite:////nowhere/at/all/optuna.db", "sqlite:////nowhere/at/all/optuna.db cannot be used"),
        ("postgresql://me:secret@127.0.0.1:1/x", "the storage postgresql://me:***@127.0.0.1:1/x cannot be used"),
        ("nonsense", "cannot be used: Could not parse SQLAlchemy URL"),
    ],
)
def test_a_storage_that_cannot_be_reached_is_told_before_anything_starts(lab: SearchLab, url: str, output: str) -> None:
    with pytest.raises(PlanError) as refused:
        lab.search(quest(), storage=url)
    assert output in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert lab.runs() == []


def test_a_storage_may_be_shared_but_not_a_study_in_it(lab: SearchLab) -> None:
    url = f"sqlite:///{lab.conf.parent / 'shared.db'}"
    lab.search(quest(search={"num_trials": 1}), storage=url, inline=True)
    lab.search(quest(name="other", search={"num_trials": 1}), storage=url, inline=True)
    elsewhere = SearchLab(lab.conf, lab.root.with_name("elsewhere"))
    with pytest.raises(PlanError, match="the study's directory was"):
        elsewhere.search(quest(), storage=url, inline=True)
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(storage=storage, study_name="foreign").enqueue_trial({"a": 1})
    storage.engine.dispose()
    with pytest.raises(PlanError, match="Optuna study 'foreign' that this project did not create"):
        lab.search(quest(name="foreign"), storage=url, inline=True)


def test_a_space_freezes_without_the_search_ever_composing_again(lab: SearchLab) -> None:
    study = parse_study(quest())
    space = lab.space(study)
    (lab.conf / "config.yaml").unlink()
    config = space.config({"train.x": 0.25}, seed=4)
    assert (config["train"]["x"], config["seed"], config["root"]) == (0.25, 4, str(lab.root))
    assert config["experiment"] == {"name": "quest", "question": None}
    assert fake_search_train.score(config) > 0


def test_the_command_line_begins_continues_and_sums_up_a_search(
    lab: SearchLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.make_storage()
    study = tmp_path / "quest.yaml"
    words = [str(study), f"root={lab.root}"]

    def do(command: str, num_trials: int) -> tuple[int, str]:
        study.write_text(yaml.safe_dump(quest(search={"num_trials": num_trials})))
        code = main([command, *words], config_dir=lab.conf, train_module="fake_search_train", preload=())
        return code, capsys.readouterr().out

    assert do("plan", 2)[0] == 0
    assert lab.runs() == []
    code, output = do("run", 2)
    assert code == 0
    assert str(lab.directory().path / "trials.csv") in output
    code, output = do("plan", 3)
    assert "3 trials by tpe" in output
    assert "2 done" in output
    assert do("run", 3)[0] == 0
    assert [row["status"] for row in lab.table()] == ["done"] * 3
    assert [steps(run.path) for run in lab.runs()] == [[1, 2]] * 3
