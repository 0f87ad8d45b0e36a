r"""Prompt templates for mathematics, for training and evaluation alike, and what a tokenizer says of a prompt.

The instruction and the first two templates are those of the paper's code (its own fill-in of the chat formats, so that
a base model without a chat template gets the same prompt). No template holds a begin-of-text token: tokenizers add it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from agrae_lab.tasks.base import Problem, Task

P = TypeVar("P", bound=Problem)

INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."
CHAT = "chat"  # messages, rendered by the model's own chat template

_SYSTEM = "You are a helpful assistant."
TEMPLATES = {
    # Qwen2.5-Math in the paper; its code uses it for all models but Llama
    "qwen_boxed": (
        f"<|im_start|>system\n{_SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{{problem}}\n{INSTRUCTION}<|im_end|>\n<|im_start|>assistant\n"
    ),
    "llama": (
        f"<|start_header_id|>system<|end_header_id|>\n\n{_SYSTEM}<|eot_id|>"
        f"<|start_header_id|>user<|end_header_id|>\n\n{{problem}}\n{INSTRUCTION}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    ),
    # the format of DeepSeek-R1's distilled models, which want no system prompt and a thought that has begun
    "deepseek": f"<｜User｜>{{problem}}\n{INSTRUCTION}<｜Assistant｜><think>\n",
    CHAT: f"{{problem}}\n{INSTRUCTION}",
    "plain": f"{{problem}}\n{INSTRUCTION}\n",
}


def make_prompt(template: str, problem: str) -> str | list[dict[str, str]]:
    """The text, or for `chat` the messages, that the policy continues."""
    text = TEMPLATES[template].replace("{problem}", problem)  # not format(): problems are full of braces
    return [{"role": "user", "content": text}] if template == CHAT else text


def render(tokenizer: Any, prompts: Sequence[Any]) -> list[list[int]]:
    """The tokens of each prompt (all texts, or all messages) as the model will see them.

    Raises:
        ValueError: messages for a tokenizer that has no chat template.
    """
    if isinstance(prompts[0], str):
        return tokenizer(list(prompts))["input_ids"]
    if not getattr(tokenizer, "chat_template", None):
        others = ", ".join(name for name in TEMPLATES if name != CHAT)
        raise ValueError(
            f"the model at model.path has no chat template, which task.prompt_template = {CHAT} needs; "
            f"choose one of {others}"
        )
    texts = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def drop_overlong(problems: Sequence[P], task: Task, tokenizer: Any, *, max_length: int) -> tuple[list[P], int]:
    """The problems whose prompts have at most `max_length` tokens, in order, and how many were dropped.

    Raises:
        ValueError: none is left, or the tokenizer cannot render the prompts.
    """
    tokens = render(tokenizer, [task.prompt(problem) for problem in problems])
    kept = [problem for problem, ids in zip(problems, tokens, strict=True) if len(ids) <= max_length]
    if not kept:
        shortest = min(map(len, tokens))
        raise ValueError(
            f"no prompt of task {task.name!r} has at most {max_length} tokens, the shortest has {shortest}; "
            "raise train.max_prompt_length"
        )
    return kept, len(problems) - len(kept)
