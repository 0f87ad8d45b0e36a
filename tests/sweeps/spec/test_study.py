"""Study files: their keys, one sentence for each mistake, and their cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st

from sweeps.__main__ import main
from sweeps.errors import PlanError
from sweeps.spec.axes import label, override, study_cells
from sweeps.spec.compose import CONFIG_DIR
from sweeps.spec.read import as_data, is_study, parse_study, read_study, shipped_studies
from sweeps.spec.study import Axes, Study, describe_keys

EVERYTHING = """\
name: everything
question: Does it hold?
base: [world=nano, +extra.key=1, ~other]
axes:
  grid: {advantage: [grpo, a_grae], train.learning_rate: [1e-4, 2.0e-4]}
  zip: {train.num_prompts: [32, 64], train.num_generations: [16, 8]}
  one_factor: {advantage/match: [none, l1], train.weight_decay: [null, 0.1]}
  cells: [{advantage: rloo}, {advantage: dr_grpo, train.num_steps: 9}]
exclude: [{advantage: [a_grae], train.learning_rate: 2e-4}]
seeds: [0, 3]
objective: [{metric: pass@1/countdown_test, direction: maximize}]
constraints: [{metric: "metrics.kl:last", at_most: 0.5}]
stop: {retries: 2, timeout_minutes: 1.5, fail_fast: true, max_failures: 3, wall_hours: 10}
resources: {engine: slurm, slots: 4, options: {partition: gpu, gpus_per_node: 1}}
"""

SEARCH = {
    "sampler": "tpe",
    "num_trials": 4,
    "space": {"train.learning_rate": {"kind": "float", "low": 1e-5, "high": 1e-3, "log": True}},
}
OBJECTIVE = [{"metric": "pass@1/b", "direction": "maximize"}]


def _read(tmp_path: Path, text: str) -> Study:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return read_study(path)


def _faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(PlanError) as refused:
        _read(tmp_path, text)
    prefix = f"{tmp_path / 'mine.yaml'}: "
    assert all(sentence.startswith(prefix[:-1]) and "\n" not in sentence for sentence in refused.value.sentences)
    return [sentence.removeprefix(prefix) for sentence in refused.value.sentences]


def test_a_study_is_read_whole_and_survives_being_written(tmp_path: Path) -> None:
    study = _read(tmp_path, EVERYTHING)
    assert study.axes.grid == {"advantage": ("grpo", "a_grae"), "train.learning_rate": (1e-4, 2e-4)}
    assert study.axes.one_factor["train.weight_decay"] == (None, 0.1)
    assert study.seeds == (0, 3)
    assert study.stop.timeout_minutes == 1.5
    assert study.resources.options == {"partition": "gpu", "gpus_per_node": 1}
    assert parse_study(yaml.safe_load(yaml.safe_dump(as_data(study)))) == study


def test_the_processes_of_a_run_are_overrides_that_the_base_may_change() -> None:
    resources = {"gpus_per_run": 16, "nodes_per_run": 2, "launcher": "accelerate", "strategy": "fsdp"}
    study = parse_study({"name": "wide", "base": ["hardware.strategy=deepspeed"], "resources": resources})
    assert study.shared_overrides == (
        *("hardware.processes=16", "hardware.device=cuda", "hardware.nodes=2", "hardware.launcher=accelerate"),
        *("hardware.strategy=fsdp", "hardware.strategy=deepspeed"),
    )
    assert parse_study({"name": "plain", "resources": {"slots": 2}}).shared_overrides == ()


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        (
            {"gpus_per_run": 3, "nodes_per_run": 2, "engine": "ray"},
            r"3 processes do not divide over hardware\.nodes = 2",
        ),
        ({"gpus_per_run": 2, "launcher": "torchrun", "strategy": "fsdp"}, "torchrun cannot set up fsdp"),
        ({"gpus_per_run": 7}, "a mini-batch of 256 completions does not divide over 7 processes"),
    ],
)
def test_processes_that_do_not_fit_together_are_refused(resources: dict[str, Any], sentence: str) -> None:
    from agrae_lab.config import ConfigError
    from tests.training.conftest import compose_config

    study = parse_study({"name": "wide", "base": ["world=nano"], "resources": resources})
    with pytest.raises(ConfigError, match=sentence):
        compose_config(*study.shared_overrides)


def test_a_study_of_nothing_is_the_base_with_one_seed_under_the_files_name(tmp_path: Path) -> None:
    study = _read(tmp_path, "seeds: [0]")
    assert study == Study("mine")
    assert study_cells(study) == [{}]


def test_a_search_is_read(tmp_path: Path) -> None:
    study = _read(tmp_path, yaml.safe_dump({"search": SEARCH, "objective": OBJECTIVE}))
    assert study.search is not None
    assert study.search.space["train.learning_rate"].log
    assert study.search.pruner is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("axess: {}", "a study has no key 'axess'; did you mean 'axes'?"),
        ("stop: {retrys: 1}", "stop has no key 'retrys'; did you mean 'retries'?"),
        ("axes: {product: {}}", "axes has no key 'product'; it has grid, zip, one_factor, cells"),
        ("axes: {cells: [{a: 1}, {seed: 1}]}", "axes.cells[1]: seed is for replication, never an axis"),
        (
            "objective: [{metric: a, direction: maximize, weight: 1}]",
            "objective[0] has no key 'weight'; it has metric, direction",
        ),
        ("stop: {retries: x}", "stop.retries must be a valid integer, got 'x'"),
        ("stop: {retries: -1}", "stop.retries must be greater than or equal to 0, got -1"),
        ("resources: {engine: slrum}", "resources.engine must be 'local', 'slurm' or 'ray', got 'slrum'"),
        ("resources: {slots: 0}", "resources.slots must be greater than or equal to 1, got 0"),
        ("resources: {gpus_per_run: 0}", "resources.gpus_per_run must be greater than or equal to 1, got 0"),
        ("resources: {gpus_per_run: eight}", "resources.gpus_per_run must be a valid integer, got 'eight'"),
        ("resources: {gpus_per_run: 2.5}", "resources.gpus_per_run must be a valid integer, got 2.5"),
        ("resources: {nodes_per_run: 0}", "resources.nodes_per_run must be greater than or equal to 1, got 0"),
        ("resources: {launcher: mpirun}", "resources.launcher must be 'torchrun' or 'accelerate', got 'mpirun'"),
        ("resources: {strategy: zero3}", "resources.strategy must be 'ddp', 'fsdp' or 'deepspeed', got 'zero3'"),
        ("resources: {gpu_per_run: 8}", "resources has no key 'gpu_per_run'; did you mean 'gpus_per_run'?"),
        ("resources: {options: [time]}", "resources.options must be a section, got ['time']"),
        ("seeds: 3", "seeds must be a valid list, got 3"),
        ("seeds: []", "seeds is empty, so there is no run; give at least one"),
        ("seeds: [0, 1, 0]", "seeds lists 0 more than once"),
        ("name: a/b", "since it names a directory, got 'a/b'"),
        ("name: ..", "beginning with a letter or digit, since it names a directory, got '..'"),
        ("base: [world]", "base: 'world' is not an override; write key=value"),
        ("base: [seed=1]", "base: 'seed=1' fixes the seed; list the seeds under 'seeds'"),
        ("base: [root=x]", "base: 'root=x' belongs on the command line, so that the study can be run anywhere"),
        ("axes: {grid: {a: []}}", "axes.grid.a has no values, so there is no cell; give at least one"),
        ("axes: {grid: {a: 3}}", "axes.grid.a must be a valid list, got 3"),
        (
            "axes: {zip: {a: [1, 2], b: [1]}}",
            "axes.zip needs equally many values for all its keys, but a has 2, b has 1",
        ),
        (
            "axes: {grid: {seed: [1]}}",
            "axes.grid: seed is for replication, never an axis; list its values under 'seeds'",
        ),
        (
            "axes: {grid: {hardware.device: [cpu, cuda]}}",
            "axes.grid: hardware.device does not change a result, so cells cannot differ in it; set it under 'base'",
        ),
        (
            "axes: {grid: {+a: [1]}}",
            "axes.grid: '+a' is not a key of the configuration; add or delete keys under 'base'",
        ),
        ("constraints: [{metric: a}]", "constraints[0] needs one of at_most and at_least"),
        ("[1, 2]", "a study is a mapping of keys to values"),
        ("a: [1", "mine.yaml:1: not readable as YAML while parsing"),
        ("", "the study is empty; give it at least a base"),
        ("# later\n", "the study is empty"),
        ("question: Is it?", "the study is empty"),
        ("axes: {}\naxes: {}", "duplicate key axes"),
    ],
)
def test_mistakes_are_told_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (fault,) = _faults(tmp_path, text)
    assert fault.startswith(sentence) or sentence in fault


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"space": {"seed": {"kind": "int", "low": 0, "high": 9}}},
            "search.space: seed is for replication, never searched",
        ),
        ({"space": {}}, "search.space is empty"),
        (
            {"space": {"a": {"kind": "float", "low": 1}}},
            "search.space.a needs low below high, got low = 1.0 and high = None",
        ),
        ({"space": {"a": {"kind": "float", "low": 0, "high": 1, "log": True}}}, "low must be above 0"),
        ({"space": {"a": {"kind": "int", "low": 0, "high": 1.5}}}, "low, high and step must be whole numbers"),
        ({"space": {"a": {"kind": "categorical", "choices": ["x"]}}}, "needs at least two choices"),
        ({"space": {"a": {"kind": "categorical", "choices": ["x", "y"], "low": 1}}}, "has choices alone"),
        ({"space": {"a": {"kind": "float", "loww": 1}}}, "search.space.a has no key 'loww'; did you mean 'low'?"),
        ({"sampler": "tpa"}, "search.sampler must be 'random', 'tpe' or 'nsga2', got 'tpa'"),
        ({"num_trials": 0}, "search.num_trials must be greater than or equal to 1, got 0"),
    ],
)
def test_mistakes_of_a_search_are_told(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    faults = _faults(tmp_path, yaml.safe_dump({"search": {**SEARCH, **changes}, "objective": OBJECTIVE}))
    assert len(faults) == 1
    assert sentence in faults[0]


def test_a_search_takes_the_place_of_axes_and_needs_an_objective(tmp_path: Path) -> None:
    faults = _faults(tmp_path, yaml.safe_dump({"search": SEARCH, "axes": {"grid": {"a": [1]}}}))
    assert [sentence.partition(" ")[0] for sentence in faults] == ["search", "search"]
    two = {
        "search": {**SEARCH, "pruner": "wilcoxon"},
        "objective": [*OBJECTIVE, {**OBJECTIVE[0], "metric": "pass@2/b"}],
    }
    (pruner_fault,) = _faults(tmp_path, yaml.safe_dump(two))
    assert pruner_fault.startswith("search.pruner goes with one objective")


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    assert len(_faults(tmp_path, "axess: {}\nstop: {retrys: 1}\nseeds: []")) == 3


def test_an_unknown_study_gets_the_names_of_the_shipped() -> None:
    known = shipped_studies()[0]
    with pytest.raises(PlanError, match=f"there is no study '{known}x'; did you mean '{known}'"):
        read_study(f"{known}x")
    with pytest.raises(PlanError, match=r"named by its \.yaml file"):
        read_study("nowhere/at_all.yaml")


def test_shipped_studies_are_sound_and_share_no_name_with_an_experiment() -> None:
    for name in shipped_studies():
        assert is_study(name)
        assert study_cells(read_study(name))
        assert not (CONFIG_DIR / "experiment" / f"{name}.yaml").exists()


def _cells(axes: dict[str, Any], *, exclude: list[dict[str, Any]] | None = None) -> list[str]:
    return [label(cell) for cell in study_cells(parse_study({"name": "s", "axes": axes, "exclude": exclude or []}))]


def test_cells_are_the_union_of_grid_zip_and_one_factor() -> None:
    cells = _cells(
        {"grid": {"a": [1, 2], "b": ["x"]}, "zip": {"c": [1, 2], "d": [3, 4]}, "one_factor": {"e": [5], "a": [6]}}
    )
    assert cells == ["a=1 b=x", "a=2 b=x", "c=1 d=3", "c=2 d=4", "base", "e=5", "a=6"]


def test_a_cell_that_two_axes_name_is_one_cell() -> None:
    assert _cells({"grid": {"a": [1, 2]}, "zip": {"a": [2, 3]}}) == ["a=1", "a=2", "a=3"]


def test_exclusions_match_whole_conjunctions_and_lists_of_values() -> None:
    grid = {"grid": {"a": [1, 2, 3], "b": ["x", "y"]}}
    assert _cells(grid, exclude=[{"a": 1, "b": "x"}, {"a": [2, 3], "b": "y"}]) == ["a=1 b=y", "a=2 b=x", "a=3 b=x"]
    lists = {"grid": {"a": [[1, 2], [3]]}}
    assert _cells(lists, exclude=[{"a": [3]}]) == ["a=[1,2]"]


@pytest.mark.parametrize(
    ("exclude", "sentence"),
    [
        ([{"zzz": "x"}], "exclude[0]: zzz is not an axis; the axes are a, b"),
        ([{"a": 7}], "exclude[0] excludes no cell; correct it, or leave it out"),
        ([{}], "exclude[0] excludes no cell; correct it, or leave it out"),
        ([{"a": 1}, {"a": [2]}], "exclude leaves none of the 2 cells; make it exclude fewer"),
    ],
)
def test_exclusions_that_cannot_be_meant_are_refused(exclude: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(PlanError) as refused:
        _cells({"grid": {"a": [1, 2], "b": ["x"]}}, exclude=exclude)
    assert refused.value.sentences == (sentence,)


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("aZ9 '\\,=:${}[]()é/.-+~")


@example("Zé")
@given(scalars | st.lists(scalars, max_size=3))
def test_hydra_reads_every_value_back_as_it_is(value: Any) -> None:
    read = OverridesParser.create().parse_override(override("a.b", value)).value()
    assert read == value
    assert type(read) is type(value)


def test_listed_cells_have_keys_of_their_own() -> None:
    axes = Axes(grid={"a": (1, 2)}, cells=({"b": 3}, {"a": 2}))
    assert study_cells(Study("s", axes=axes)) == [{"a": 1}, {"a": 2}, {"b": 3}]
    assert axes.varied() == ["a", "b"]


def test_axes_without_any_are_the_base() -> None:
    assert study_cells(Study("s", axes=Axes())) == [{}]


def test_every_key_is_described_with_type_and_default() -> None:
    described = dict(text.split("\n    ") for text in describe_keys())
    assert "resources.launcher: Literal['torchrun', 'accelerate'] | None = null" in described
    assert not any("Optional" in key for key in described)
    assert all(sentence.endswith(".") for sentence in described.values())
    keys = [line.partition(":")[0] for line in described]
    for key in ("name", "axes.grid", "objective[i].metric", "search.space.<key>.low", "stop.retries"):
        assert key in keys
    assert "seeds: list[int] = [0]" in described
    assert "resources.engine: Literal['local', 'slurm', 'ray'] = \"local\"" in described
    everything = parse_study({"name": "s", "search": SEARCH, "objective": OBJECTIVE})
    assert {key.partition(".")[0].partition("[")[0] for key in keys} == set(as_data(everything))


def test_the_help_of_plan_has_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    shown = capsys.readouterr().out
    assert all(text in shown for text in describe_keys())


@pytest.mark.parametrize("name", ["a_grae_settings", "agrae_search", "learning_rates"])
def test_shipped_studies_choose_on_tuning_problems_and_tuning_seeds(name: str) -> None:
    study = read_study(name)
    assert "world=nano_tune" in study.base
    assert {objective.metric.split("/")[1] for objective in study.objective} == {"countdown_tune"}
    assert min(study.seeds) >= 1000
