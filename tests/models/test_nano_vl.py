"""The nano_vl model: what ships is a vision-language model that knows its task by half, and can be made again."""

import random

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

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
from agrae_lab.tasks.shapes import SIDE, TASK, random_problems, solve

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


def test_a_prompt_has_a_token_for_each_merged_patch_of_its_picture(nano_vl):
    processor = nano_vl[1]
    inputs = encode_prompt(processor, TASK.prompt(next(random_problems(random.Random(0)))))
    tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    assert tokens.count(IMAGE) == (SIDE // (PATCH * MERGE)) ** 2 == 16
    assert inputs["image_grid_thw"].tolist() == [[1, SIDE // PATCH, SIDE // PATCH]]
    asked = processor.tokenizer.decode(inputs["input_ids"][0]).replace(IMAGE, "")
    assert asked.startswith("<|im_start|><|vision_start|><|vision_end|>count ")
    assert asked.endswith("<|im_end|>\n<|im_start|>")


def test_pictures_of_other_sizes_keep_within_the_pixel_budget(nano_vl):
    processor = nano_vl[1]
    for size in ((10, 10), (300, 200), (2000, 1500)):
        grid = processor.image_processor(images=[Image.new("RGB", size)], return_tensors="pt")["image_grid_thw"][0]
        assert SIDE**2 <= int(grid.prod()) * PATCH**2 <= 16 * SIDE**2


def test_the_lesson_is_the_solution_and_its_end_alone(nano_vl):
    processor = nano_vl[1]
    problems = [next(random_problems(random.Random(seed))) for seed in range(3)]
    batch = encode(problems, processor)
    for row, problem in zip(batch["labels"], problems, strict=True):
        taught = processor.tokenizer.decode(row[row != -100])
        assert taught == solve(problem["problem"], problem["scene"]) + EOS
    assert batch["pixel_values"].shape[0] == 3 * (SIDE // PATCH) ** 2


@torch.no_grad()
def success_rates(model, processor, task, *, num_samples):
    """p of each test problem, of plain sampling."""
    rates = []
    torch.manual_seed(0)
    for problem in load_problems(task, "test", limit=60):
        inputs = encode_prompt(processor, task.prompt(problem))
        settings = {"do_sample": True, "top_k": 0, "num_return_sequences": num_samples, "max_new_tokens": 12}
        ids = model.generate(**inputs, **settings)[:, inputs["input_ids"].shape[1] :]
        texts = processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
        rates.append(sum(task.verify(text, problem).correct for text in texts) / num_samples)
    return torch.tensor(rates)


def test_it_knows_its_task_by_half_and_looks_at_the_picture(nano_vl):
    rates = success_rates(*nano_vl, TASK, num_samples=32)
    assert 0.25 < rates.mean() < 0.6
    assert ((rates > 0) & (rates < 1)).float().mean() > 0.6  # where a group of completions can teach anything
    assert rates.std() > 0.2
    assert (rates > 0).float().mean() > rates.mean() + 0.3  # Pass@32 well above Pass@1
    strange = success_rates(*nano_vl, load_task("shapes_strange"), num_samples=32)
    assert 0.05 < strange.mean() < rates.mean()


def test_making_it_twice_gives_the_same_weights(tmp_path):
    for name in ("once", "twice"):
        make(tmp_path / name, num_steps=2)
    once, twice = (load_file(tmp_path / name / "model.safetensors") for name in ("once", "twice"))
    assert all(torch.equal(once[key], twice[key]) for key in once | twice)
    shipped = load_file(PATH / "model.safetensors")
    assert {key: value.shape for key, value in once.items()} == {key: value.shape for key, value in shipped.items()}
    assert {path.name for path in (tmp_path / "once").iterdir()} == {path.name for path in PATH.iterdir()}
