"""Checks of the inputs beside the rewards, before any link computes with them.

A wrong shape would broadcast, and a wrong value would turn advantages around or into NaN, both without a word.

Shapes: P prompts, G completions, T tokens.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

_TOKEN_FIELDS = ("entropies_PGT", "logprobs_PGT", "mask_PGT")


def check_context(context: Any, rewards_PG: Tensor, *, requires: frozenset[str]) -> None:
    """Check the shapes of all inputs given, and the values of those that enter the advantages.

    Args:
        context: a Context (estimator.py, which imports this file).
        requires: inputs that the estimator needs, out of estimator.INPUTS.

    Raises:
        ValueError: an input has another shape than the rewards ask for; ω or correctness is outside [0, 1]; a length is
            negative or not finite; a required input is NaN at a completion token.
    """
    _check_shapes(context, rewards_PG)
    if (omega := context.omega) is not None and not 0 <= float(omega) <= 1:  # NaN is not in it either
        raise ValueError(f"Context.omega is a mean accuracy and must lie in [0, 1], got {float(omega):g}")
    if context.correct_PG is not None:
        _check_correct(context.correct_PG, rewards_PG)
    if "lengths" in requires and (lengths_PG := context.lengths_PG) is not None:
        _check_all((lengths_PG >= 0) & (lengths_PG < math.inf), lengths_PG, "lengths_PG", "numbers of tokens, from 0")
    for field in ("entropies_PGT", "logprobs_PGT"):
        values_PGT = getattr(context, field)
        if field.removesuffix("_PGT") in requires and values_PGT is not None and context.mask_PGT is not None:
            is_fine_PGT = ~values_PGT.isnan() | (context.mask_PGT <= 0)
            _check_all(is_fine_PGT, values_PGT, field, "numbers at completion tokens, where the mask is 1")


def _check_shapes(context: Any, rewards_PG: Tensor) -> None:
    num_prompts, shape = len(rewards_PG), list(rewards_PG.shape)
    for field in ("correct_PG", "lengths_PG"):
        if (given := getattr(context, field)) is not None:
            _check_shape(given, shape, f"Context.{field}")
    for name, part in (context.parts or {}).items():
        _check_shape(part, shape, f"Context.parts[{name!r}]")
    tokens = {field: given for field in _TOKEN_FIELDS if (given := getattr(context, field)) is not None}
    for field, given in tokens.items():
        if given.ndim != 3 or list(given.shape[:2]) != shape:
            raise ValueError(
                f"Context.{field} must be [P, G, T], the rewards' {shape} and tokens, got {list(given.shape)}"
            )
    if len({given.shape[2] for given in tokens.values()}) > 1:
        shapes = ", ".join(f"{field} {list(given.shape)}" for field, given in tokens.items())
        raise ValueError(f"Context must have as many tokens in each of its fields, got {shapes}; pad them alike")
    if (prompts := context.prompts) is not None and len(prompts) != num_prompts:
        raise ValueError(f"Context.prompts must name the {num_prompts} prompts of the rewards, got {len(prompts)}")


def _check_shape(given: Tensor, shape: list[int], what: str) -> None:
    if list(given.shape) != shape:
        raise ValueError(f"{what} must have the shape of the rewards, {shape}, got {list(given.shape)}")


def _check_correct(correct_PG: Tensor, rewards_PG: Tensor) -> None:
    is_unit_PG = (correct_PG >= 0) & (correct_PG <= 1)
    remedy = "1 for a correct completion and 0 for any other, or NaN where the reward is NaN too"
    _check_all(is_unit_PG | rewards_PG.isnan(), correct_PG, "correct_PG", remedy)


def _check_all(is_fine: Tensor, values: Tensor, field: str, words: str) -> None:
    """Raise ValueError with the first value that is not fine."""
    if not is_fine.all():
        strange: Any = values[~is_fine][0].item()
        raise ValueError(f"Context.{field} must hold {words}, got {strange:g}")
