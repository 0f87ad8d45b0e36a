"""Studies: the runs of an experiment, and the sentences on unusable ones."""

from __future__ import annotations

import pytest
import yaml
from analysis_lab import BENCHMARK

from agrae_lab.runs import Comparison, Experiment, list_experiments, update_meta
from analysis.io.configurations import group_by_configuration, is_configuration
from analysis.io.study import Study, at_step, load_study, merge_studies, split_by_model


def test_missing_and_unreadable_runs_are_named(new_root) -> None:
    root = new_root()
    run, broken = root.run("grpo"), root.run("a_grae")
    (broken.path / "meta.json").write_text('{"schema_version": 7}')
    experiment = Experiment("x", "?", (run.key, broken.key, "hard_focused-00000000/seed-0"))
    study = load_study(root.path, experiment)
    assert [found.key for found in study.runs] == [run.key]
    assert "schema version 7" in study.refused[0]
    assert "hard_focused-00000000/seed-0 has not started" in study.not_started[0]


@pytest.mark.parametrize("lost", ["seed", "advantage"])
def test_a_run_whose_config_lacks_what_all_go_by_is_named(lost: str, new_root) -> None:
    root = new_root()
    run, broken = root.run("grpo"), root.run("a_grae")
    config = {key: value for key, value in broken.config.items() if key != lost}
    (broken.path / "config.yaml").write_text(yaml.safe_dump(config))
    study = load_study(root.path, Experiment("x", "?", (run.key, broken.key)))
    assert list(study.arms) == ["grpo"]
    assert f"{broken.path / 'config.yaml'}: the keys {lost}" in study.refused[0]


def test_two_configurations_of_an_arm_are_two_arms(new_root) -> None:
    root = new_root()
    a, b = root.run("grpo"), root.run("grpo", engine="other")
    study = load_study(root.path, Experiment("x", "?", (a.key, b.key)))
    assert sorted(study.arms) == [f"grpo (engine {name})" for name in ("None", "other")]
    assert "several configurations of grpo: each" in study.settings_differ[0]


def test_configurations_are_named_by_what_differs_and_by_their_hash_where_that_is_not_shown(new_root) -> None:
    root = new_root()

    def named(*changes):
        runs = [root.run("grpo", train=root.config("grpo", 0)["train"] | change) for change in changes]
        return runs, list(group_by_configuration(runs))

    runs, names = named({"num_prompts": 8, "temperature": 0.7}, {"num_prompts": 8, "temperature": 1.0})
    assert names == ["grpo (temperature 0.7)", "grpo (temperature 1.0)"]
    assert names[0] in load_study(root.path, Experiment("x", "?", tuple(run.key for run in runs))).arms
    four = ("num_prompts", "num_generations", "num_steps", "temperature")
    runs, names = named(dict.fromkeys(four, 4), dict.fromkeys(four, 2), dict.fromkeys(four[:3], 2))
    digests = [run.path.parent.name[-8:] for run in runs]
    assert len(set(names)) == 3
    assert [digest in name for digest, name in zip(digests, names, strict=True)] == [False, True, True]
    assert is_configuration(names[0], "grpo")
    same, codes = root.config("grpo", 0), [{"training": {"a.py": digest}} for digest in "12"]
    runs = [root.run("grpo", **same, code=code) for code in codes]
    assert list(group_by_configuration(runs)) == [f"grpo ({run.path.parent.name[-8:]})" for run in runs]
    assert not is_configuration("grpo_lead", "grpo")


def test_a_setting_of_many_runs_is_counted(new_root) -> None:
    root = new_root()
    trains = [root.config("grpo", 0)["train"] | {"num_prompts": num} for num in (8, 9)]
    runs = [root.run("grpo", seed, train=train) for train in trains for seed in range(4)]
    study = load_study(root.path, Experiment("x", "?", tuple(run.key for run in runs)))
    assert study.settings_differ[1:] == ["train.num_prompts is not the same in all runs: 8 in 4 runs; 9 in 4 runs"]


def test_settings_that_differ_are_named(new_root) -> None:
    root = new_root()
    a = root.run("grpo")
    train = root.config("a_grae", 0)["train"] | {"num_prompts": 99}
    b = root.run("a_grae", train=train)
    study = load_study(root.path, Experiment("x", "?", (a.key, b.key)))
    assert study.settings_differ == [f"train.num_prompts is not the same in all runs: 16 in {a.key}; 99 in {b.key}"]


def test_a_union_holds_each_run_once(demo_root) -> None:
    studies = [load_study(demo_root.path, experiment) for experiment in list_experiments(demo_root.path)]
    union = merge_studies(studies, name="all", question="?")
    assert len(union.runs) == 6
    assert union.benchmarks == [BENCHMARK]


@pytest.mark.parametrize(("references", "shared"), [(("dr_grpo", "dr_grpo"), "dr_grpo"), (("grpo", "dr_grpo"), "grpo")])
def test_a_union_has_the_reference_of_all_its_studies(references: tuple[str, str], shared: str) -> None:
    studies = [Study(name, "?", (), comparison=Comparison(name)) for name in references]
    assert merge_studies(studies, name="all", question="?").reference == shared


def test_a_union_keeps_an_arm_whole_that_studies_name_differently(new_root) -> None:
    root = new_root()
    keys = tuple(root.run("grpo", seed).key for seed in range(3))
    mine = load_study(root.path, Experiment("a", "?", keys))
    shared = load_study(root.path, Experiment("b", "?", keys[:1], arms={keys[0]: "baseline"}))
    for studies in ([mine, shared], [shared, mine]):
        union = merge_studies(studies, name="all", question="?")
        assert {arm: [run.seed for run in runs] for arm, runs in union.arms.items()} == {"grpo": [0, 1, 2]}
    renamed = load_study(root.path, Experiment("c", "?", keys, arms=dict.fromkeys(keys, "old")))
    for studies in ([renamed, shared], [shared, renamed]):  # no study uses the arm's own name
        union = merge_studies(studies, name="all", question="?")
        assert {arm: [run.seed for run in runs] for arm, runs in union.arms.items()} == {"grpo": [0, 1, 2]}
    steps = merge_studies([at_step(renamed, 5), at_step(shared, 5)], name="all", question="?")
    assert {run.samples_path(BENCHMARK) for run in steps.runs} == {
        run.step_samples_path(5, BENCHMARK) for run in mine.runs
    }
    assert set(merge_studies([renamed], name="all", question="?").arms) == {"old"}


def test_runs_of_another_schema_version_are_left_out_and_named(new_root) -> None:
    root = new_root()
    now, old = root.run("grpo"), root.run("a_grae")
    meta = old.path / "meta.json"
    meta.write_text(meta.read_text().replace('"schema_version": 1', '"schema_version": 0'))
    study = load_study(root.path, Experiment("x", "?", (now.key, old.key)))
    assert [run.key for run in study.runs] == [now.key]
    assert str(old.path) in study.refused[0]
    assert "was written by schema version 0, but this agrae_lab reads version 1" in study.refused[0]


def test_unfinished_runs_are_kept_and_named(new_root) -> None:
    root = new_root()
    runs = [root.run("grpo"), root.run("a_grae", status="running", steps=5), root.run("hard_focused", status="failed")]
    study = load_study(root.path, Experiment("x", "?", tuple(run.key for run in runs)))
    assert [run.key for run in study.unfinished] == [run.key for run in runs[1:]]
    assert len(study.runs) == 3


def test_a_study_of_two_models_becomes_two(new_root) -> None:
    root = new_root()
    a, b = root.run("grpo", model={"path": "/weights/small"}), root.run("grpo", model={"path": "hub/large"})
    study = load_study(root.path, Experiment("x", "?", (a.key, b.key)))
    assert study.models == ["large", "small"]
    assert {part.name: part.models for part in split_by_model(study)} == {"x/large": ["large"], "x/small": ["small"]}
    assert split_by_model(split_by_model(study)[0])[0].name == "x/large"


def test_two_spellings_of_a_path_are_one_model(new_root) -> None:
    root = new_root()
    runs = [root.run("grpo", model={"path": path}) for path in ("weights/small", "weights/small/")]
    study = load_study(root.path, Experiment("x", "?", tuple(run.key for run in runs)))
    assert (study.models, split_by_model(study)) == (["small"], [study])


def test_models_of_one_folder_name_are_two_unless_their_files_are_the_same(new_root) -> None:
    root = new_root()
    paths = ("/runs/sft-a/model", "/runs/sft-b/model", "/copy/of/sft-b/model")
    runs = [root.run("grpo", model={"path": path}) for path in paths]
    for run, fingerprint in zip(runs, "122", strict=True):
        update_meta(run.path, model_fingerprint=fingerprint)
    study = load_study(root.path, Experiment("x", "?", tuple(run.key for run in runs)))
    assert study.models == ["sft-a/model", "sft-b/model"]
    assert [len(part.runs) for part in split_by_model(study)] == [1, 2]
