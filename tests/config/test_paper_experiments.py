"""Every experiment of the paper composes at full size, and trains two steps with a tiny model in place of the real."""

import json
from functools import cache

import pytest
import torch
import yaml
from hydra import initialize_config_dir
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, frozen, problem_sets
from agrae_lab.lifecycle import execute
from agrae_lab.tasks import load_problems
from agrae_lab.training.session import train
from sweeps.spec.experiments import expand
from tests.training.conftest import compose_config
from tests.training.test_runs_end_to_end import metrics, rollouts

GROUP = {"grpo", "positive_dominant", "negative_dominant"}
SAMPLE = {"grpo", "easy_focused", "hard_focused"}
BASELINES = {"grpo", "grpo+dapo", "dr_grpo+dr_grpo"}
ON_BASELINES = {"a_grae", "a_grae+dapo", "a_grae+dr_grpo+dr_grpo"}
RIVALS = {"grpo_lead", "w_reinforce", "grpo+dapo+resampled+overlong"}  # the last is not in the paper
PARTS = {"a_grae_sample_only", "a_grae_group_only"}
# experiment → its world and arms, and how many of its runs no experiment above it has
PAPER = {
    "figure2": ("qwen25_math_7b", GROUP, 3),
    "figure3": ("qwen25_math_7b", GROUP, 0),
    "figure4": ("qwen25_math_7b", SAMPLE, 2),
    "figure5": ("qwen25_math_7b", SAMPLE, 0),
    "figure7": ("llama32_3b", GROUP, 3),
    "figure8": ("llama32_3b", SAMPLE, 2),
    "figure9": ("qwen25_math_7b", {"negative_dominant", "a_grae_group_only"}, 19),
    "figure10": ("qwen25_math_7b", {"grpo", "a_grae"}, 1),
    "table3": ("qwen25_math_7b", BASELINES | ON_BASELINES | RIVALS, 7),
    "table5": ("deepseek_r1_7b", BASELINES | ON_BASELINES, 6),
    "table6": ("qwen25_math_7b", {"grpo", "a_grae"} | PARTS, 1),
    "table7": ("qwen25_math_7b", GROUP | SAMPLE | PARTS, 0),
}
COVERING = ("table6", "table3", "figure4", "figure2")  # one world, and all arms of PAPER
BENCHMARKS = ("math", "amc23", "aime2025")
ANSWERS = "0123"


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """Problems for two rounds of the paper's batch, every fourth with the same answer; and few, in a file beside it."""
    path = tmp_path_factory.mktemp("problems") / "problems.jsonl"
    rows = [{"id": f"p{i}", "problem": f"What is {i} modulo 4?", "answer": str(i % 4)} for i in range(2048)]
    lines = [json.dumps(row) + "\n" for row in rows]
    path.write_text("".join(lines))
    path.with_name("few.jsonl").write_text("".join(lines[:16]))
    return path


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    r"""A Qwen2 of random weights: one token a character and one for each \boxed answer, which it says now and then."""
    path = tmp_path_factory.mktemp("model")
    boxed = [f"\\boxed{{{answer}}}" for answer in ANSWERS]
    characters = [chr(code) for code in range(32, 127)]
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<eos>", "<other>", "\n", *characters, *boxed])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<other>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\\boxed\{[0-3]\}|[\s\S]"), "isolated")
    core.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    config = Qwen2Config(vocab_size=len(vocabulary), num_key_value_heads=1, tie_word_embeddings=True, **sizes, **ends)
    Qwen2ForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def arms(name, *overrides):
    """A frozen config of every arm (and seed) of an experiment, as `python -m agrae_lab.train -m` would run them."""
    experiment = f"paper/{name}"
    axes = yaml.safe_load((CONF_DIR / "experiment" / f"{experiment}.yaml").read_text())["hydra"]["sweeper"]["params"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        points = expand([*(f"{key}={values}" for key, values in axes.items()), *overrides])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen, "load_problems", loaded_once)
        return [compose_config(f"+experiment={experiment}", *point) for point in points]


LOADED = {}


def loaded_once(task, split, **words):
    """Return the problems of a file; it is read once for all arms, since half of a composition goes into that."""
    key = (task.name, task.columns, split, *(str(words.get(word)) for word in ("file", "data_dir", "limit")))
    if key not in LOADED:
        LOADED[key] = load_problems(task, split, **words)
    return LOADED[key]


def on_file(problems):
    """Without a network and without vLLM: all else is the experiment's own."""
    files = [f"+evaluation.benchmarks.{name}.file={problems.with_name('few.jsonl')}" for name in BENCHMARKS]
    return ["engine=transformers", f"task.train_file={problems}", *files]


def with_tiny_model(problems, tiny_model, root):
    sizes = {
        "train": {"num_steps": 2, "num_prompts": 8, "num_generations": 4, "num_minibatches": 2},
        "evaluation": {"num_samples": 2, "max_new_tokens": 8, "batch_size": 64},
    }
    small = [f"{section}.{key}={value}" for section, keys in sizes.items() for key, value in keys.items()]
    small += ["train.max_completion_length=16", "train.learning_rate=1e-3", "train.validate_every=0"]
    limits = [f"+evaluation.benchmarks.{name}.limit=4" for name in BENCHMARKS]
    hardware = ["hardware.device=cpu", "hardware.processes=1", "hardware.per_device_batch_size=null"]
    return [*on_file(problems), *small, *limits, *hardware, f"model.path={tiny_model}", f"root={root}"]


def test_all_are_here():
    files = {path.stem for path in (CONF_DIR / "experiment" / "paper").glob("*.yaml")}
    assert {name for name in files if not name.startswith("table4")} == set(PAPER)  # test_paper_table4.py has that one


@pytest.mark.parametrize("name", PAPER)
def test_an_experiment_names_its_command(name):
    text = (CONF_DIR / "experiment" / "paper" / f"{name}.yaml").read_text()
    assert text.splitlines()[1].startswith(f"# python -m sweeps run paper/{name} ")


@pytest.fixture(scope="module")
def full_size(problems):
    return {name: arms(name, *on_file(problems)) for name in PAPER}


@pytest.mark.parametrize("name", PAPER)
def test_every_arm_composes_at_the_papers_settings(full_size, name):
    world, expected, _ = PAPER[name]
    configs = full_size[name]
    assert {config["arm"] for config in configs} == expected
    for config in configs:
        train_, evaluation = config["train"], config["evaluation"]
        assert config["experiment"]["name"] == f"paper_{name}"
        assert config["experiment"]["question"].endswith("?")
        assert config["world"] == world
        assert (train_["num_prompts"], train_["num_generations"], train_["num_minibatches"]) == (1024, 8, 4)
        assert (train_["num_steps"], train_["learning_rate"], train_["temperature"]) == (140, 1e-6, 1.0)
        assert (evaluation["num_samples"], evaluation["temperature"], evaluation["top_p"]) == (256, 0.6, 0.95)
        assert evaluation["max_new_tokens"] == 4096
        assert set(evaluation["benchmarks"]) == set(BENCHMARKS)
        assert train_["validate_on"] in BENCHMARKS
        assert config["loss"]["clip_high"] == (0.28 if config["loss"]["name"] == "dapo" else 0.2)
        assert config["loss"]["kl_coefficient"] == 0


def test_equal_configs_are_one_run(full_size):
    known = set()
    for name, configs in full_size.items():
        mine = {runs.run_dir_for(config) for config in configs}
        assert len(mine - known) == PAPER[name][2], name
        known |= mine


def test_the_collapse_experiment_has_ten_seeds(full_size):
    seeds = [(config["arm"], config["seed"]) for config in full_size["figure9"]]
    assert seeds == [(arm, seed) for arm in ("negative_dominant", "a_grae_group_only") for seed in range(10)]


@pytest.fixture(scope="module")
def different_arms(problems, tiny_model, tmp_path_factory):
    """One config for each pair of loss and estimator that the paper has, with the tiny model."""
    overrides = with_tiny_model(problems, tiny_model, tmp_path_factory.mktemp("runs"))
    return {config["arm"]: config for name in COVERING for config in arms(name, *overrides, "seed=0")}


ALL_ARMS = sorted({arm for _, names, _ in PAPER.values() for arm in names})
# plain, each part of the lab's trainer that another arm adds, and the estimator that reads lengths
IN_SHORT = {"grpo", "a_grae+dapo", "a_grae+dr_grpo+dr_grpo", "grpo+dapo+resampled+overlong", "grpo_lead"}


@pytest.mark.parametrize(
    "arm", [pytest.param(arm, marks=() if arm in IN_SHORT else pytest.mark.slow) for arm in ALL_ARMS]
)
def test_an_arm_trains_with_the_tiny_model(different_arms, arm):
    run = runs.read_run(runs.create_run(different_arms[arm]))
    train(run, problem_sets(run.config))
    assert (run.path / "model" / "model.safetensors").is_file()
    rows, frame = metrics(run), rollouts(run)
    assert rows["step"].tolist() == [1, 2]
    assert rows["loss"].notna().all()
    assert rows["correct_count"].sum() > 0
    assert frame["valid"].all()
    changed = (frame["advantage"] - frame["advantage_grpo"]).abs().max() > 1e-6
    assert changed == (not arm.startswith("grpo") or arm == "grpo_lead")
    assert rows["grad_norm"].gt(0).all()


@cache
def _done(run_dir):
    return execute(run_dir)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_every_arm_runs_to_its_end_with_the_tiny_model(problems, tiny_model, tmp_path_factory, name):
    root = tmp_path_factory.getbasetemp() / "dry"
    seeds = ["seed=0,1"] if name == "figure9" else []
    for config in arms(name, *with_tiny_model(problems, tiny_model, root), "train.validate_every=1", *seeds):
        run_dir = runs.create_run(config)
        assert _done(run_dir) == "done"
        run = runs.read_run(run_dir)
        assert run.benchmarks() == sorted(BENCHMARKS)
        assert metrics(run)["greedy_accuracy"].notna().all()
