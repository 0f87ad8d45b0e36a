"""Vision-language models of 0.1M parameters with random weights, one of each way in which images reach a model.

qwen2_5_vl   rows of patches, as many as the image's size asks for, and a grid that says how they lie
llava        a row a image, all of one size
idefics3     a row a prompt (the shape of SmolVLM), padded to the most images
"""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    CLIPImageProcessorPil,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

CHARACTERS = "0123456789+-*/=().,:;?!'^_{}$\\<> \nabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIDE = 56  # pixels; 4 × 4 patches
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
    "initializer_range": 0.2,  # large, so that what a image shows makes a difference
    "tie_word_embeddings": False,
}
VISION = {"hidden_size": 32, "intermediate_size": 64, "initializer_range": 0.2, "patch_size": 14}
TEMPLATE = (
    "{% for message in messages %}{% for block in message.content %}"
    "{% if block.type == 'image' %}IMAGE{% else %}{{ block.text }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}={% endif %}"
)


def tokenizer_with(*special: str) -> PreTrainedTokenizerFast:
    """One token a character; PAD = 0, EOS = 1."""
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", *special, *CHARACTERS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    names: dict[str, Any] = {"pad_token": "<pad>", "eos_token": "<eos>", "additional_special_tokens": list(special)}
    return PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **names)


def qwen2_5_vl(path: Path) -> None:
    tokenizer = tokenizer_with("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    tokenizer.chat_template = TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    vision = {"depth": 2, "num_heads": 2, "out_hidden_size": 32, "window_size": SIDE, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(
        text_config={**TEXT, "vocab_size": len(tokenizer), "rope_parameters": rope},
        vision_config={**VISION, **vision},
        image_token_id=2,
        video_token_id=3,
        vision_start_token_id=4,
        vision_end_token_id=5,
        bos_token_id=None,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    _save(Qwen2_5_VLForConditionalGeneration, config, tokenizer, path)
    Qwen2VLImageProcessorPil(min_pixels=SIDE**2, max_pixels=4 * SIDE**2).save_pretrained(path)


def llava(path: Path) -> None:
    tokenizer = tokenizer_with("<image>")
    vision = {"model_type": "clip_vision_model", "image_size": SIDE, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = LlavaConfig(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(tokenizer)},
        vision_config={**VISION, **vision},
        image_token_index=2,
        image_seq_length=16,
        vision_feature_layer=-2,  # the last layer of the tower is for nothing, as in the published models
    )
    _save(LlavaForConditionalGeneration, config, tokenizer, path)
    images = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    ).save_pretrained(path)


def idefics3(path: Path) -> None:
    tokenizer = tokenizer_with("<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>")
    config = Idefics3Config(
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(tokenizer)},
        vision_config={**VISION, "image_size": SIDE, "num_hidden_layers": 2, "num_attention_heads": 2},
        image_token_id=2,
        pad_token_id=0,
        scale_factor=2,
    )
    _save(Idefics3ForConditionalGeneration, config, tokenizer, path)
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}, do_image_splitting=False
    )
    Idefics3Processor(
        images, tokenizer, image_seq_len=4, chat_template=TEMPLATE.replace("IMAGE", "<image>")
    ).save_pretrained(path)


MODELS = {make.__name__: make for make in (qwen2_5_vl, llava, idefics3)}


def _save(family: Any, config: Any, tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    torch.manual_seed(0)
    model = family(config)
    with torch.no_grad():  # padding and special tokens, which are no text, are never drawn
        model.get_input_embeddings().weight[:, 0] = 10.0
        model.get_output_embeddings().weight[:, 0] = 0.0
        model.get_output_embeddings().weight[[0, *range(2, len(tokenizer) - len(CHARACTERS))], 0] = -50.0
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = 0, 1
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
