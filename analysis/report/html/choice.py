"""Choice of a sample of completions: by seed, spread over prompts and outcomes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

RIGHT, WRONG, INVALID = "right", "wrong", "invalid"

_PER_PROMPT = 8  # completions: enough to see how much they differ


def spread(num_items: int, num_chosen: int) -> list[int]:
    """Return `num_chosen` positions among `num_items`, evenly spaced, with the first and the last."""
    return sorted({round(x) for x in np.linspace(0, num_items - 1, min(num_items, num_chosen))}) if num_items else []


def outcome(correct: pd.Series, valid: pd.Series) -> pd.Series:
    """Return the outcomes as a category: right, wrong, or invalid if the verifier gave no verdict."""
    right, has_verdict = (known.fillna(False).to_numpy(dtype=bool) for known in (correct, valid))
    codes = np.where(has_verdict, np.where(right, 0, 2), 1)
    outcomes = pd.Categorical.from_codes(codes.tolist(), categories=pd.Index([RIGHT, INVALID, WRONG]))
    return pd.Series(outcomes, index=correct.index)


def choose(rows: pd.DataFrame, num: int, *, seed: int) -> pd.DataFrame:
    """Return at most `num` rows in order of priority: some prompts, and of each prompt all outcomes in equal shares.

    The order of prompts depends only on the seed and their names, so that all arms show the same prompts.

    Args:
        rows: Columns prompt, sample, outcome.
    """
    prompt, outcomes = (rows[name].astype("category").cat for name in ("prompt", "outcome"))
    names = prompt.categories.astype(str).to_numpy(dtype=object)
    keys = pd.util.hash_array(names, hash_key=f"{seed:016d}"[-16:])
    codes = prompt.codes.to_numpy()
    order = np.lexsort((names, keys))
    order = order[np.isin(order, codes)]
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))[order]
    enough = int(np.searchsorted(sizes.cumsum(), num)) + 1
    wanted = order[: max(enough, -(-num // _PER_PROMPT))]
    place = np.full(len(names) + 1, -1)  # the last entry is for rows without a prompt
    place[wanted] = np.arange(len(wanted))
    at = np.flatnonzero(place[codes] >= 0)
    at = at[np.argsort(rows["sample"].to_numpy()[at], kind="stable")]
    some = pd.DataFrame({"place": place[codes[at]], "outcome": outcomes.codes.to_numpy()[at]})
    some["turn"] = some.groupby(["place", "outcome"], sort=False).cumcount()
    return rows.iloc[at[np.lexsort((some["outcome"], some["place"], some["turn"]))[:num]]]


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
