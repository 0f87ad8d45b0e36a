"""Group statistics without the invalid rewards (NaN).

Success rates p, ω and the mask of correct completions are functions of `correctness_PG`, which `Context.correctness`
returns for rewards.

Shapes: P prompts, G completions a prompt, T tokens of a completion; `rewards_PG` is [P, G], `p_P1` is [P, 1].
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def widened(value: Any) -> Any:
    """Return a tensor of less than 32 bits a number (bfloat16, float16) as float32, anything else as it is.

    bfloat16 has 8 significant bits: the mean of 1023 ones and a zero is 1 in it, and 1 − p is 0.
    """
    is_narrow = isinstance(value, Tensor) and value.is_floating_point() and value.dtype.itemsize < 4
    return value.float() if is_narrow else value


def in_float32(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Function decorator: widen every tensor among the arguments, against computing in bfloat16."""

    @functools.wraps(function)
    def compute(*arguments: Parameters.args, **keywords: Parameters.kwargs) -> Result:
        wide = {name: widened(value) for name, value in keywords.items()}
        return function(*map(widened, arguments), **wide)

    return compute


def num_valid(rewards_PG: Tensor) -> Tensor:
    """Return the number of valid completions of each group, [P, 1]."""
    return (~rewards_PG.isnan()).sum(dim=1, keepdim=True)


def group_mean(rewards_PG: Tensor) -> Tensor:
    """Return the mean reward of each group, [P, 1]; 0 without a valid one. For 0/1 rewards it is p."""
    return widened(rewards_PG).nansum(dim=1, keepdim=True) / num_valid(rewards_PG).clamp(min=1)


def centred(rewards_PG: Tensor) -> Tensor:
    """Return r − mean(r), [P, G]; exactly 0 where a group's rewards are all equal, and for NaN.

    The mean of equal rewards is not always equal to them in floating point; dividing that residue by a standard
    deviation of the same size would turn it into an advantage of order one.
    """
    deviations = rewards_PG - group_mean(rewards_PG)
    return torch.where(is_tied(rewards_PG) | rewards_PG.isnan(), 0.0, deviations)


def std_of(deviations_PG: Tensor, num_valid_P1: Tensor, *, ddof: int) -> Tensor:
    """Return the standard deviation from a group's deviations (`centred`) over n − ddof, [P, 1]; 0 if n ≤ ddof.

    The mean square is taken first and corrected by n / (n − ddof) then: TRL's order, and its rounding.
    """
    deviations_PG = widened(deviations_PG)
    degrees, n_P1 = num_valid_P1 - ddof, num_valid_P1.to(deviations_PG)
    mean_square_P1 = deviations_PG.square().sum(dim=1, keepdim=True) / n_P1.clamp(min=1)
    return torch.where(degrees > 0, mean_square_P1 * (n_P1 / degrees.clamp(min=1)), 0.0).sqrt()


def quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return numerator / denominator, and 0 where the denominator is 0, as in a group of equal rewards."""
    is_zero = denominator == 0
    return (numerator / denominator.masked_fill(is_zero, 1.0)).masked_fill(is_zero, 0.0)


def is_tied(rewards_PG: Tensor) -> Tensor:
    """Return True for a group whose valid rewards are all equal, or which has none, [P, 1]."""
    low = rewards_PG.nan_to_num(nan=torch.inf).amin(dim=1, keepdim=True)
    high = rewards_PG.nan_to_num(nan=-torch.inf).amax(dim=1, keepdim=True)
    return low >= high


def success_rate(correctness_PG: Tensor) -> Tensor:
    """Return p, the mean accuracy of each group, [P, 1].

    Raises:
        ValueError: values outside [0, 1], whose mean is no rate.
    """
    check_unit_rewards(correctness_PG)
    return group_mean(correctness_PG)


def is_mixed(p_P1: Tensor) -> Tensor:
    """Return True for a group with both successes and failures, 0 < p < 1, [P, 1]."""
    return (p_P1 > 0) & (p_P1 < 1)


def is_correct(correctness_PG: Tensor) -> Tensor:
    """Return True for values above one half, [P, G]; False for NaN."""
    return correctness_PG > 0.5


def num_correct(correctness_PG: Tensor) -> Tensor:
    """Return the number of correct completions of each group, [P, 1]."""
    return is_correct(correctness_PG).sum(dim=1, keepdim=True)


def all_incorrect_chance(num_drawn: int, *, num_incorrect: Tensor, num_total: Tensor) -> Tensor:
    """Return C(f, k) / C(n, k): the chance that k completions drawn without replacement are all incorrect.

    float64, of the shape of f (incorrect) and n (all), which are whole numbers; 0 where f < k, 1 for k = 0.
    """
    chance = torch.ones_like(num_total, dtype=torch.float64)
    for j in range(num_drawn):
        chance = chance * (num_incorrect - j).clamp(min=0) / (num_total - j).clamp(min=1)
    return chance


@in_float32
def whitened(values_PG: Tensor, lengths_PG: Tensor) -> Tensor:
    """Return (v − mean) / √(var + 1e-8) over all tokens of the batch; 0 for NaN.

    Each token has its completion's value: mean and (unbiased) variance count a completion as often as it has tokens.
    Values that are all equal give 0.
    """
    is_valid = ~values_PG.isnan()
    values_PG = values_PG.nan_to_num(nan=0.0)
    tokens_PG = lengths_PG.to(values_PG) * is_valid
    num_tokens = tokens_PG.sum()
    deviations_PG = values_PG - (tokens_PG * values_PG).sum() / num_tokens.clamp(min=1)
    variance = (tokens_PG * deviations_PG.square()).sum() / (num_tokens - 1).clamp(min=1)
    low, high = values_PG[is_valid].aminmax() if is_valid.any() else (values_PG.new_zeros(()),) * 2
    return torch.where(is_valid & (low < high), deviations_PG / (variance + 1e-8).sqrt(), 0.0)


@in_float32
def mean_over_tokens(values_PGT: Tensor, mask_PGT: Tensor) -> Tensor:
    """Return the mean over the tokens of each completion without padding, [P, G]."""
    is_token = mask_PGT > 0
    return torch.where(is_token, values_PGT, 0.0).sum(dim=2) / is_token.sum(dim=2).clamp(min=1)


@in_float32
def batch_mean(correctness_PG: Tensor) -> Tensor:
    """Return ω, the mean accuracy over all valid completions of the batch (Eq. 11), a scalar; 0 without any.

    The authors' code takes the mean of the groups' means: the same number when groups are equal in size.

    Raises:
        ValueError: values outside [0, 1].
    """
    check_unit_rewards(correctness_PG)
    return correctness_PG.nansum() / (~correctness_PG.isnan()).sum().clamp(min=1)


def check_unit_rewards(rewards_PG: Tensor) -> None:
    """Raise ValueError for rewards outside [0, 1]."""
    if rewards_PG.numel() == 0:
        return
    low, high = rewards_PG.nan_to_num(nan=0.5).aminmax()
    if low < 0 or high > 1:
        raise ValueError(
            "this estimator weighs by mean rewards as success rates and needs rewards in [0, 1]; "
            f"got {low:g} to {high:g}"
        )
