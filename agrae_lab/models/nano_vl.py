"""Train the nano_vl model, a 0.35M-parameter Qwen2.5-VL over single characters and images of 64 × 64 pixels.

It learns to answer the questions of the task shapes, and training stops while it is often wrong, like a base model in
RLVR: success rates spread over 0 to 1, and more samples find more right answers. Training takes about three minutes on
one core and replaces the shipped checkpoint unless --path says otherwise.

examples:
  python -m agrae_lab.models.nano_vl
  python -m agrae_lab.models.nano_vl --path models/nano_vl --num-steps 100 --seed 1
"""

from __future__ import annotations

import json
import random
import string
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from agrae_lab.models.imitation import fit, run_command
from agrae_lab.models.load import load_processing
from agrae_lab.tasks import Problem
from agrae_lab.tasks.encoding import images_in
from agrae_lab.tasks.vision.shapes import SIDE, TASK, content, make_files, random_problems, solve

PATH = Path(__file__).parent / "nano_vl"
PAD, UNKNOWN, START, EOS = "<|endoftext|>", "<|unknown|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END, IMAGE, VIDEO = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"
SPECIAL = (PAD, UNKNOWN, START, EOS, VISION_START, VISION_END, IMAGE, VIDEO)
CHARACTERS = string.digits + string.ascii_letters + string.punctuation + " \n"
# Qwen's template without the names of roles, which would be a third of a prompt's single-character tokens
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for block in message.content %}"
    "{% if block.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif block.type == 'text' %}{{ block.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>{% endif %}"
)
PATCH, MERGE, FRAMES = 8, 2, 2
IMAGE_PROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessor",  # transformers chooses its form on torchvision or PIL
    "processor_class": "Qwen2_5_VLProcessor",
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "min_pixels": SIDE * SIDE,
    "max_pixels": 16 * SIDE * SIDE,
    "patch_size": PATCH,
    "merge_size": MERGE,
    "temporal_patch_size": FRAMES,
}
SEED = 0
INITIAL_STD = 0.06  # of the weights; so narrow a model learns more slowly with transformers' 0.02
NUM_STEPS, WARM_UP_STEPS, BATCH_SIZE, LEARNING_RATE = 400, 100, 64, 3e-3


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per character, and the tokens of Qwen2.5-VL's processor and chat template."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *CHARACTERS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        unk_token=UNKNOWN,
        eos_token=EOS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def make_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    ids = tokenizer.get_vocab()
    hidden, heads = 96, 4
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 4, 4]},
        "initializer_range": INITIAL_STD,
        "tie_word_embeddings": True,
        "pad_token_id": ids[PAD],
        "bos_token_id": None,
        "eos_token_id": ids[EOS],
    }
    vision = {
        "depth": 2,
        "initializer_range": INITIAL_STD,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_heads": 2,
        "out_hidden_size": hidden,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": FRAMES,
        "fullatt_block_indexes": [0, 1],
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids[IMAGE],
        video_token_id=ids[VIDEO],
        vision_start_token_id=ids[VISION_START],
        vision_end_token_id=ids[VISION_END],
        tie_word_embeddings=True,
    )


def imitate(model: Qwen2_5_VLForConditionalGeneration, processor: Any, *, num_steps: int, rng: random.Random) -> None:
    """Train `model` in place to predict lessons of random problems, shipped problems left out."""
    shipped = {content(p) for problems in make_files().values() for p in problems}
    fresh = (p for p in random_problems(rng) if content(p) not in shipped)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=WARM_UP_STEPS)
    batches = (encode([next(fresh) for _ in range(BATCH_SIZE)], processor) for _ in range(num_steps))
    fit(model, batches, optimizer=optimizer, schedule=schedule, num_steps=num_steps)


def encode(problems: Sequence[Problem], processor: Any) -> dict[str, Tensor]:
    """Return left-padded prompts + lessons and the images' patches; the loss counts the lesson only."""
    tokenizer, prompts = processor.tokenizer, [TASK.prompt(p) for p in problems]
    lessons = [lesson(p) for p in problems]
    texts = tokenizer.apply_chat_template(prompts, tokenize=False, add_generation_prompt=True)
    inputs = processor(
        text=[text + lesson for text, lesson in zip(texts, lessons, strict=True)],
        images=[image for prompt in prompts for image in images_in(prompt)],
        padding=True,
        return_tensors="pt",
    )
    width = inputs["input_ids"].shape[1]
    lengths = torch.tensor([len(tokenizer.encode(lesson)) for lesson in lessons])
    is_lesson = torch.arange(width) >= width - lengths[:, None]
    return {**inputs, "labels": inputs["input_ids"].masked_fill(~is_lesson, -100)}


def lesson(problem: Problem) -> str:
    """Return the solution and, in a second turn, the whole scene, which teaches the model to see within minutes."""
    solution = solve(problem["problem"], problem["scene"])
    return f"{solution}{EOS}\n{START}read{EOS}\n{START}{problem['scene']}{EOS}"


def make(path: Path, *, num_steps: int = NUM_STEPS, seed: int = SEED) -> None:
    """Train the nano_vl model from random weights and write checkpoint, tokenizer and image processor to `path`."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = Qwen2_5_VLForConditionalGeneration(make_config(tokenizer))
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    with tempfile.TemporaryDirectory() as place:  # so that an interrupted training leaves `path` as it was
        _save(model, tokenizer, Path(place))
        processor = load_processing(place)
    imitate(model, processor, num_steps=num_steps, rng=random.Random(seed))
    _save(model, tokenizer, path)


def _save(model: Qwen2_5_VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps(IMAGE_PROCESSOR, indent=2) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)  # more threads would change the order of sums, and the last bits of the weights
    run_command(make, __doc__, path=PATH, num_steps=NUM_STEPS, seed=SEED)
