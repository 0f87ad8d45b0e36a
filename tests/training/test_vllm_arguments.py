"""Training with vLLM, composed only: what TRL's trainer would ask vLLM for, colocated or as a server."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import pytest
import torch
import trl.generation.vllm_generation as generation
import trl.trainer.grpo_trainer as grpo_trainer

from agrae_lab import runs
from agrae_lab.config import ConfigError, problem_sets
from agrae_lab.training.session import build_trainer
from agrae_lab.training.trl_config import trl_config
from agrae_lab.training.vllm_colocate import colocated_vllm_settings, sampling_stream
from tests.training.conftest import SMALL, compose_config

SERVER = "hardware.vllm.server='http://10.0.0.2:8000'"


def config_of(root, *words):
    return compose_config(f"root={root}", *SMALL, "engine=vllm", "hardware.per_device_batch_size=4", *words)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Return a function that builds the trainer of a run and returns what TRL's trainer hands to its vLLM."""
    made = []
    server = SimpleNamespace(get_server_info=lambda: {"model_config": {"logprobs_mode": "processed_logprobs"}})

    def note(**arguments):
        made.append(arguments)
        return SimpleNamespace(vllm_client=server)

    monkeypatch.setattr(grpo_trainer, "VLLMGeneration", note)
    monkeypatch.setattr(generation, "LLM", lambda **arguments: arguments, raising=False)

    def ask(*words):
        run = runs.read_run(runs.create_run(config_of(tmp_path, *words)))
        build_trainer(run, problem_sets(run.config))
        return made[-1]

    return ask


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_colocated_vllm_gets_the_runs_settings(asked, parallel):
    words = ("hardware.processes=2", f"hardware.vllm.tensor_parallel={parallel}", "hardware.vllm.gpu_memory=0.25")
    given = asked(*words, "model.dtype=bfloat16", "train.top_p=0.9", "train.temperature=0.7")
    assert given["mode"] == "colocate"
    assert given["server_base_url"] is None
    assert (given["tensor_parallel_size"], given["gpu_memory_utilization"]) == (parallel, 0.25)
    assert given["max_num_seqs"] == 32 * parallel  # 8 prompts × 4, here in one process, from each of the group
    assert (given["temperature"], given["top_p"], given["max_completion_length"]) == (0.7, 0.9, 14)
    assert given["generation_kwargs"] == {"stop_token_ids": [1]}


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_server_gets_its_address_and_spreads_the_model_itself(asked, parallel):
    """`trl vllm-serve --tensor-parallel-size`; the key here is that of the evaluation."""
    given = asked(SERVER, "hardware.processes=2", f"hardware.vllm.tensor_parallel={parallel}")
    assert given["mode"] == "server"
    assert given["server_base_url"] == "http://10.0.0.2:8000"
    assert given["tensor_parallel_size"] == 1
    assert given["generation_kwargs"] == {"stop_token_ids": [1]}


def test_processes_that_share_a_copy_of_the_model_draw_from_one_stream(tmp_path):
    """vLLM wants it so: the processes of a copy must sample the same tokens."""
    args = trl_config(config_of(tmp_path, "hardware.processes=4", "hardware.vllm.tensor_parallel=2"), tmp_path)
    assert (args.use_vllm, args.vllm_mode, args.vllm_tensor_parallel_size) == (True, "colocate", 2)

    def drawn(process):
        with sampling_stream(args, 3, process):
            return torch.rand(3).tolist()

    assert drawn(0) == drawn(1)
    assert drawn(2) == drawn(3)
    assert drawn(0) != drawn(2)


def test_no_two_draws_share_a_stream(tmp_path):
    """Also not those of other training seeds, rounds of dynamic sampling and processes."""
    args = trl_config(config_of(tmp_path), tmp_path)

    def drawn(seed, step, round_number, process):
        args.seed = seed
        with sampling_stream(args, step, process, round_number=round_number):
            return torch.randint(2**62, ()).item()

    streams = [drawn(*names) for names in product(range(9), range(1, 9), (1, 2), range(2))]
    assert len(set(streams)) == len(streams)


def test_a_model_is_not_spread_over_processes_that_do_not_divide(tmp_path):
    three = "hardware.vllm.tensor_parallel=3"
    for words in (("hardware.processes=4", three), (three,), ("hardware.processes=4", three, SERVER)):
        with pytest.raises(ConfigError, match=r"hardware\.vllm\.tensor_parallel: . does not divide the . processes"):
            config_of(tmp_path, *words)


def test_a_server_takes_no_settings_of_a_colocated_vllm(tmp_path, monkeypatch):
    monkeypatch.setattr(generation, "LLM", "as it was", raising=False)
    with colocated_vllm_settings(config_of(tmp_path, SERVER)):
        assert generation.LLM == "as it was"
