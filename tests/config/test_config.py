"""Configs: every experiment composes, and bad input gets one sentence with key, value and remedy."""

import json
from dataclasses import MISSING

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from agrae_lab import advantages, runs
from agrae_lab.config import CONF_DIR, ConfigError, estimator_of, freeze, schema
from agrae_lab.config.help import help_text
from agrae_lab.tasks.problems import shipped_file
from tests.training.conftest import compose_config

UNNAMED = ["advantage/sample=dynamic", "advantage/match=l1"]  # no preset
EXPERIMENTS = sorted(p.stem for p in (CONF_DIR / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", advantages.preset_names())
@pytest.mark.parametrize("flavor", advantages.FLAVORS)
def test_the_config_of_a_preset_is_the_preset(name, flavor):
    config = compose_config(f"advantage={name}", f"advantage.flavor={flavor}")
    assert estimator_of(config) == advantages.make(name, flavor=flavor)
    assert config["arm"].split("+")[0] == name
    base = advantages.links("base")[config["advantage"]["base"]["name"]]
    for field, value in config["advantage"]["base"].items():  # every field shows its value
        assert value is not None or getattr(base, field) is None


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
    for advantage in axes.get("advantage", "grpo").split(","):  # the axis of `controls` is `method`
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
        (["advantage.base.ddof=2"], "advantage.base.ddof must be 0 or 1 .*got 2"),
        (["advantage.flavor=vanilla"], "advantage.flavor must be paper, official or trl, got 'vanilla'"),
        (
            ["advantage.group.name=scale_positve"],
            r"unknown advantage.group 'scale_positve'; did you mean scale_positive\? choose from attenuate, ",
        ),
        (["+advantage.group.beta=2"], "advantage.group 'none' has no field beta; it has no fields"),
        (["+advantage.bass.name=grpo"], "advantage has no key bass; it has name, flavor, base, sample, group, token"),
        (["advantage.base._target_=nowhere.Mine"], "there is no module nowhere, neither installed nor in "),
        (
            ["advantage.base._target_=agrae_lab.config.schema.Mine"],
            "agrae_lab.config.schema has no class Mine; it has Rule",
        ),
        (["model.path=./nowhere"], "model.path './nowhere' does not exist"),
        (["model.path=/tmp"], "is a directory without config.json"),
        (["task.name=chess"], "unknown task 'chess'; choose from countdown"),
        (["task.train_file=nowhere.jsonl"], "task file nowhere.jsonl does not exist"),
        (["train.num_prompts=4096"], "train.num_prompts = 4096, and 2048 problems are left to train on"),
        (["train.temperature=0"], "train.temperature must be a number above 0, got 0"),
        (["train.learning_rate=fast"], "train.learning_rate must be a number above 0, got 'fast'"),
        (["train.num_steps=2.5"], "train.num_steps must be a whole number of at least 1, got 2.5"),
        (["evaluation.top_p=1.2"], "evaluation.top_p must be a number above 0 and at most 1, got 1.2"),
        (["seed=-1"], "seed must be a whole number of at least 0 and at most 4294967295, got -1"),
        (["arm=a/b"], "arm must be 1 to 60 letters.*got 'a/b'"),
        (["arm=base"], "arm must be 1 to 60 letters.*other than 'base'.*got 'base'"),
        (["arm=Base"], "other than 'base'.*got 'Base'"),
        (["arm=.."], "arm must be .* beginning with a letter or digit.*got '..'"),
        (["arm=-x"], "arm must be .* beginning with a letter or digit.*got '-x'"),
        (["arm=''"], "arm must be .*got ''"),
        (["experiment.name=../x"], "experiment.name must be .*got '../x'"),
        (["experiment.name=.hidden"], "experiment.name must be .*got '.hidden'"),
        (["experiment.name=''"], "experiment.name must be .*got ''"),
        (["seed=4294967296"], "seed must be a whole number of at least 0 and at most 4294967295"),
        (["+train.num_step=5"], "the config has no key train.num_step; did you mean 'train.num_steps'"),
        (["task=null"], "task must be a section with name, train_file, got None"),
        (["evaluation.benchmarks=null"], "evaluation.benchmarks must name at least one benchmark"),
        (
            ["evaluation.benchmarks.countdown_test.limit=abc"],
            "limit must be a whole number of at least 1, or null, got",
        ),
        (
            ["evaluation.benchmarks.countdown_test.limit=0"],
            "limit must be a whole number of at least 1, or null, got 0",
        ),
        (["+evaluation.benchmarks.mine={file: null}"], "evaluation.benchmarks.mine.task is missing"),
        (["hardware.per_device_batch_size=abc"], "hardware.per_device_batch_size must be a whole number"),
        (["model.path=null"], "model.path must be text, got None"),
        (["model.dtype=float16"], "model.dtype must be one of float32, bfloat16"),
        (["advantage.group=attenuate"], "advantage.group must be a section.*choose one by advantage/group=<name>"),
        (["advantage.base=null"], "advantage.base must be a section, got None"),
        (["advantage=a_grae", "advantage.group.alpha=x"], "advantage.group.alpha must be a number .*got 'x'"),
        (["advantage.base.epsilon=nan"], "advantage.base.epsilon must be at least 0 .*got nan"),
        (["tracking=wandb", "tracking.mode=foo"], "tracking.mode must be one of offline, online"),
        (["root=${nowhere}"], "nowhere"),
        (["~advantage"], "advantage must be a section, got None; choose one by advantage=<name>"),
        (["~advantage.flavor"], "advantage.flavor must be paper, official or trl, got None"),
        (["~advantage.name"], "advantage.name must be .*text, got None"),
        (["advantage.name=[grpo]"], r"advantage.name must be .*got \['grpo'\]"),
        (
            ["advantage.name='a grpo'", *UNNAMED],
            "arm: made from advantage and loss, it must be 1 to 60 letters.*got 'a grpo'",
        ),
        (["advantage.name=base", *UNNAMED], "arm: made from advantage and loss, .* other than 'base'.*got 'base'"),
    ],
)
def test_bad_input_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message) as caught:
        compose_config(*overrides)
    assert "\n" not in str(caught.value)


OWN = '''
from dataclasses import dataclass

from torch import Tensor

from agrae_lab.advantages import Context


@dataclass(frozen=True)
class HalfBaseline:
    """A = r − share · mean(r)   (made up)."""

    share: float = 0.5

    LAWS = frozenset({"groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        return rewards_PG - self.share * rewards_PG.mean(dim=1, keepdim=True)
'''


@pytest.mark.parametrize("separator", [".", ":"])
def test_an_estimator_in_a_file_of_ones_own(tmp_path, monkeypatch, separator):
    monkeypatch.chdir(tmp_path)
    module = f"own_{'dot' if separator == '.' else 'colon'}"  # a module is imported once
    (tmp_path / f"{module}.py").write_text(OWN)
    target = f"advantage.base._target_={module}{separator}HalfBaseline"
    config = compose_config(target, "+advantage.base.share=0.25", "advantage/sample=hard_focused")
    assert config["arm"] == "grpo+half_baseline+share=0.25+hard_focused"
    estimator = estimator_of(config)
    assert (estimator.base.share, estimator.sample.name) == (0.25, "hard_focused")
    assert estimator(torch.tensor([[1.0, 1.0, 1.0, 0.0]]))[0, 3] == pytest.approx(-0.25 * 0.75 * 0.5 / 0.75**0.5)
    with pytest.raises(ConfigError, match="has no field shar; its fields are share"):
        compose_config(target, "+advantage.base.shar=0.25")
    (tmp_path / f"{module}.py").write_text(OWN.replace("r − share", "r  − share"))
    with pytest.raises(ValueError, match=f"{module}.py is not what it was when this config was made"):
        estimator_of(config)


def test_parts_of_a_reward_must_be_there(monkeypatch):
    from agrae_lab.tasks.text.countdown import Countdown

    compose_config("advantage=gdpo")
    monkeypatch.setattr(Countdown, "components", ("accuracy",))
    with pytest.raises(ConfigError, match=r"'gdpo' weighs the reward components apart, but .*'countdown' have but one"):
        compose_config("advantage=gdpo")


def test_a_task_file_with_a_missing_column(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "digits": "123"}\n')
    with pytest.raises(
        ConfigError, match=r"bad.jsonl, row 1: column target is missing. The task needs id, digits, target"
    ):
        compose_config(f"task.train_file={tmp_path}/bad.jsonl")


def test_the_seeds_of_one_method_lie_side_by_side():
    base, other = compose_config(), compose_config("seed=1")
    assert runs.run_dir_for(base).name == "seed-0"
    assert runs.training_hash(base) != runs.training_hash(other)
    assert runs.run_dir_for(base).parent == runs.run_dir_for(other).parent


@pytest.mark.parametrize(
    ("overrides", "arm"),
    [
        (["advantage=a_grae"], "a_grae"),
        (["advantage=a_grae", "advantage/match=l1"], "a_grae+l1"),
        (["advantage=a_grae", "advantage/base=dr_grpo", "advantage.group.alpha=0.5"], "a_grae+dr_grpo+alpha=0.5"),
        (["advantage=a_grae", "advantage.flavor=official", "loss=dapo"], "a_grae+official+dapo"),
        (["advantage=dr_grpo", "advantage.flavor=official", "loss=dr_grpo"], "dr_grpo+dr_grpo"),
        (["advantage=negative_dominant", "advantage.group.beta=0.2"], "negative_dominant+beta=0.2"),
        (["arm=mine"], "mine"),
        (["advantage=a_grae", "advantage/sample=none", "advantage/match=l1"], "a_grae+sample=none+l1"),
        (["advantage=a_grae", "advantage/group=none", "advantage/match=l1"], "a_grae+group=none+l1"),
        (["advantage=a_grae", "advantage/sample=none"], "a_grae_group_only"),
        (
            ["advantage=gdpo", "advantage.base.weights={accuracy: 1, format: 0.5}"],
            "gdpo+weights=accuracy_1.0_format_0.5",
        ),
    ],
)
def test_an_arm_is_named_by_what_tells_it_apart(overrides, arm):
    assert compose_config(*overrides)["arm"] == arm


def test_a_benchmark_needs_no_more_than_its_task():
    added = "+evaluation.benchmarks.mine={task: countdown}"
    replaced = compose_config(added, "evaluation.benchmarks.countdown_test=null", "train.validate_on=mine")
    assert set(replaced["evaluation"]["benchmarks"]) == {"mine"}
    config = compose_config(added)
    assert config["evaluation"]["benchmarks"]["mine"] == {"task": "countdown", "file": None, "limit": None}
    assert set(config["data_fingerprints"]) == {"train", "countdown_test", "mine"}


def test_a_run_is_named_by_what_its_problem_files_hold(tmp_path):
    problems = tmp_path / "problems.jsonl"
    text = shipped_file("countdown", "train").read_text()
    problems.write_text(text)
    before = runs.training_hash(compose_config(f"task.train_file={problems}"))
    problems.write_text(text.replace('"target": 55', '"target": 56', 1))
    assert runs.training_hash(compose_config(f"task.train_file={problems}")) != before


def test_none_and_the_flavors_value_are_one_run():
    assert runs.training_hash(compose_config()) == runs.training_hash(compose_config("advantage.base.ddof=0"))


def test_an_experiment_without_a_name_still_freezes():
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        assert freeze(compose("config"))["experiment"] == {"name": None, "question": None}


def test_the_tasks_of_mathematics_have_their_settings_and_others_none(tmp_path):
    plain = compose_config()
    assert set(plain["task"]) == {"name", "train_file"}
    assert "max_prompt_length" not in plain["train"]
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(f'{{"problem": "{i} + 1?", "answer": {i + 1}}}\n' for i in range(64)))
    sums = ["task.name=math", f"task.train_file={file}"]
    given = compose_config(*sums, "task.verifier=official", "train.max_prompt_length=99")
    assert given["task"]["verifier"] == "official"
    assert given["task"]["prompt_template"] == "chat"
    assert given["train"]["max_prompt_length"] == 99
    assert {runs.run_dir_for(plain), runs.run_dir_for(given)} != {runs.run_dir_for(compose_config(*sums))}
    for overrides, message in (
        ([*sums, "task.prompt_template=qwen"], "task.prompt_template must be one of qwen_boxed, llama, deepseek"),
        (["task.verifier=official"], "task.verifier is for the tasks math, .* this run has none of them"),
        (["task.name=math", "hardware.data_dir=nowhere"], "hardware.data_dir 'nowhere' is not a directory"),
        ([*sums, "train.max_prompt_length=0"], "train.max_prompt_length must be a whole number of at least 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            compose_config(*overrides)


def with_benchmark(name) -> dict:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose("config", overrides=["train.validate_every=0"])
        config.evaluation.benchmarks = {name: {"task": "countdown"}}
        return freeze(config)


def test_a_name_may_be_a_whole_number_and_no_fraction():
    assert schema.RULES["arm"].holds(7)
    assert not schema.RULES["arm"].holds(0.5)
    assert "as text or a whole number" in schema.RULES["arm"].wanted
    for key in ("experiment.reference", "train.validate_on"):
        assert schema.RULES[key].holds(7)
        assert schema.RULES[key].kept_as(7) == "7"
        assert not schema.RULES[key].holds(0.5)
        assert not schema.RULES[key].holds("")
    assert schema.RULES["experiment.candidates"].holds([7, "a_grae"])
    assert not any(schema.RULES["experiment.candidates"].holds([other]) for other in (0.5, True, "", None))


@pytest.mark.parametrize("name", ["train", "Train", "..", ".", "a/b", "", ".x", "-x", "x y", "é", "x" * 61, "a\n"])
def test_names_of_benchmarks_that_mean_something_else_are_refused(name):
    with pytest.raises(
        ConfigError, match=r"evaluation\.benchmarks: a name must be 1 to 60 letters.*than 'train'"
    ) as error:
        with_benchmark(name)
    assert repr(name) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("given", "steps"), [("2", 2), ("[1,3]", [1, 3]), ("[last]", ["last"]), ("null", None)])
def test_the_steps_of_evaluations_are_a_stride_or_a_list(given, steps):
    assert compose_config(f"evaluation.at_steps={given}")["evaluation"].get("at_steps") == steps


@pytest.mark.parametrize("given", ["0", "[-1]", "[first]", "true"])
def test_other_steps_of_evaluations_are_refused(given):
    with pytest.raises(ConfigError, match=r"evaluation\.at_steps must be a number of steps"):
        compose_config(f"evaluation.at_steps={given}")


def test_a_benchmark_called_by_a_number_has_a_name():
    assert set(with_benchmark(2025)["evaluation"]["benchmarks"]) == {"2025"}


def test_numbers_are_what_the_schema_says():
    """Every number of the nano world, written as 1 where a float belongs and as 8.0 where an int does."""
    plain, written = compose_config("+model.lora={rank: 4, alpha: 8}", "train.num_generations=8"), {}
    for key, rule in schema.RULES.items():
        value = at(plain, key)
        if rule.kept_as is float and value is not None:
            written[key] = 1
        elif rule.kept_as is int and value is not None and key != "schema_version":
            written[key] = float(value)
    assert len(written) > 20
    config = compose_config("+model.lora={rank: 4, alpha: 8}", *(f"{key}={value}" for key, value in written.items()))
    for key, value in written.items():
        assert (at(config, key), type(at(config, key))) == (value, schema.RULES[key].kept_as), key


def at(config, key):
    """The value of a dotted key; None where there is none."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, dict) else None
    return config


def test_equal_numbers_are_equal_configs():
    written = ["evaluation.benchmarks.countdown_test.limit=64.0", "train.temperature=2", "seed=3.0", "advantage=a_grae"]
    other = ["evaluation.benchmarks.countdown_test.limit=64", "train.temperature=2.0", "seed=3", "advantage=a_grae"]
    one = compose_config(*written, "advantage.group.alpha=1", "advantage.base.ddof=1.0", "arm=7")
    two = compose_config(*other, "advantage.group.alpha=1.0", "advantage.base.ddof=1", "arm='7'")
    assert json.dumps(one) == json.dumps(two)
    with pytest.raises(ConfigError, match=r"train\.temperature must be a number above 0, got True"):
        compose_config("train.temperature=true")
    with pytest.raises(ConfigError, match=r"train\.learning_rate must be a number above 0, got 1000"):
        compose_config(f"train.learning_rate=1{'0' * 400}")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_validate_on_a_benchmark_of_theirs(name):
    config = compose_config(f"+experiment={name}")
    assert config["train"]["validate_on"] in config["evaluation"]["benchmarks"]


def test_the_defaults_of_the_schema_are_those_of_the_files():
    """A key of conf/config.yaml and of tracking=wandb has one default, wherever it stands."""
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        composed = compose("config", overrides=["tracking=wandb", "tracking.name=none"])
    for key, rule in schema.RULES.items():
        if not rule.is_optional and rule.default is not MISSING and key != "hardware.data_dir":
            assert OmegaConf.select(composed, key) == rule.default, key


def test_help_has_every_key_group_and_two_examples():
    text = help_text()
    for key, rule in schema.RULES.items():
        assert rule.help_text.endswith("."), key
        assert key == "schema_version" or f"\n{key}: {rule.wanted}" in text
    assert "advantage/group: attenuate, " in text
    assert text.count("python -m agrae_lab.train ") == 2
    assert max(len(line) for line in text.splitlines()) < 220
