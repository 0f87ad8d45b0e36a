"""Train the micro model, a 7.4M-parameter Qwen2 over single characters, on Countdown with 4 to 6 digits.

The model of world=micro: made by this command, since it is too large to ship. It takes minutes on a GPU and a night on
a CPU; a killed command goes on from its last checkpoint.

examples:
  python -m agrae_lab.models.micro
  python -m agrae_lab.models.micro --path models/micro_1 --num-steps 20000 --seed 1
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset
from transformers import Qwen2Config, Qwen2ForCausalLM, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from agrae_lab.models.imitation import run_command, save
from agrae_lab.models.nano import encode_pairs, make_tokenizer, unseen_pairs
from agrae_lab.tasks.text.countdown import random_solved_problems
from agrae_lab.tasks.text.countdown_micro import NUM_DIGITS, TARGETS, splits

PATH = Path("models/micro")
SEED = 0
NUM_STEPS, BATCH_SIZE, LEARNING_RATE = 8000, 256, 1e-3
SIZES: dict[str, Any] = {"hidden_size": 320, "intermediate_size": 864, "num_hidden_layers": 6, "num_attention_heads": 5}


class Solutions(IterableDataset):
    """Prompts and solutions of random problems without end, those of tuning and test left out; the same each time."""

    def __init__(self, seed: int):
        self.seed = seed

    def __iter__(self) -> Iterator[tuple[str, str]]:
        solved = random_solved_problems(random.Random(self.seed), num_digits=NUM_DIGITS, targets=TARGETS)
        return unseen_pairs(solved, splits()["tune"] + splits()["test"])


def make(
    path: Path, *, num_steps: int = NUM_STEPS, seed: int = SEED, sizes: Mapping[str, Any] = SIZES, **settings: Any
) -> None:
    """Train the micro model from random weights, or from its last checkpoint, and write it to `path`.

    Args:
        sizes: the model's, by names of Qwen2Config.
        settings: of transformers.TrainingArguments, in place of those below.
    """
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        num_key_value_heads=sizes["num_attention_heads"],
        max_position_embeddings=64,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        **sizes,
    )
    model = Qwen2ForCausalLM(config)
    checkpoints = path / "checkpoints"
    arguments: dict[str, Any] = {
        "max_steps": num_steps,
        "per_device_train_batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "cosine",
        "warmup_steps": num_steps // 50,
        "weight_decay": 0.0,
        "bf16": torch.cuda.is_available(),
        "logging_steps": 50,
        "save_steps": 500,
        "save_total_limit": 1,
        "remove_unused_columns": False,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": seed,
    }
    trainer = Trainer(
        model=model,
        args=TrainingArguments(output_dir=str(checkpoints), **(arguments | settings)),
        train_dataset=Solutions(seed),
        data_collator=lambda pairs: encode_pairs(tokenizer, pairs),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    save(model, tokenizer, path)
    shutil.rmtree(checkpoints)


if __name__ == "__main__":
    run_command(make, __doc__, path=PATH, num_steps=NUM_STEPS, seed=SEED)
