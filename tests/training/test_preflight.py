"""Checks before a real model is trained, and the advice when memory runs out."""

import json
import logging
import shutil
import subprocess
import sys

import pytest
import torch

from agrae_lab import runs
from agrae_lab.config import ConfigError
from agrae_lab.lifecycle import execute
from agrae_lab.models.load import NANO, load_processing
from agrae_lab.models.memory import GIB, PERSISTENT, SAMPLING, TRAINING, Workload
from agrae_lab.tasks.prompts import render
from agrae_lab.tasks.text.countdown import TASK
from agrae_lab.training.memory_advice import LOWERS
from agrae_lab.training.preflight import check_fit, workload
from agrae_lab.training.session import _lost_process_as_connection_error
from sweeps.execution.failures import classify
from tests import forked
from tests.models.test_memory import SEVEN_B
from tests.training.conftest import SMALL, compose_config
from tests.training.test_runs_end_to_end import rollouts

FULL = Workload(1024, 3072, 4, 0, bfloat16=True, gradient_checkpointing=True, num_processes=8)
SHARDED = Workload(**(vars(FULL) | {"parameter_shards": 8, "optimizer_shards": 8}))


@pytest.fixture
def real_model(tmp_path):
    """Return the nano model's files under another name: a model that the project does not ship."""
    return shutil.copytree(NANO, tmp_path / "model")


def test_a_model_that_cannot_fit_is_refused():
    config = compose_config("model.path=owner/seven")
    message = (
        r"model.path 'owner/seven' needs 141.9 GiB on each device for parameters, gradients and optimiser alone, and "
        r"cuda:0 has 80.0 GiB; set model.lora, or spread the model over more devices with FSDP or DeepSpeed"
    )
    with pytest.raises(ValueError, match=message):
        check_fit(config, SEVEN_B, FULL, memory=80 * GIB, device="cuda:0")
    check_fit(config, SEVEN_B, SHARDED, memory=80 * GIB, device="cuda:0")


def test_a_tight_fit_is_warned_of_with_what_to_lower(caplog):
    config = compose_config()
    work = Workload(**(vars(SHARDED) | {"micro_batch": 32}))
    check_fit(config, SEVEN_B, work, memory=80 * GIB, device="cuda:0")
    assert "most of it for activations; lower hardware.per_device_batch_size, or set hard" in caplog.text
    caplog.clear()
    check_fit(
        config, SEVEN_B, Workload(**(vars(SHARDED) | {"sampled_at_once": 1024})), memory=80 * GIB, device="cuda:0"
    )
    assert "most of it for KV cache; set engine=vllm" in caplog.text


def test_every_row_of_the_memory_estimate_has_settings_that_lower_it(caplog):
    assert LOWERS.keys() == {*PERSISTENT, *TRAINING, *SAMPLING}
    work = Workload(**(vars(SHARDED) | {"num_pixel_values": 10**7, "images_held": 2 * 10**3}))
    check_fit(compose_config(), SEVEN_B, work, memory=80 * GIB, device="cuda:0")
    assert "most of it for images; lower task.max_pixels" in caplog.text


def test_a_group_that_the_kv_cache_cannot_hold_is_refused():
    config = compose_config("train.num_generations=1024")
    message = "a group of train.num_generations = 1024 completions of up to 4096 tokens .* lower train.num_generations"
    with pytest.raises(ValueError, match=message):
        check_fit(config, SEVEN_B, SHARDED, memory=80 * GIB, device="cuda:0")


def test_the_part_of_a_gpu_that_vllm_takes(caplog):
    """0.2 of 80 GiB holds the weights in bfloat16 (14.2 GiB) and 8 × 4096 tokens of KV cache (1.75 GiB)."""
    config = compose_config() | {"engine": "vllm"}
    config["hardware"] |= {"vllm": {"server": None, "gpu_memory": 0.2, "tensor_parallel": 1}}
    check_fit(config, SEVEN_B, SHARDED, memory=80 * GIB, device="cuda:0")
    config["hardware"]["vllm"]["gpu_memory"] = 0.19
    with pytest.raises(ValueError, match=r"and cuda:0 has 1\.0 GiB left for it; raise hardware\.vllm\.gpu_memory or"):
        check_fit(config, SEVEN_B, SHARDED, memory=80 * GIB, device="cuda:0")
    config["hardware"]["vllm"]["tensor_parallel"] = 2
    check_fit(config, SEVEN_B, SHARDED, memory=80 * GIB, device="cuda:0")
    assert not caplog.records
    config["hardware"]["vllm"]["gpu_memory"] = 0.9
    with pytest.raises(
        ValueError, match=r"needs 14\.2 GiB on each device .* cuda:0 has 8\.0 GiB beside vLLM; set model"
    ):
        check_fit(config, SEVEN_B, SHARDED, memory=80 * GIB, device="cuda:0")


def test_the_workload_of_a_config(monkeypatch):
    config = compose_config("loss.kl_coefficient=0.1", "hardware.per_device_batch_size=32", "model.dtype=bfloat16")
    work = workload(config, prompt_length=10)
    assert (work.micro_batch, work.sampled_at_once, work.max_length) == (32, 512, 24)
    assert work.reference_model
    assert not work.bfloat16  # on a CPU
    monkeypatch.setenv("WORLD_SIZE", "4")
    work = workload(config, prompt_length=10)
    assert (work.sampled_at_once, work.num_processes, work.parameter_shards) == (128, 4, 1)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert workload(config, prompt_length=10).parameter_shards == 4
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    work = workload(config, prompt_length=10)
    assert (work.parameter_shards, work.optimizer_shards) == (1, 4)
    monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3")
    assert workload(config, prompt_length=10).parameter_shards == 4


def test_a_real_model_run_begins_with_its_estimate(small_run, real_model, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="agrae_lab")
    run = small_run(f"model.path={real_model}", "train.num_steps=1", "train.max_completion_length=56", root=tmp_path)
    assert run.status == "done"
    before, _, after = caplog.text.partition("memory, estimated for one device:")
    assert "parameters" in after
    assert "available on the CPU" in after
    assert "evaluate base" not in before
    assert (
        "train.max_completion_length = 56 and a prompt of 9 tokens (train) exceed the model's 64 positions"
        in caplog.text
    )


def with_padding_of_its_own(model):
    tokenizer = load_processing("nano")
    tokenizer.add_tokens("<new>", special_tokens=True)
    tokenizer.pad_token = "<new>"
    tokenizer.save_pretrained(model)


def without_a_vocabulary(model):
    (model / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (with_padding_of_its_own, r"pads or ends with '<new>', its token \d+, and the model has the tokens 0 to"),
        (without_a_vocabulary, r"prompts of task 'countdown' are no tokens at all to the tokenizer at model\.path"),
    ],
)
def test_a_tokenizer_that_is_not_the_models(real_model, tmp_path, damage, message):
    damage(real_model)
    run_dir = runs.create_run(compose_config(f"root={tmp_path}/runs", f"model.path={real_model}", *SMALL))
    with pytest.raises(ConfigError, match=message):
        execute(run_dir)


def test_problems_that_are_gone_when_the_run_begins(tmp_path):
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps({"id": i, "digits": "12", "target": 3}) + "\n" for i in range(8)))
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, f"task.train_file={file}"))
    file.unlink()
    with pytest.raises(ConfigError, match=r"problems\.jsonl does not exist"):
        execute(run_dir)


def test_a_gpu_that_is_not_there(tmp_path):
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, "hardware.device=cuda"))
    with pytest.raises(ValueError, match=r"hardware\.device: cuda, but torch sees no GPU here"):
        execute(run_dir)
    assert runs.read_run(run_dir).status == "failed"


OUT_OF_MEMORY = """
import contextlib, os, resource, sys
import agrae_lab.training.preflight
from agrae_lab.tasks.text.countdown import TASK
from agrae_lab.tasks.prompts import render
from agrae_lab.lifecycle import execute
for run_dir, megabytes in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (used + int(megabytes) * 2**20, hard))
    with contextlib.suppress(RuntimeError, MemoryError):
        execute(run_dir)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on a process' memory")
@pytest.mark.slow
def test_out_of_memory_says_what_to_lower_and_the_run_resumes(tmp_path):
    """2,048 completions need 800 MB of activations and 512 MB of logits in one update; 32,768 a KV cache of 1.8 GB."""
    common = [*SMALL, "train.num_steps=1", "train.num_minibatches=1", "train.validate_every=0"]
    update = ["train.num_prompts=256", "train.num_generations=8"]
    update_dir = runs.create_run(compose_config(f"root={tmp_path}", *common, *update))
    sampling = ["train.num_prompts=2048", "train.num_generations=16", "train.num_minibatches=32"]
    sampling_dir = runs.create_run(compose_config(f"root={tmp_path}", *common, *sampling))
    arguments = [str(sampling_dir), "1000", str(update_dir), "650"]  # the first run loads libraries too
    subprocess.run([sys.executable, "-c", OUT_OF_MEMORY, *arguments], check=True, timeout=240)
    advice = {
        update_dir: "to need less memory in training, lower hardware.per_device_batch_size (it was 2048), set hard",
        sampling_dir: "to need less memory in sampling (32768 completions side by side on each process), set engine",
    }
    for run_dir, words in advice.items():
        run = runs.read_run(run_dir)
        assert run.status == "failed"
        assert words in run.meta["error"]
        assert classify(1, run.meta["error"], run.status) == "oom"
    smaller = compose_config(f"root={tmp_path}", *common, *update, "hardware.per_device_batch_size=256")
    assert runs.create_run(smaller) == update_dir
    assert execute(update_dir) == "done"


COMMAND = """
import resource, sys
import agrae_lab.training.session
from agrae_lab.train import main
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 1000 * 2**20, resource.RLIM_INFINITY))
main()
"""


REFUSED = """
from trl import GRPOTrainer
from agrae_lab.train import main

def refuse(*arguments, **keywords):
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 1879048192 bytes. Error code 12 (Cannot allocate memory)"
    )

GRPOTrainer._generate_single_turn = refuse
main()
"""
MANY = ("train.num_prompts=2048", "train.num_generations=16", "train.num_minibatches=32")


@pytest.mark.parametrize(
    ("command", "sizes", "at_once"),
    [(REFUSED, (), 32), pytest.param(COMMAND, MANY, 32768, marks=pytest.mark.slow, id="limited")],
)
def test_out_of_memory_ends_the_command_with_a_sentence(tmp_path, command, sizes, at_once):
    """Torch's sentence from a CPU without memory; slowly, from a process that has a limit."""
    if command == COMMAND and sys.platform != "linux":
        pytest.skip("needs a limit on a process' memory")
    arguments = [f"root={tmp_path}", *SMALL, "train.num_steps=1", "train.validate_every=0", *sizes]
    result = forked.run("-c", command, *arguments)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("agrae_lab: out of memory (")
    assert (
        f"; to need less memory in sampling ({at_once} completions side by side on each process), set" in result.stderr
    )
    assert "Traceback" not in result.stderr


GLOO = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:6272"


@pytest.mark.parametrize("error", [RuntimeError(GLOO), torch.distributed.DistStoreError("1/2 clients joined")])
def test_an_error_of_communication_is_told_as_a_lost_process(error):
    with pytest.raises(ConnectionError, match="another process of this run"), _lost_process_as_connection_error():
        raise error


@pytest.mark.parametrize(
    "text", ["/home/igloo/model.bin: not a file", "/data/gloo/task.py: shape '[4]' is invalid", "gloo"]
)
def test_an_error_that_names_a_path_is_not_a_lost_process(text):
    with pytest.raises(RuntimeError, match=text.partition(":")[0]), _lost_process_as_connection_error():
        raise RuntimeError(text)


def test_overlong_prompts_are_left_out_and_counted(tmp_path, small_run):
    """The nano tokenizer has a token a character: half of the prompts are one too long."""
    rows = [f'{{"id": "{i}", "digits": "{"123"[: 2 + i % 2]}", "target": 3}}\n' for i in range(32)]
    (tmp_path / "problems.jsonl").write_text("".join(rows))
    tokens = [len(ids) for ids in render(load_processing("nano"), [TASK.prompt(json.loads(row)) for row in rows])]
    limit = f"train.max_prompt_length={min(tokens)}"
    assert sorted(set(tokens)) == [min(tokens), min(tokens) + 1]
    problems = f"task.train_file={tmp_path / 'problems.jsonl'}"
    run = small_run(problems, limit, "train.num_steps=2")
    assert run.meta["overlong_prompts"] == 16
    assert {int(i) % 2 for i in rollouts(run)["prompt_id"]} == {0}
    few = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, problems, limit, "train.num_prompts=32"))
    with pytest.raises(
        ConfigError, match=r"only 16 of 32 prompts .* have at most train.max_prompt_length = \d+ tokens"
    ):
        execute(few)
    assert not (tmp_path / "base").exists()  # nothing expensive had begun
