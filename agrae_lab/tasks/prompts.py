r"""Prompt templates for mathematics and images, the same in training and evaluation, and the lengths of prompts.

The instruction and the first two templates are those of the paper's code, which writes the chat formats out, so that a
base model without a chat template gets the same prompt. No template holds a begin-of-text token: tokenizers add it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

from jinja2 import TemplateError

from agrae_lab.tasks.base import Problem, Task
from agrae_lab.tasks.encoding import encode, images_in, tokenizer_of

P = TypeVar("P", bound=Problem)

INSTRUCTION = r"Please reason step by step, and put your final answer within \boxed{}."
CHAT = "chat"  # messages, rendered by the model's own chat template
# From verl's recipe for Geometry3K, the basis of the paper's code; the component `format` needs these tags.
VISUAL_INSTRUCTION = (
    "You FIRST think about the reasoning process as an internal monologue and then provide the final answer. "
    r"The reasoning process MUST BE enclosed within <think> </think> tags. The final answer MUST BE put in \boxed{}."
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # the names of choices

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
    # the format of DeepSeek-R1's distilled models: no system prompt, and a begun thought
    "deepseek": f"<｜User｜>{{problem}}\n{INSTRUCTION}<｜Assistant｜><think>\n",
    CHAT: f"{{problem}}\n{INSTRUCTION}",
    "plain": f"{{problem}}\n{INSTRUCTION}\n",
}


def make_prompt(template: str, problem: str) -> str | list[dict[str, str]]:
    """Return the prompt of a problem: a text, or for `chat` messages."""
    text = TEMPLATES[template].replace("{problem}", problem)  # not format(): problems are full of braces
    return [{"role": "user", "content": text}] if template == CHAT else text


def opens_thought(template: str) -> bool:
    """Return whether a template's prompts end within a thought, which a completion must close."""
    return TEMPLATES[template].rstrip().endswith("<think>")


def visual_text(problem: str, choices: Sequence[str] | None) -> str:
    """Return the text of a problem with images: problem with its image tags, choices by letter, instruction."""
    lines = [problem]
    if choices:
        letters = LETTERS[: len(choices)]
        in_image = list(choices) == list(letters)  # the image then shows the choices
        lines += ["Choices, of which the letter is the answer:"]
        lines += [f"({a})" if in_image else f"({a}) {choice}" for a, choice in zip(letters, choices, strict=True)]
    return "\n".join([*lines, VISUAL_INSTRUCTION])


def render(processing: Any, prompts: Iterable[Any]) -> list[list[int]]:
    """Return the tokens of each prompt (all texts, or all messages), image tokens included.

    Prompts are consumed one by one, so that only one prompt's images are in memory.

    Raises:
        ValueError: messages for a model without a usable chat template, or images for a text model.
    """
    tokenizer = tokenizer_of(processing)
    rest = iter(prompts)
    first = next(rest)
    prompts = chain([first], rest)
    if isinstance(first, str):
        return tokenizer(list(prompts))["input_ids"]
    if processing is not tokenizer or images_in(first):
        return [encode(processing, prompt)["input_ids"][0].tolist() for prompt in prompts]
    if not getattr(tokenizer, "chat_template", None):
        others = ", ".join(name for name in TEMPLATES if name != CHAT)
        raise ValueError(
            f"the model at model.path has no chat template, which task.prompt_template = {CHAT} needs. "
            f"Choose one of {others}"
        )
    try:
        texts = [tokenizer.apply_chat_template(p, tokenize=False, add_generation_prompt=True) for p in prompts]
    except TemplateError as error:  # a fault of the template, or messages that it refuses
        raise ValueError(
            f"the chat template of the model at model.path cannot be used for this task's prompts ({error}). Correct "
            f"it, or choose another task.prompt_template than {CHAT}"
        ) from error
    return tokenizer(texts, add_special_tokens=False)["input_ids"]


def drop_overlong(problems: Sequence[P], task: Task, processing: Any, *, max_length: int) -> tuple[list[P], int]:
    """Return the problems whose prompts have at most `max_length` tokens, in order, and the number dropped.

    Raises:
        ValueError: no problem is left, or the prompts cannot be rendered.
    """
    tokens = render(processing, (task.prompt(problem) for problem in problems))
    short = [problem for problem, ids in zip(problems, tokens, strict=True) if len(ids) <= max_length]
    if not short:
        shortest = min(map(len, tokens))
        raise ValueError(
            f"no prompt of task {task.name!r} has at most {max_length} tokens, the shortest has {shortest}. "
            "Raise train.max_prompt_length"
        )
    return short, len(problems) - len(short)
