"""Check of the project on this machine's GPU, with its speed: `make gpu-check`, within ten minutes.

`python -m benchmarks.gpu_check [out=<file.json>] [size=full|tiny]`: tests/test_gpu.py; a bf16 training step of a
model of Qwen2.5-1.5B's shape with random weights, sampled by vLLM where it is installed, else by transformers; our
trainer against stock TRL on the same work. `size=tiny` tries the measuring part on any machine.

examples:
  python -m benchmarks.gpu_check
  python -m benchmarks.gpu_check size=tiny out=check.json
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.table import Table

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, freeze, problem_sets
from agrae_lab.models.load import load_processing
from agrae_lab.runs.packages import check_vllm
from agrae_lab.runs.provenance import provenance
from agrae_lab.training.session import build_trainer
from benchmarks.trainer_step import pair_quartiles, take_turns

# Dense bf16 peak, FLOP/s, by what the card's name contains (makers' data sheets; the SXM form where there are several).
PEAKS = {
    "B200": 2.25e15,
    "H200": 9.89e14,
    "H100": 9.89e14,
    "A100": 3.12e14,
    "L40S": 3.62e14,
    "4090": 1.65e14,
    "A10": 1.25e14,
}
SHAPES = {
    "full": {
        "model": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "vocab_size": 151936}
        | {"num_attention_heads": 12, "num_key_value_heads": 2},
        "prompts": 16, "length": 512, "part": 16, "steps": 6,
    },
    "tiny": {
        "model": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 128}
        | {"num_attention_heads": 2, "num_key_value_heads": 2},
        "prompts": 4, "length": 16, "part": 16, "steps": 4,
    },
}  # fmt: skip
GROUP = 8


def main(arguments: Sequence[str] = ()) -> int:
    """Run the check, print the table, write the figures as JSON; return 1 if a test failed, 2 without a GPU."""
    if {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0
    given = dict(argument.split("=", 1) for argument in arguments)
    size, out = given.get("size", "full"), Path(given.get("out", "gpu_check.json"))
    if size == "full" and not torch.cuda.is_available():
        print("torch finds no GPU on this machine. Run the check without one by size=tiny", file=sys.stderr)
        return 2
    tests_failed = size == "full" and run_tests() != 0
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), size=size)
    figures = {"date": date.today().isoformat(), "tests_failed": tests_failed, **figures, **provenance()}
    out.write_text(json.dumps(figures, indent=2, default=str) + "\n")
    show(figures)
    print(f"written to {out}")
    return int(tests_failed)


def run_tests() -> int:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/test_gpu.py"], check=False
    ).returncode


def measure(folder: Path, *, size: str) -> dict[str, Any]:
    """Return figures of a training step, and of our trainer against stock TRL."""
    model_path = save_random_model(folder / "model", SHAPES[size]["model"])
    engine = "vllm" if size == "full" and importlib.util.find_spec("vllm") else "transformers"
    figures: dict[str, Any] = {"card": card(), "size": size, "engine": engine}
    if engine == "vllm":
        figures["vllm"] = check_vllm()
    figures |= training_figures(config_for(folder / "alone", model_path, size, engine), size=size)
    # two vLLMs would not share one process, so this comparison samples with transformers
    ours, stock = take_turns(config_for(folder / "turns", model_path, size, "transformers"))
    figures["step_seconds"], figures["stock_step_seconds"] = statistics.median(ours), statistics.median(stock)
    figures["step_ratio"] = pair_quartiles(ours[1:], stock[1:])[1]
    return figures


def training_figures(config: dict[str, Any], *, size: str) -> dict[str, Any]:
    """Return tokens per second of sampling and training, share of the card's peak, peak memory."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    run = runs.read_run(runs.create_run(config))
    trainer = build_trainer(run, problem_sets(config))
    trainer.train()
    rows = pd.read_parquet(run.metrics_path)
    tokens, rows = rows["num_tokens"].diff().iloc[1:], rows.iloc[1:]  # recorded from the start; the first step warms up
    training = float((tokens / rows["seconds_training"]).median())
    flops = flops_per_token(trainer.model.config, length=SHAPES[size]["length"])
    peak = next((value for name, value in PEAKS.items() if name in card()), None)
    figures = {
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "completions_per_step": config["train"]["num_prompts"] * GROUP,
        "tokens_per_step": float(tokens.median()),
        "sampled_tokens_per_second": float((tokens / rows["seconds_sampling"]).median()),
        "trained_tokens_per_second": training,
        "training_flops_per_second": training * flops,
        "share_of_bf16_peak": None if peak is None else training * flops / peak,
        "peak_memory_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
    }
    del trainer
    return figures


def flops_per_token(config: Any, *, length: int) -> float:
    """Return useful FLOPs of forward and backward pass: 6 per weight, and 6·L·d·T of causal attention over T tokens.

    What gradient checkpointing computes again, the pass that scores the samples, and the optimiser are not useful work
    in this sense, though their time counts.
    """
    d, layers, inner = config.hidden_size, config.num_hidden_layers, config.intermediate_size
    kv = config.num_key_value_heads * d // config.num_attention_heads
    weights = layers * (2 * d * d + 2 * d * kv + 3 * d * inner) + d * config.vocab_size
    return 6.0 * weights + 6.0 * layers * d * length


def save_random_model(path: Path, sizes: dict[str, int]) -> Path:
    """Save a Qwen2 of these sizes with random weights, and the nano world's tokenizer, which reads its task."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = load_processing("nano")
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=True, **sizes, **special)).to(torch.bfloat16)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def config_for(root: Path, model: Path, size: str, engine: str) -> dict[str, Any]:
    shape = SHAPES[size]
    overrides = [f"root={root}", f"model.path={model}", "model.dtype=bfloat16", "advantage=a_grae", f"engine={engine}"]
    overrides += [f"train.num_steps={shape['steps']}", f"train.num_prompts={shape['prompts']}"]
    overrides += [f"train.num_generations={GROUP}", "train.num_minibatches=1", "train.learning_rate=1e-6"]
    overrides += [f"train.max_completion_length={shape['length']}", f"hardware.per_device_batch_size={shape['part']}"]
    overrides += ["train.checkpoint_every=1000", "train.validate_every=0"]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return freeze(compose("config", overrides=overrides))


def card() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def show(figures: dict[str, Any]) -> None:
    table = Table(title=f"{figures['card']}, {figures['date']}", show_header=False, box=None)
    for name, value in figures.items():
        if isinstance(value, (int, float, str)) and name not in ("card", "date"):
            table.add_row(name.replace("_", " "), f"{value:,.3g}" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
