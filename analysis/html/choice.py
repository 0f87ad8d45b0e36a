"""How the rows of a sample of completions are chosen: by seed, spread over prompts and outcomes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

RIGHT, WRONG, UNDECIDED = "right", "wrong", "undecided"

_OF_A_PROMPT = 8  # completions of one prompt, where it has so many: enough to see how much they differ


def spread(num_items: int, num_chosen: int) -> list[int]:
    """Positions of `num_chosen` of `num_items`, evenly spaced, the first and the last among them."""
    return sorted({round(x) for x in np.linspace(0, num_items - 1, min(num_items, num_chosen))}) if num_items else []


def outcome(correct: pd.Series, valid: pd.Series) -> pd.Series:
    """right, wrong, or undecided where the verifier could not decide."""
    known = np.where(correct.fillna(False).astype(bool), RIGHT, WRONG)
    return pd.Series(np.where(valid.fillna(False).astype(bool), known, UNDECIDED), index=correct.index)


def choose(rows: pd.DataFrame, num: int, *, seed: int) -> pd.DataFrame:
    """At most `num` rows, most wanted first: some prompts by seed, and of each as evenly of every outcome as there are.

    The order of prompts depends on the seed and their names alone, so that arms show the same ones. rows: prompt,
    sample, outcome.
    """
    return rows.iloc[chosen(rows["prompt"], rows["sample"], rows["outcome"], num, seed=seed)]


def chosen(prompt: pd.Series, sample: pd.Series, outcome: pd.Series, num: int, *, seed: int) -> np.ndarray:
    """Positions of the rows that `choose` takes, in its order."""
    codes, unique = pd.factorize(prompt.astype(str).to_numpy(dtype=object))
    keys = pd.util.hash_array(unique, hash_key=f"{seed:016d}"[-16:])
    order = np.lexsort((unique, keys))
    sizes = np.bincount(codes, minlength=len(unique))[order]
    enough = int(np.searchsorted(sizes.cumsum(), num)) + 1
    place = np.full(len(unique), -1)
    kept = order[: max(enough, -(-num // _OF_A_PROMPT))]
    place[kept] = np.arange(len(kept))
    rows = np.flatnonzero(place[codes] >= 0)
    rows = rows[np.argsort(sample.to_numpy()[rows], kind="stable")]
    some = pd.DataFrame({"place": place[codes[rows]], "outcome": outcome.to_numpy(dtype=object)[rows]})
    some["turn"] = some.groupby(["place", "outcome"], sort=False).cumcount()
    return rows[some.sort_values(["turn", "place", "outcome"], kind="stable").index.to_numpy()[:num]]


def clip(text: str, most: int) -> tuple[str, str, int]:
    """Beginning, end and how many characters between them are left out; a whole text is all beginning.

    The end is kept since that is where an answer stands.
    """
    if len(text) <= most:
        return text, "", 0
    tail = most // 3
    return text[: most - tail], text[len(text) - tail :], len(text) - most


def within(texts: pd.Series, budget: int) -> int:
    """How many of the texts, from the first, fit into so many bytes of JSON; at least one."""
    sizes = np.cumsum([len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) for text in texts])
    return max(1, int(np.searchsorted(sizes, budget, side="right")))
