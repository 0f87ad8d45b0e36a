"""The memory estimate against published sizes, real small models and what autograd really keeps."""

import errno
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config
from trl.trainer.utils import add_fused_lm_head

from agrae_lab.models.load import load_config, load_model
from agrae_lab.models.memory import FLOAT32, GIB, Workload, estimate, floor, is_out_of_memory, measure, peak, render

QWEN = {"num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064}
# config.json of each model on the Hub, as far as it sizes the model; parameters as its weights' index states them
PUBLISHED = {
    "Qwen2.5-Math-7B, DeepSeek-R1-Distill-Qwen-7B": (
        Qwen2Config(hidden_size=3584, intermediate_size=18944, num_hidden_layers=28, **QWEN),
        7_615_616_512,
    ),
    "Llama-3.2-3B-Instruct": (
        LlamaConfig(
            vocab_size=128256,
            hidden_size=3072,
            intermediate_size=8192,
            num_hidden_layers=28,
            num_attention_heads=24,
            num_key_value_heads=8,
            head_dim=128,
            tie_word_embeddings=True,
        ),
        3_212_749_824,
    ),
    "Qwen2.5-0.5B-Instruct": (
        Qwen2Config(
            vocab_size=151936,
            hidden_size=896,
            intermediate_size=4864,
            num_hidden_layers=24,
            num_attention_heads=14,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        ),
        494_032_768,
    ),
    "SmolLM2-135M-Instruct": (
        LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            tie_word_embeddings=True,
        ),
        134_515_008,
    ),
}
SEVEN_B = next(iter(PUBLISHED.values()))[0]
WORK = Workload(prompt_length=1024, completion_length=3072, micro_batch=4, sampled_at_once=0)


def small(family, *, layers=2, **settings):
    sizes = {"hidden_size": 96, "intermediate_size": 256, "num_attention_heads": 4, "num_key_value_heads": 2}
    return family(vocab_size=300, num_hidden_layers=layers, **(sizes | settings))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    config, parameters = PUBLISHED[name]
    assert measure(config).parameters == parameters


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", [LlamaConfig, Qwen2Config])
def test_the_parameters_of_real_models(family, tied):
    config = small(family, tie_word_embeddings=tied, num_key_value_heads=4)
    model = AutoModelForCausalLM.from_config(config)
    assert measure(config).parameters == sum(p.numel() for p in model.parameters())


def test_the_nano_models_parameters():
    model, _ = load_model("nano", dtype="float32")
    assert measure(load_config("nano")).parameters == model.num_parameters()


def test_the_parameters_that_lora_trains():
    peft = pytest.importorskip("peft")
    config = small(LlamaConfig)
    adapters = peft.LoraConfig(r=3, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(AutoModelForCausalLM.from_config(config), adapters)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert 3 * measure(config).adapted == trained
    work = Workload(16, 16, micro_batch=1, sampled_at_once=0, lora_rank=3)
    assert estimate(config, work)["optimiser"] == 8 * trained
    assert estimate(config, work)["parameters"] == 4 * model.num_parameters()


def kept_by_autograd(config, work):
    """Bytes of the different storages that a forward pass of the trainer's kind keeps for its backward pass."""
    model = AutoModelForCausalLM.from_config(config).train()
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    if work.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and tensor.shape != (300, 96):
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # the tensor is held, so that no address repeats
        return tensor

    ids = torch.randint(2, config.vocab_size, (work.micro_batch, work.max_length))
    labels = ids.clone()
    labels[:, : work.prompt_length] = -100
    mask = torch.ones_like(ids)
    mask[0, :5] = 0  # padding, without which attention has no mask to keep
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), torch.autocast("cpu", enabled=work.bfloat16):
        model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("family", [LlamaConfig, Qwen2Config])
def test_activations_are_what_autograd_keeps(family, bfloat16, checkpointing):
    """Of four layers against two, so that what comes before and after the layers drops out."""
    work = Workload(32, 96, 4, 0, bfloat16=bfloat16, gradient_checkpointing=checkpointing)
    two, four = (small(family, layers=n) for n in (2, 4))
    measured = kept_by_autograd(four, work) - kept_by_autograd(two, work)
    estimated = estimate(four, work)["activations"] - estimate(two, work)["activations"]
    if bfloat16 and not checkpointing:  # autocast's copies of the weights are kept with them
        size = measure(four).parameters - measure(two).parameters
        estimated += 2 * size
    assert estimated == pytest.approx(measured, rel=0.05)


def test_a_step_of_the_nano_model_keeps_what_the_estimate_says():
    config = load_config("nano")
    work = Workload(prompt_length=10, completion_length=14, micro_batch=64, sampled_at_once=0)
    assert estimate(config, work)["activations"] == pytest.approx(kept_by_autograd(config, work), rel=0.2)


def test_the_kv_cache_is_what_sampling_fills():
    model, _ = load_model("nano", dtype="float32")
    ids = torch.randint(2, 18, (5, 24))
    with torch.no_grad():
        cache = model(ids, use_cache=True).past_key_values
    filled = sum(FLOAT32 * (layer.keys.numel() + layer.values.numel()) for layer in cache.layers)
    work = Workload(prompt_length=10, completion_length=14, micro_batch=1, sampled_at_once=5)
    assert estimate(model.config, work)["KV cache"] == filled


def test_seven_billion_parameters_trained_in_full():
    """16 bytes a parameter: weights, gradients and two moments in float32."""
    table = estimate(SEVEN_B, WORK)
    assert floor(table) == 16 * 7_615_616_512
    assert floor(table) / GIB == pytest.approx(113.5, abs=0.1)
    sharded = estimate(SEVEN_B, replace(WORK, num_processes=8, parameter_shards=8, optimizer_shards=8))
    assert floor(sharded) == floor(table) // 8
    ddp = estimate(SEVEN_B, replace(WORK, num_processes=8))
    assert ddp["gradients"] == 2 * table["gradients"]


def test_what_saves_memory_saves_memory():
    table = estimate(SEVEN_B, replace(WORK, bfloat16=True))
    checkpointed = estimate(SEVEN_B, replace(WORK, bfloat16=True, gradient_checkpointing=True))
    assert checkpointed["activations"] < table["activations"] / 6
    assert table["activations"] < estimate(SEVEN_B, WORK)["activations"]
    lora = estimate(SEVEN_B, replace(WORK, bfloat16=True, lora_rank=64, gradient_checkpointing=True))
    assert floor(lora) < floor(table) / 6
    assert peak(lora) < 40 * GIB
    halved = estimate(SEVEN_B, replace(WORK, micro_batch=2))
    assert halved["activations"] == estimate(SEVEN_B, WORK)["activations"] // 2


def test_a_reference_model_is_counted():
    table = estimate(SEVEN_B, replace(WORK, reference_model=True))
    assert table["reference model"] == 4 * 7_615_616_512


def test_the_estimate_reads_as_a_table():
    text = render(estimate(SEVEN_B, WORK), available=80 * GIB, device="cuda:0")
    lines = text.splitlines()
    assert any(line.split()[:2] == ["parameters", "28.37"] for line in lines)
    assert lines[-1].split()[-2:] == ["80.00", "GiB"]
    assert "reference" not in text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("NCCL error: unhandled cuda error\nCuda failure 2 'out of memory'"), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("unable to mmap 64 bytes from file </m/model.safetensors>: Cannot allocate memory (12)"), True),
        (RuntimeError("PytorchStreamReader failed reading /runs/out of memory/model.bin"), False),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "out of memory.jsonl"), False),
        (ValueError("task file out of memory.jsonl does not exist"), False),
        (KeyError("out of memory"), False),
    ],
)
def test_errors_that_say_out_of_memory(error, expected):
    assert is_out_of_memory(error) is expected
