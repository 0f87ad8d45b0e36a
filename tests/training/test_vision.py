"""Vision-language models in real runs: three tiny architectures, which read images in three ways."""

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from agrae_lab import runs
from agrae_lab.config import problem_sets
from agrae_lab.lifecycle import execute
from agrae_lab.models.load import fingerprint_model, load_model
from agrae_lab.tasks.encoding import encode, images_in
from agrae_lab.training.session import build_trainer, train
from tests.models.tiny_vision import MODELS
from tests.training.distributed_lab import run_processes
from tests.training.test_runs_end_to_end import metrics, rollouts
from tests.training.vision_lab import REPLAY, vision_config

LORA = "model.lora={rank: 2, alpha: 4}"


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return tmp_path_factory.mktemp("vision")


@pytest.fixture
def small_vision_run(room):
    """Make a run of a tiny model under `name`, without executing it."""

    def make(model, name, *overrides):
        config = vision_config(room / name / model, room / "models" / model, *overrides)
        return runs.read_run(runs.create_run(config))

    return make


@pytest.fixture(scope="module", params=["qwen2_5_vl", "idefics3", pytest.param("llava", marks=pytest.mark.slow)])
def whole(request, room):
    """Return a finished run of four steps, with evaluation before and after, validation and the saved policy."""
    config = vision_config(room / "whole" / request.param, room / "models" / request.param)
    run_dir = runs.create_run(config)
    assert execute(run_dir) == "done"
    return request.param, runs.read_run(run_dir)


def weights(run, folder="model"):
    return load_file(run.path / folder / "model.safetensors")


def base_weights(run):
    return load_file(f"{run.config['model']['path']}/model.safetensors")


def distance(one, other):
    return sum((one[name] - other[name]).square().sum().item() for name in one) ** 0.5


def log_probs_of(run, rows):
    """Return the mean log-prob a token of recorded completions under the base model, scored one by one."""
    model, processing = load_model(run.config["model"]["path"], dtype="float32")
    problems = {str(p["id"]): p for p in problem_sets(run.config)["train"]}
    from tests.training.toy_tasks.shades import TASK

    means = []
    for row in rows.itertuples():
        inputs = dict(encode(processing, TASK.prompt(problems[row.prompt_id])))
        ids = processing.tokenizer(row.completion)["input_ids"] + ([] if row.truncated else [1])
        drawn = torch.tensor([ids])
        width = inputs["input_ids"].shape[1]
        inputs["input_ids"] = torch.cat([inputs["input_ids"], drawn], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if "mm_token_type_ids" in inputs:
            inputs["mm_token_type_ids"] = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, len(ids)))
        with torch.no_grad():
            scores = model(**inputs).logits[0, width - 1 : -1].log_softmax(dim=-1)
        means.append(scores.gather(1, drawn.T).mean().item())
    return means


def interrupt(run, *, at_step):
    """Train a run and interrupt it after `at_step` steps, between checkpoints."""

    def stop(done, total):
        if done == at_step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(run, problem_sets(run.config), on_progress=stop)


def test_a_run_leaves_a_policy_that_loads_again_and_has_been_evaluated(whole):
    _, run = whole
    assert metrics(run)["step"].tolist() == [1, 2, 3, 4]
    assert metrics(run)["greedy_accuracy"].notna().tolist() == [True, False, True, False]
    assert 0 < metrics(run)["omega"].mean() < 1
    assert metrics(run)["grad_norm"].gt(0).all()
    samples = pd.read_parquet(run.samples_path("shades_test"))
    assert samples.groupby("decoding").size().to_dict() == {"greedy": 6, "sample": 24}
    model, processing = load_model(str(run.path / "model"), dtype="float32")
    base, stock = load_model(run.config["model"]["path"], dtype="float32")
    assert type(model) is type(base)
    assert processing.chat_template == stock.chat_template
    assert processing.image_processor.to_dict() == stock.image_processor.to_dict()
    moved = {name for name, value in weights(run).items() if not torch.equal(value, base_weights(run)[name])}
    assert any("vision" in name or "visual" in name for name in moved)
    assert any("lm_head" in name for name in moved)


def test_every_completion_is_scored_with_its_own_prompts_images(whole):
    """The model itself scores them one by one, without padding."""
    _, run = whole
    first = rollouts(run).query("step == 1")
    assert first["prompt_id"].nunique() == 4
    assert first["mean_logprob"].tolist() == pytest.approx(log_probs_of(run, first), abs=1e-5)


IN_SHORT = ["qwen2_5_vl", *(pytest.param(model, marks=pytest.mark.slow) for model in ("idefics3", "llava"))]


@pytest.mark.parametrize("whole", IN_SHORT, indirect=True)
def test_micro_batches_and_checkpointing_change_nothing(whole, small_vision_run):
    """Splitting and shuffling quickly for all models: test_two_updates_on_a_batch_score_the_same_images."""
    model, run = whole
    again = small_vision_run(model, "micro", "hardware.per_device_batch_size=4", "hardware.gradient_checkpointing=true")
    train(again, problem_sets(again.config))
    assert again.key == run.key
    assert rollouts(run)["completion"].tolist() == rollouts(again)["completion"].tolist()
    moved = distance(weights(run), base_weights(run))
    assert distance(weights(run), weights(again)) < 1e-3 * moved


@pytest.mark.parametrize("whole", IN_SHORT, indirect=True)
def test_an_interrupted_run_ends_as_an_uninterrupted_one(whole, small_vision_run):
    model, run = whole
    cut = small_vision_run(model, "cut")

    interrupt(cut, at_step=3)
    assert (cut.path / "checkpoints" / "checkpoint-2" / "preprocessor_config.json").exists() == (model == "qwen2_5_vl")
    train(cut, problem_sets(cut.config))
    assert distance(weights(run), weights(cut)) == 0


@pytest.mark.parametrize("model", MODELS)
def test_two_updates_on_a_batch_score_the_same_images(model, small_vision_run):
    """Images survive the shuffling and splitting of a batch: an unchanged policy has a KL of 0 from itself."""
    still = ["train.num_minibatches=2", "hardware.per_device_batch_size=4", "train.learning_rate=1e-12"]
    run = small_vision_run(model, "minibatches", *still, "loss.kl_coefficient=0.1", "train.num_steps=2")
    train(run, problem_sets(run.config))
    assert metrics(run)["approx_kl"].abs().max() < 1e-7
    assert metrics(run)["kl"].abs().max() < 1e-7


@pytest.mark.parametrize("model", ["qwen2_5_vl", pytest.param("idefics3", marks=pytest.mark.slow)])
def test_lora_adapts_both_parts_is_resumed_and_saves_a_whole_model(model, small_vision_run):
    pytest.importorskip("peft")
    few = [LORA, "train.num_steps=2", "train.checkpoint_every=1", "hardware.gradient_checkpointing=true"]
    run, cut = (small_vision_run(model, name, *few) for name in ("lora", "lora_cut"))
    train(run, problem_sets(run.config))
    base, trained = base_weights(run), weights(run)
    assert trained.keys() == base.keys()
    moved = {name for name in base if not torch.equal(trained[name], base[name])}
    assert {"vision" in name or "visual" in name for name in moved} == {True, False}
    assert all(torch.linalg.matrix_rank(trained[name] - base[name], atol=1e-5) <= 2 for name in moved)
    interrupt(cut, at_step=2)
    train(cut, problem_sets(cut.config))
    assert distance(trained, weights(cut)) == 0
    load_model(str(run.path / "model"), dtype="float32")


@pytest.fixture(scope="module")
def by_two_processes(room):
    """Model → (run of one process, the same by two), on the same rollouts."""
    short = ["train.num_steps=2", "train.validate_every=0"]
    pairs, words = {}, []
    for model in ("qwen2_5_vl", "llava"):
        one, two = (
            runs.read_run(runs.create_run(vision_config(room / kind / model, room / "models" / model, *short)))
            for kind in ("one", "two")
        )
        train(one, problem_sets(one.config))
        pairs[model] = (one, two)
        words += [two.path, one.path, 2]
    run_processes(*REPLAY, *words)
    return pairs


@pytest.mark.parametrize("model", ["qwen2_5_vl", "llava"])
def test_two_processes_train_the_parameters_of_one(model, by_two_processes):
    """LLaVA's tower has a layer that gets no gradient."""
    one, two = by_two_processes[model]
    assert rollouts(two)["mean_logprob"].to_numpy() == pytest.approx(rollouts(one)["mean_logprob"].to_numpy(), abs=2e-4)
    moved = distance(weights(one), base_weights(one))
    assert moved > 0.05
    assert distance(weights(one), weights(two)) < 0.01 * moved


def test_images_are_in_memory_for_one_batch_and_made_once(small_vision_run, monkeypatch):
    run = small_vision_run(
        "llava", "lazy", "train.num_steps=2", "train.validate_every=0", "hardware.per_device_batch_size=4"
    )
    trainer = build_trainer(run, problem_sets(run.config))
    made, prompt = [], trainer._task.prompt
    monkeypatch.setattr(trainer._task, "prompt", lambda problem: made.append(str(problem["id"])) or prompt(problem))
    trainer.train()
    assert made == rollouts(run).drop_duplicates(["step", "prompt_id"])["prompt_id"].tolist()
    assert len(made) == 8
    assert trainer.train_dataset.column_names == ["problem_id"]
    assert not hasattr(trainer._batch, "prompts_n")
    kept = trainer._logs["prompt"]
    assert len(kept) == 16
    assert [image for prompt in kept for image in images_in(prompt) if image is not None] == []


def test_images_that_are_more_tokens_than_a_prompt_may_have(small_vision_run):
    """56 × 112 pixels are 8 tokens to this model; the row is that of problem 2."""
    run = small_vision_run("qwen2_5_vl", "budget", "train.max_prompt_length=7")
    message = (
        "problem '2' of 'train': its images are 8 tokens to the model, more than train.max_prompt_length = 7 allow. "
        "Lower task.max_pixels, or scale the images down"
    )
    with pytest.raises(ValueError, match=message) as error:
        execute(run.path)
    assert "\n" not in str(error.value)
    assert not (run.path / "checkpoints").exists()


def test_images_that_are_more_tokens_than_the_model_has_positions(room, small_vision_run):
    path = room / "models" / "qwen2_5_vl" / "config.json"
    text = path.read_text()
    config = json.loads(text)
    config["text_config"]["max_position_embeddings"] = 11
    path.write_text(json.dumps(config))
    try:
        run = small_vision_run("qwen2_5_vl", "positions")  # a run knows its model by what it holds
        with pytest.raises(
            ValueError, match=r"problem '4' .* 12 tokens to the model, more than the model's positions = 11"
        ):
            execute(run.path)
    finally:
        path.write_text(text)


def test_a_model_that_reads_text_alone_is_refused_images(room):
    config = vision_config(room / "text", room / "models" / "llava")
    nano = {"model": {"path": "nano", "dtype": "float32"}, "model_fingerprint": fingerprint_model("nano")}
    run_dir = runs.create_run(config | nano)
    with pytest.raises(ValueError, match=r"have images, and the model at model\.path reads text alone. Choose"):
        execute(run_dir)
