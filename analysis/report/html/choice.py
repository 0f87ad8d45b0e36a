"""Choice of a sample of completions: by seed, spread over prompts and outcomes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

RIGHT, WRONG, INVALID = "right", "wrong", "invalid"
OUTCOMES = (RIGHT, INVALID, WRONG)

_PER_PROMPT = 8  # completions: enough to see how much they differ


def spread(num_items: int, num_chosen: int) -> list[int]:
    """Return `num_chosen` positions among `num_items`, evenly spaced, with the first and the last."""
    return sorted({round(x) for x in np.linspace(0, num_items - 1, min(num_items, num_chosen))}) if num_items else []


def outcome_codes(correct_N: np.ndarray, valid_N: np.ndarray) -> np.ndarray:
    """Return the index in OUTCOMES of each completion's outcome, [N]."""
    return np.where(valid_N, np.where(correct_N, 0, 2), 1)


def choose(
    names: np.ndarray, prompt_N: np.ndarray, sample_N: np.ndarray, outcome_N: np.ndarray, num: int, *, seed: int
) -> np.ndarray:
    """Return at most `num` rows in order of priority: some prompts, and of each prompt all outcomes in equal shares.

    The order of prompts depends only on the seed and their names, so that all arms show the same prompts.

    Args:
        names: the prompts, each once.
        prompt_N: index of each row's prompt in `names`; negative for a row without a prompt, which is never chosen.
        sample_N: sample number of each row.
        outcome_N: outcome of each row, as a whole number below 8.
    """
    order = np.lexsort((names, pd.util.hash_array(names, hash_key=f"{seed:016d}"[-16:])))
    sizes = np.bincount(prompt_N[prompt_N >= 0], minlength=len(names))[order]
    order, sizes = order[sizes > 0], sizes[sizes > 0]
    enough = int(np.searchsorted(sizes.cumsum(), num)) + 1
    wanted = order[: max(enough, -(-num // _PER_PROMPT))]
    place = np.full(len(names) + 1, -1)  # the last entry is for rows without a prompt
    place[wanted] = np.arange(len(wanted))
    at = np.flatnonzero(place[prompt_N] >= 0)
    cell = 8 * place[prompt_N[at]] + outcome_N[at]  # a prompt's rows of one outcome take turns
    by_cell = np.lexsort((sample_N[at], cell))
    at, cell = at[by_cell], cell[by_cell]
    turn = np.arange(len(at)) - np.searchsorted(cell, cell)
    return at[np.lexsort((cell, turn))[:num]]


def clip(text: str, most: int) -> tuple[str, str, int]:
    """Return a text's beginning, its end, and the number of characters left out between them.

    A short text is all beginning. The end is kept because it holds the answer.
    """
    if len(text) <= most:
        return text, "", 0
    tail = most // 3
    return text[: most - tail], text[len(text) - tail :], len(text) - most


def within(texts: pd.Series, budget: int) -> int:
    """Return the number of leading texts that fit into `budget` bytes of JSON; at least one."""
    sizes = np.cumsum([len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) for text in texts])
    return max(1, int(np.searchsorted(sizes, budget, side="right")))
