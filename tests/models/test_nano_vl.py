"""The nano_vl model: what ships is a vision-language model that knows its task by half, and can be made again."""

import random

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from agrae_lab.evaluation.engines.base import Decoding
from agrae_lab.evaluation.engines.transformers import TransformersEngine
from agrae_lab.models.load import load_model
from agrae_lab.models.nano_vl import (
    CHARACTERS,
    EOS,
    IMAGE,
    MERGE,
    PAD,
    PATCH,
    PATH,
    SPECIAL,
    encode,
    make,
    make_config,
    make_tokenizer,
)
from agrae_lab.tasks import load_problems, load_task
from agrae_lab.tasks.encoding import encode as encode_prompt
from agrae_lab.tasks.vision.shapes import SIDE, TASK, random_problems, solve

MIB = 2**20


@pytest.fixture(scope="module")
def nano_vl():
    return load_model("nano_vl", dtype="float32")


def test_the_checkpoint_is_small_and_whole(nano_vl):
    model, processor = nano_vl
    assert (PATH / "model.safetensors").stat().st_size <= 2 * MIB
    assert 200_000 <= model.num_parameters() <= 500_000
    assert model.config.to_dict()["text_config"]["vocab_size"] == len(processor.tokenizer)
    tokenizer = make_tokenizer()
    assert processor.tokenizer.get_vocab() == tokenizer.get_vocab()
    assert processor.chat_template == tokenizer.chat_template
    made = make_config(tokenizer)
    for part in ("text_config", "vision_config"):
        ours, shipped = getattr(made, part).to_diff_dict(), getattr(model.config, part).to_diff_dict()
        assert {key: shipped[key] for key in ours if key in shipped} | {"dtype": None} == ours | {"dtype": None}


@pytest.mark.parametrize("text", [CHARACTERS, "count circles", "Find $x^2$,\nif {a} < 3!", "".join(SPECIAL)])
def test_tokens_are_characters_and_decode_to_them(nano_vl, text):
    tokenizer = nano_vl[1].tokenizer
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_what_the_tokenizer_does_not_know_is_one_unknown_token(nano_vl):
    tokenizer = nano_vl[1].tokenizer
    assert tokenizer.encode("aé∑") == [tokenizer.encode("a")[0], *[tokenizer.unk_token_id] * 2]
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.padding_side) == (PAD, EOS, "left")


def test_a_prompt_has_a_token_for_each_merged_patch_of_its_image(nano_vl):
    processor = nano_vl[1]
    inputs = encode_prompt(processor, TASK.prompt(next(random_problems(random.Random(0)))))
    tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    assert tokens.count(IMAGE) == (SIDE // (PATCH * MERGE)) ** 2 == 16
    assert inputs["image_grid_thw"].tolist() == [[1, SIDE // PATCH, SIDE // PATCH]]
    asked = processor.tokenizer.decode(inputs["input_ids"][0]).replace(IMAGE, "")
    assert asked.startswith("<|im_start|><|vision_start|><|vision_end|>count ")
    assert asked.endswith("<|im_end|>\n<|im_start|>")


def test_images_of_other_sizes_keep_within_the_pixel_budget(nano_vl):
    processor = nano_vl[1]
    for size in ((10, 10), (300, 200), (2000, 1500)):
        grid = processor.image_processor(images=[Image.new("RGB", size)], return_tensors="pt")["image_grid_thw"][0]
        assert SIDE**2 <= int(grid.prod()) * PATCH**2 <= 16 * SIDE**2


def test_the_lesson_follows_the_prompt_and_is_the_solution_then_the_scene(nano_vl):
    processor = nano_vl[1]
    problems = [next(random_problems(random.Random(seed))) for seed in range(3)]
    batch = encode(problems, processor)
    for ids, labels, problem in zip(batch["input_ids"], batch["labels"], problems, strict=True):
        solution, scene = solve(problem["problem"], problem["scene"]), problem["scene"]
        taught = processor.tokenizer.decode(labels[labels != -100])
        assert taught == f"{solution}<|im_end|>\n<|im_start|>read<|im_end|>\n<|im_start|>{scene}<|im_end|>"
        prompt = encode_prompt(processor, TASK.prompt(problem))["input_ids"][0]
        asked = ids[(labels == -100) & (ids != processor.tokenizer.pad_token_id)]
        assert asked.tolist() == prompt.tolist()
    assert batch["pixel_values"].shape[0] == 3 * (SIDE // PATCH) ** 2


def success_rates(nano_vl, task, *, shown_of=lambda i: i):
    """p of 36 test problems, of plain sampling; problem i with the image of problem `shown_of(i)`."""
    problems, num_samples = load_problems(task, "test", limit=36), 16
    prompts = []
    for i, problem in enumerate(problems):
        image = task.prompt(problems[shown_of(i)])[0]["content"][0]
        question = {"type": "text", "text": problem["problem"]}
        prompts += [[{"role": "user", "content": [image, question]}]] * num_samples
    decoding = Decoding(num_samples, temperature=1.0, top_p=1.0, max_new_tokens=12, batch_size=len(prompts), seed=0)
    texts = TransformersEngine(*nano_vl).sample(prompts, decoding, seeds=range(len(prompts))).texts
    verdicts = task.verify_all(texts, [p for p in problems for _ in range(num_samples)])
    return torch.tensor([float(v.correct) for v in verdicts]).view(-1, num_samples).mean(dim=1)


def test_it_knows_its_task_by_half(nano_vl):
    rates = success_rates(nano_vl, TASK)
    assert 0.3 < rates.mean() < 0.5
    assert ((rates > 0) & (rates < 1)).float().mean() > 0.7  # where a group of completions can teach anything
    assert rates.std() > 0.2
    assert (rates > 0).float().mean() > rates.mean() + 0.3  # Pass@16 well above Pass@1
    strange = success_rates(nano_vl, load_task("shapes_strange"))
    assert 0.05 < strange.mean() < rates.mean() - 0.1


def test_it_looks_at_the_image(nano_vl):
    blind = success_rates(nano_vl, TASK, shown_of=lambda i: (i + 3) % 36)  # kinds take turns: another of the same kind
    assert blind.mean() < success_rates(nano_vl, TASK).mean() - 0.1


def test_making_it_twice_gives_the_same_weights(tmp_path):
    for name in ("once", "twice"):
        make(tmp_path / name, num_steps=2)
    once, twice = (load_file(tmp_path / name / "model.safetensors") for name in ("once", "twice"))
    assert all(torch.equal(once[key], twice[key]) for key in once | twice)
    shipped = load_file(PATH / "model.safetensors")
    assert {key: value.shape for key, value in once.items()} == {key: value.shape for key, value in shipped.items()}
    assert {path.name for path in (tmp_path / "once").iterdir()} == {path.name for path in PATH.iterdir()}


def test_an_interrupted_training_leaves_the_checkpoint_as_it_was(tmp_path, monkeypatch):
    def interrupt(*arguments, **keywords):
        raise KeyboardInterrupt

    path = tmp_path / "nano_vl"
    make(path, num_steps=0)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    assert {"model.safetensors", "preprocessor_config.json", "tokenizer.json"} <= before.keys()
    monkeypatch.setattr("agrae_lab.models.nano_vl.imitate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(path, seed=1)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
