"""Vision-language models by name: what is loaded, what is saved with them, what they need of memory."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, Qwen2_5_VLConfig
from trl.trainer.utils import add_fused_lm_head

from agrae_lab.models.load import fingerprint_model, load_config, load_model, load_processing, local_path
from agrae_lab.models.memory import Workload, estimate, floor, measure
from agrae_lab.models.vision import model_class, reads_images
from agrae_lab.tasks.encoding import collate, encode, images_in, map_images, tokenizer_of
from agrae_lab.tasks.prompts import render
from tests.models.tiny_vision import MODELS, SIDE

without_torchvision = pytest.mark.skipif(find_spec("torchvision") is not None, reason="the stock processor is used")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder of the tiny models, by name."""
    root = tmp_path_factory.mktemp("models")
    for name, make in MODELS.items():
        make(root / name)
    return root


def image(seed, width=SIDE, height=SIDE):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def message(text, *images):
    blocks = [{"type": "image", "image": one} for one in images]
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": text}]}]


PROMPTS = [
    message("how many", image(0)),
    message("how", image(1), image(2, 2 * SIDE, SIDE)),
    message("what is in this", image(3, 70, 60)),
]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_loaded_with_its_processor(name, models):
    model, processing = load_model(str(models / name), dtype="float32")
    assert reads_images(model.config)
    assert processing.tokenizer.padding_side == "left"
    assert processing.tokenizer.pad_token == "<pad>"
    assert tokenizer_of(processing) is processing.tokenizer
    assert model.config.model_type == name


def test_a_model_for_text_is_loaded_as_ever():
    model, tokenizer = load_model("nano", dtype="float32")
    assert type(model).__name__ == "Qwen2ForCausalLM"
    assert tokenizer_of(tokenizer) is tokenizer
    assert not reads_images(model.config)


def test_a_name_that_is_nothing_is_told_what_ships():
    with pytest.raises(ValueError, match="Give 'nano', 'nano_vl', a model directory, or a Hub name"):
        local_path("nanovl")


@without_torchvision
def test_a_processor_saved_without_video_support_is_the_stock_one_to_others(models, tmp_path):
    """Its files name the stock class, and hold what transformers makes the video processor from elsewhere."""
    processing = load_processing(str(models / "qwen2_5_vl"))
    assert not hasattr(processing, "video_processor")
    processing.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "processor_config.json").read_text())
    assert saved["processor_class"] == "Qwen2_5_VLProcessor"
    assert saved["image_processor"]["image_processor_type"] == "Qwen2VLImageProcessor"
    assert (tmp_path / "preprocessor_config.json").is_file()
    (tmp_path / "config.json").write_text((models / "qwen2_5_vl" / "config.json").read_text())
    again = load_processing(str(tmp_path))
    assert again.to_dict() == processing.to_dict()
    assert again.chat_template == processing.chat_template
    with pytest.raises((ImportError, ValueError), match=r"(?i)torchvision"):
        AutoProcessor.from_pretrained(tmp_path)


@without_torchvision
def test_a_processor_that_needs_more_than_there_is_says_so(models, tmp_path):
    if find_spec("num2words") is not None:
        pytest.skip("num2words is installed")
    config = json.loads((models / "idefics3" / "config.json").read_text()) | {"model_type": "smolvlm"}
    config["vision_config"]["model_type"] = "smolvlm_vision"
    for file in (models / "idefics3").iterdir():
        text = file.read_bytes().replace(b"Idefics3", b"SmolVLM")
        (tmp_path / file.name).write_bytes(text)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"needs a package that is not installed: Package `num2words`") as told:
        load_processing(str(tmp_path))
    assert "\n" not in str(told.value)


def test_a_fingerprint_knows_the_processors_files(models, tmp_path):
    for file in (models / "llava").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    before = fingerprint_model(str(tmp_path))
    template = tmp_path / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    middle = fingerprint_model(str(tmp_path))
    settings = tmp_path / "processor_config.json"
    settings.write_text(settings.read_text().replace("56", "28"))
    assert len({before, middle, fingerprint_model(str(tmp_path))}) == 3


@pytest.mark.parametrize("name", MODELS)
def test_prompts_encoded_one_by_one_are_the_processors_batch(name, models):
    processing = load_processing(str(models / name))
    ours = collate([encode(processing, prompt) for prompt in PROMPTS], pad_token_id=0)
    options = {"padding": True, "return_tensors": "pt"}
    stock = processing.apply_chat_template(
        PROMPTS, tokenize=True, return_dict=True, add_generation_prompt=True, processor_kwargs=options
    )
    assert ours.keys() == stock.keys()
    assert all(torch.equal(ours[key], stock[key]) for key in stock)


@pytest.mark.parametrize(
    ("name", "tokens"), [("qwen2_5_vl", [4, 12, 4]), ("llava", [16, 32, 16]), ("idefics3", [4, 8, 4])]
)
def test_the_tokens_of_a_prompt_include_its_images(name, tokens, models):
    processing = load_processing(str(models / name))
    ids = render(processing, iter(PROMPTS))
    assert [row.count(2) for row in ids] == tokens
    text = render(processing, [message("how many")])[0]
    assert 2 not in text
    assert ids[0][-len(text) :] == text


def test_text_without_images_is_read_in_every_form(models):
    processing = load_processing(str(models / "qwen2_5_vl"))
    plain = [{"role": "user", "content": "how many"}]
    assert render(processing, [plain]) == render(processing, [message("how many")])
    assert render(processing, ["how many="]) == render(processing, [plain])


def test_images_for_a_model_that_reads_text_alone():
    tokenizer = load_processing("nano")
    for read in (lambda: render(tokenizer, PROMPTS), lambda: encode(tokenizer, PROMPTS[0])):
        with pytest.raises(
            ValueError, match=r"have images, and the model at model\.path reads text alone. Choose a vis"
        ):
            read()


def test_images_are_found_and_replaced_in_order():
    assert len(images_in(PROMPTS[1])) == 2
    assert images_in("text") == images_in([{"role": "user", "content": "text"}]) == []
    widths = map_images(PROMPTS[1], lambda one: one.width)
    assert images_in(widths) == [SIDE, 2 * SIDE]
    assert all(isinstance(one, Image.Image) for one in images_in(PROMPTS[1]))
    assert map_images("text", len) == "text"


@pytest.mark.parametrize("name", MODELS)
def test_the_parameters_of_real_models(name, models):
    model, _ = load_model(str(models / name), dtype="float32")
    assert measure(model.config).parameters == model.num_parameters()


@pytest.mark.parametrize("name", MODELS)
def test_the_parameters_that_lora_trains(name, models):
    peft = pytest.importorskip("peft")
    model, _ = load_model(str(models / name), dtype="float32")
    adapters = peft.LoraConfig(r=3, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(model, adapters)
    size = measure(load_config(str(models / name)))
    assert 3 * size.adapted == sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert 0 < size.vision_adapted < size.adapted


def test_published_size_of_qwen2_5_vl_3b():
    """config.json on the Hub, as far as it sizes the model; parameters as its weights' index states them."""
    text = {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "vocab_size": 151936}
    text |= {"num_attention_heads": 16, "num_key_value_heads": 2, "tie_word_embeddings": True}
    vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)
    assert measure(config).parameters == 3_754_622_976
    work = Workload(1024, 2048, micro_batch=4, sampled_at_once=0)
    assert floor(estimate(config, work)) == 16 * 3_754_622_976


def kept_by_autograd(model, batch):
    """Bytes of the different storages that a forward pass of the trainer's kind keeps for its backward pass."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # the tensor is held, so that no address repeats
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        model(**batch, labels=batch["input_ids"], fused_lm_head=True)
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_activations_of_the_part_for_images_are_about_what_autograd_keeps(name, checkpointing, models):
    """Of a tower of 16 blocks against 8, so that what comes before and after the blocks drops out."""
    processing = load_processing(str(models / name))
    batch = collate([encode(processing, PROMPTS[0])] * 4, pad_token_id=0)
    work = Workload(
        prompt_length=batch["input_ids"].shape[1],
        completion_length=0,
        micro_batch=4,
        sampled_at_once=0,
        gradient_checkpointing=checkpointing,
        num_pixel_values=batch["pixel_values"].numel() // 4,
    )
    measured, estimated = [], []
    for count in (8, 16):
        config = load_config(str(models / name))
        blocks = "depth" if hasattr(config.vision_config, "depth") else "num_hidden_layers"
        setattr(config.vision_config, blocks, count)
        model = model_class(config).from_config(config).train()
        add_fused_lm_head(model, outputs=("log_probs", "entropy"))
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        measured.append(kept_by_autograd(model, batch))
        estimated.append(estimate(config, work)["activations"])
    assert estimated[1] - estimated[0] == pytest.approx(measured[1] - measured[0], rel=0.4)


def test_the_images_of_a_step_wait_on_the_device(models):
    config = load_config(str(models / "llava"))
    work = Workload(32, 8, micro_batch=4, sampled_at_once=16, num_pixel_values=3 * SIDE**2, images_held=16)
    assert estimate(config, work)["images"] == 4 * 16 * 3 * SIDE**2
