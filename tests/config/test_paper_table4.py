"""Table 4's experiments compose at the paper's settings, and train two steps on real pictures with a tiny model."""

import json

import pytest
from PIL import Image

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, problem_sets
from agrae_lab.lifecycle import execute
from agrae_lab.training.session import train
from tests.config.test_paper_experiments import BASELINES, ON_BASELINES, arms
from tests.models import tiny_vision
from tests.public_data import PROBLEMS
from tests.training.test_runs_end_to_end import metrics, rollouts

MATHVISION = PROBLEMS / "mathvision_testmini.jsonl"
# experiment → prompts of a generation batch, steps, and its benchmarks with their domains
TABLE_4 = {
    "table4_geo3k": (512, 80, {"geo3k": "in", "mathvision": "out", "mathverse": "out"}),
    "table4_medical": (32, 180, {"medical_mri": "in", "medical_ct": "out", "medical_xray": "out"}),
}
LETTERS = "ABCDE"


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    """As many problems as the paper's batch has prompts, all with one picture; and few, in a file beside it."""
    folder = tmp_path_factory.mktemp("problems")
    Image.new("RGB", (64, 48), "white").save(folder / "white.png")
    rows = [
        {"id": f"p{i}", "problem": f"<image>{i}?", "answer": "A", "image": "white.png", "choices": ["x", "y"]}
        for i in range(512)
    ]
    return write(folder / "problems.jsonl", rows)


@pytest.fixture(scope="module")
def real_problems(tmp_path_factory):
    """Eight of MathVision's, with their own pictures and a letter to choose."""
    rows = [json.loads(line) for line in MATHVISION.read_text().splitlines()]
    chosen = [row for row in rows if row["choices"] and row["answer"] in LETTERS][:8]
    for row in chosen:
        row["image"] = str(MATHVISION.parent / row["image"])
    return write(tmp_path_factory.mktemp("real") / "problems.jsonl", chosen)


def write(path, rows):
    lines = [json.dumps(row) + "\n" for row in rows]
    path.write_text("".join(lines))
    path.with_name("few.jsonl").write_text("".join(lines[:4]))
    return path


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    r"""A Qwen2.5-VL of random weights for which each \boxed letter is one token."""
    path = tmp_path_factory.mktemp("model") / "tiny"
    boxed = [f"\\boxed{{{letter}}}" for letter in LETTERS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_vision, "CHARACTERS", [*tiny_vision.CHARACTERS, *boxed])
        tiny_vision.qwen2_5_vl(path)
    return path


def on_file(name, problems):
    few = problems.with_name("few.jsonl")
    files = [f"+evaluation.benchmarks.{benchmark}.file={few}" for benchmark in TABLE_4[name][2]]
    return ["engine=transformers", f"task.train_file={problems}", *files]


@pytest.mark.parametrize("name", TABLE_4)
def test_an_experiment_names_its_command(name):
    text = (CONF_DIR / "experiment" / "paper" / f"{name}.yaml").read_text()
    assert text.splitlines()[1].startswith(f"# python -m sweeps run paper/{name} ")


@pytest.mark.parametrize("name", TABLE_4)
def test_every_arm_composes_at_the_papers_settings(name, problems):
    num_prompts, num_steps, domains = TABLE_4[name]
    configs = arms(name, *on_file(name, problems))
    assert {config["arm"] for config in configs} == BASELINES | ON_BASELINES
    for config in configs:
        train_ = config["train"]
        assert (train_["num_prompts"], train_["num_generations"], train_["num_steps"]) == (num_prompts, 5, num_steps)
        assert train_["validate_on"] in domains
        assert config["task"]["reward"] == "code"
        assert {key: b["domain"] for key, b in config["evaluation"]["benchmarks"].items()} == domains
        if config["arm"] in ON_BASELINES:
            assert config["advantage"]["group"]["alpha"] == 0.5


@pytest.fixture(scope="module")
def tiny_arms(real_problems, tiny_model, tmp_path_factory):
    """Experiment and arm → its config with the tiny model and eight real problems."""
    root = tmp_path_factory.mktemp("runs")
    small = ["num_steps=2", "num_prompts=4", "num_generations=4", "num_minibatches=1", "max_completion_length=24"]
    small = [f"train.{setting}" for setting in [*small, "learning_rate=1e-3"]]
    small += ["evaluation.num_samples=2", "evaluation.max_new_tokens=8", "evaluation.batch_size=16"]
    small += [
        "hardware.device=cpu",
        "hardware.processes=1",
        "hardware.per_device_batch_size=null",
        f"model.path={tiny_model}",
        f"root={root}",
    ]
    found = {}
    for name in TABLE_4:
        limits = [f"+evaluation.benchmarks.{benchmark}.limit=2" for benchmark in TABLE_4[name][2]]
        for config in arms(name, *on_file(name, real_problems), *small, *limits):
            found[name, config["arm"]] = config
    return found


@pytest.mark.slow  # the test after this trains one of them
@pytest.mark.parametrize("arm", sorted(BASELINES | ON_BASELINES))
def test_an_arm_trains_on_real_pictures(tiny_arms, arm):
    """With a tiny model the two experiments differ in their benchmarks alone."""
    run = runs.read_run(runs.create_run(tiny_arms["table4_geo3k", arm]))
    train(run, problem_sets(run.config))
    assert_trained(run)


def assert_trained(run):
    rows, frame = metrics(run), rollouts(run)
    assert rows["step"].tolist() == [1, 2]
    assert rows["loss"].notna().all()
    assert frame["valid"].all()
    assert frame["correct"].any()
    assert set(frame["reward"].round(6)) <= {0.0, 0.1, 0.9, 1.0}
    assert rows["grad_norm"].gt(0).any()


def test_an_experiment_runs_to_its_end(tiny_arms):
    run_dir = runs.create_run(tiny_arms["table4_medical", "a_grae+dr_grpo+dr_grpo"])
    assert execute(run_dir) == "done"
    run = runs.read_run(run_dir)
    assert run.benchmarks() == sorted(TABLE_4["table4_medical"][2])
    assert_trained(run)
