"""Train the nano model, a 0.10M-parameter Qwen2 over single characters, on Countdown expressions.

It knows the form of an answer and is sometimes right, like a base model in RLVR: Pass@1 is low, Pass@256 near 1, and
success rates spread over 0 to 1. Training takes about five minutes on one core and replaces the shipped checkpoint
unless --path says otherwise.

examples:
  python -m agrae_lab.models.nano
  python -m agrae_lab.models.nano --path models/nano --num-steps 100 --seed 1
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from agrae_lab.models.imitation import fit, run_command, save
from agrae_lab.tasks.base import Problem
from agrae_lab.tasks.text.countdown import TASK, make_splits, random_solved_problems

PATH = Path(__file__).parent / "nano"
CHARACTERS = "0123456789+-*()=:"
PAD, EOS = "<pad>", "<eos>"
SEED = 0
NUM_STEPS, BATCH_SIZE, LEARNING_RATE = 2000, 256, 3e-3


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per character; PAD = 0, EOS = 1."""
    vocabulary = {token: i for i, token in enumerate([PAD, EOS, *CHARACTERS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=EOS,
        padding_side="left",
        model_max_length=64,
        clean_up_tokenization_spaces=False,
    )


def make_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )


def imitate(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, *, num_steps: int, rng: random.Random) -> None:
    """Train `model` in place to predict solutions of random problems, those of tuning and test left out."""
    splits = make_splits()
    pairs = unseen_pairs(random_solved_problems(rng), splits["tune"] + splits["test"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=num_steps)
    batches = (encode_pairs(tokenizer, [next(pairs) for _ in range(BATCH_SIZE)]) for _ in range(num_steps))
    fit(model, batches, optimizer=optimizer, schedule=schedule, num_steps=num_steps)


def unseen_pairs(solved: Iterator[tuple[Problem, str]], held_out: Sequence[Problem]) -> Iterator[tuple[str, str]]:
    """Yield prompt and solution of each solved problem that is not among `held_out`."""
    keys = {(p["digits"], p["target"]) for p in held_out}
    return ((TASK.prompt(p), solution) for p, solution in solved if (p["digits"], p["target"]) not in keys)


def encode_pairs(tokenizer: PreTrainedTokenizerFast, pairs: Sequence[tuple[str, str]]) -> dict[str, torch.Tensor]:
    """Return left-padded prompts + solutions + EOS; the loss counts solution and EOS only."""
    ids = [[*tokenizer.encode(prompt + solution), tokenizer.eos_token_id] for prompt, solution in pairs]
    width = max(map(len, ids))
    input_ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in ids])
    labels = input_ids.clone()
    for row, (_, solution) in enumerate(pairs):
        labels[row, : width - len(solution) - 1] = -100
    return {
        "input_ids": input_ids,
        "attention_mask": (input_ids != tokenizer.pad_token_id).long(),
        "labels": labels,
    }


def make(path: Path, *, num_steps: int = NUM_STEPS, seed: int = SEED) -> None:
    """Train the nano model from random weights and write checkpoint and tokenizer to `path`."""
    torch.set_num_threads(1)  # another number changes the last bits
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = Qwen2ForCausalLM(make_config(tokenizer))
    imitate(model, tokenizer, num_steps=num_steps, rng=random.Random(seed))
    save(model, tokenizer, path)


if __name__ == "__main__":
    run_command(make, __doc__, path=PATH, num_steps=NUM_STEPS, seed=SEED)
