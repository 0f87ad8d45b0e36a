"""Configs: every experiment composes, and bad input is one sentence with the key, its value and what would be right."""

import pytest
import yaml
from hydra import compose, initialize_config_dir

from agrae_lab import advantages, runs
from agrae_lab.config import CONF_DIR, ConfigError, estimator_of, freeze
from tests.training.conftest import compose_config

EXPERIMENTS = sorted(p.stem for p in (CONF_DIR / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", advantages.preset_names())
@pytest.mark.parametrize("flavor", advantages.FLAVORS)
def test_the_config_of_a_preset_is_the_preset(name, flavor):
    config = compose_config(f"advantage={name}", f"advantage.flavor={flavor}")
    assert estimator_of(config) == advantages.make(name, flavor=flavor)
    assert config["arm"] == name
    assert None not in config["advantage"]["base"].values()  # every field shows its value


def test_slots_compose_on_the_command_line():
    config = compose_config(
        "advantage=a_grae", "advantage/base=dr_grpo", "advantage.group.alpha=0.5", "advantage/match=l1"
    )
    assert estimator_of(config).same_formula(advantages.make("a_grae", base="dr_grpo", alpha=0.5, match="l1"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_compose_and_name_their_command(name):
    text = (CONF_DIR / "experiment" / f"{name}.yaml").read_text()
    assert text.splitlines()[1] == f"# python -m agrae_lab.train -m +experiment={name}"
    config = compose_config(f"+experiment={name}")
    assert config["experiment"]["name"] == name
    assert config["experiment"]["question"].endswith("?")
    axes = yaml.safe_load(text)["hydra"]["sweeper"]["params"]
    for advantage in axes["advantage"].split(","):
        assert advantage in advantages.preset_names()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.num_generations=1"], "train.num_generations must be at least 2, got 1"),
        (["train.num_minibatches=3"], "does not divide the 512 completions of a step .* 2 or 4 would"),
        (
            ["hardware.per_device_batch_size=100"],
            "does not divide the 256 completions of a mini-batch; 64 or 128 would",
        ),
        (["advantage=positive_dominant", "advantage.group.beta=-1"], "advantage.group.beta must be above 0.*got -1"),
        (["advantage=hard_focused", "advantage.sample.gamma=0"], "advantage.sample.gamma must be above 0.*got 0"),
        (["advantage=a_grae", "advantage.group.alpha=1.5"], "advantage.group.alpha must be above 0 and at most 1"),
        (["advantage.base.ddof=2"], "advantage.base.ddof must be 0 or 1, got 2"),
        (["advantage.flavor=vanilla"], "advantage.flavor must be paper or official, got 'vanilla'"),
        (
            ["advantage.group.name=scale_positve"],
            "unknown advantage.group 'scale_positve'; choose from attenuate, none, ",
        ),
        (["+advantage.group.beta=2"], "advantage.group 'none' has no field beta; it has no fields"),
        (["+advantage.bass.name=grpo"], "advantage has no key bass; it has name, flavor, base, sample, group, match"),
        (["model.path=./nowhere"], "model.path './nowhere' does not exist"),
        (["model.path=/tmp"], "is a directory without config.json"),
        (["task.name=chess"], "unknown task 'chess'; choose from countdown"),
        (["task.train_file=nowhere.jsonl"], "task file nowhere.jsonl does not exist"),
        (["train.num_prompts=4096"], "holds 2048 problems, fewer than train.num_prompts = 4096"),
        (["train.temperature=0"], "train.temperature must be above 0, got 0"),
        (["train.learning_rate=fast"], "train.learning_rate must be a number, got 'fast'"),
        (["train.num_steps=2.5"], "train.num_steps must be a whole number of at least 1, got 2.5"),
        (["evaluation.top_p=1.2"], "evaluation.top_p must be above 0 and at most 1, got 1.2"),
        (["seed=-1"], "seed must be a whole number of at least 0, got -1"),
        (["arm=a/b"], "arm names a directory"),
        (["root=${nowhere}"], "nowhere"),
    ],
)
def test_bad_input_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message) as caught:
        compose_config(*overrides)
    assert "\n" not in str(caught.value)


def test_a_task_file_with_a_missing_column(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "digits": "123"}\n')
    with pytest.raises(
        ConfigError, match=r"bad.jsonl, row 1: column target is missing; the task needs id, digits, target"
    ):
        compose_config(f"task.train_file={tmp_path}/bad.jsonl")


def test_identity_is_what_makes_the_result():
    base = compose_config()
    elsewhere = compose_config("root=other", "hardware.device=cpu", "tracking=wandb", "experiment.name=x")
    assert runs.config_hash(base) == runs.config_hash(elsewhere)
    assert runs.run_dir_for(base).name == "seed-0"
    for override in ("seed=1", "train.learning_rate=2e-4", "advantage.flavor=official", "evaluation.num_samples=64"):
        assert runs.config_hash(base) != runs.config_hash(compose_config(override)), override
    assert runs.run_dir_for(base).parent == runs.run_dir_for(compose_config("seed=1")).parent


def test_none_and_the_flavors_value_are_one_run():
    assert runs.config_hash(compose_config()) == runs.config_hash(compose_config("advantage.base.ddof=0"))


def test_an_experiment_without_a_name_still_freezes():
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        assert freeze(compose("config"))["experiment"] == {"name": None, "question": None}
