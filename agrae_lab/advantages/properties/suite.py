"""Law suite: batches on which an estimator breaks a law (`laws.py`). Nothing here is random.

A batch is its rewards [P, G]. The other inputs of an estimator (lengths, entropies, …) are made up from their shape,
different from completion to completion, and follow the completions when these are reordered or left out.
Every call starts from an empty state, as the first batch of a training does.

Legend: P prompts, G completions, T tokens.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, Estimator
from agrae_lab.advantages.properties.laws import ALWAYS
from agrae_lab.advantages.statistics import centred, is_tied

TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4}  # relative to the group's largest |A|, or to 1
NUM_TOKENS = 4

Violation = dict[str, Tensor]  # label → values to show; "rewards" is always there


@dataclass(frozen=True)
class Batch:
    """Rewards [P, G] and the other inputs of the same completions."""

    rewards_PG: Tensor
    context: Context

    def at(self, prompts: slice, completions: slice | Tensor = slice(None)) -> Batch:
        """Return the batch of these prompts and these completions of each."""

        def take(value: Tensor) -> Tensor:
            return value[prompts][:, completions]

        given = {f.name: getattr(self.context, f.name) for f in dataclasses.fields(Context)}
        taken: dict[str, Any] = {name: take(value) for name, value in given.items() if isinstance(value, Tensor)}
        taken["parts"] = {name: take(value) for name, value in (self.context.parts or {}).items()} or None
        taken["prompts"] = self.context.prompts and self.context.prompts[prompts]
        return Batch(take(self.rewards_PG), dataclasses.replace(self.context, **taken))


def batch_of(rewards_PG: Tensor, *, requires: frozenset[str] = frozenset()) -> Batch:
    """Return rewards with the inputs that an estimator `requires` beside them."""
    if not requires:
        return Batch(rewards_PG, Context())
    num_prompts, num_generations = rewards_PG.shape
    # a number for each completion; up to 11 in a group are all different
    tag_PG = (torch.arange(num_prompts)[:, None] * 5 + torch.arange(num_generations) * 7) % 11
    lengths_PG = 1 + tag_PG % NUM_TOKENS
    tokens = torch.arange(NUM_TOKENS)
    mask_PGT = (tokens < lengths_PG[..., None]).long()
    entropies_PGT = (0.1 + 0.05 * tag_PG[..., None] + 0.3 * tokens).to(rewards_PG)
    form_PG = 0.25 * (tag_PG % 3).to(rewards_PG) + 0 * rewards_PG  # NaN where the reward is
    context = Context(
        lengths_PG=lengths_PG,
        parts={"outcome": rewards_PG - form_PG, "form": form_PG},
        entropies_PGT=entropies_PGT,
        logprobs_PGT=-0.7 * entropies_PGT,
        mask_PGT=mask_PGT,
        prompts=[f"prompt {i}" for i in range(num_prompts)],
    )
    return Batch(rewards_PG, context)


def advantages_of(estimator: Estimator, batch: Batch) -> Tensor:
    """Return the batch's advantages from an empty state; 0 at padding. The estimator gets a copy of the rewards."""
    advantages = estimator(batch.rewards_PG.clone(), batch.context)
    if advantages.ndim == 3 and batch.context.mask_PGT is not None:
        return advantages.masked_fill(batch.context.mask_PGT == 0, 0.0)
    return advantages


def violation(law: str, estimator: Estimator, rewards_PG: Tensor) -> Violation | None:
    """Return the values that show a broken law on this batch, or None."""
    return _CHECKS[law](estimator, batch_of(rewards_PG, requires=estimator.requires))


def holds(law: str, estimator: Estimator, rewards_PG: Tensor) -> bool:
    """Return True if the estimator keeps a law on this batch."""
    return violation(law, estimator, rewards_PG) is None


def counter_example(law: str, estimator: Estimator, batches: Iterable[Tensor]) -> Violation | None:
    """Return the values of the first of these batches on which the estimator breaks a law, or None."""
    return next((found for rewards in batches if (found := violation(law, estimator, rewards))), None)


def binary_batches(min_group_size: int = 2) -> Iterator[Tensor]:
    """Yield all batches of one or two groups of 0/1 rewards, by numbers of correct completions, the smallest first."""
    for size in _group_sizes(min_group_size):
        groups = [[1.0] * k + [0.0] * (size - k) for k in range(size + 1)]
        for rows in itertools.chain(itertools.product(groups, repeat=1), itertools.product(groups, repeat=2)):
            yield torch.tensor(rows, dtype=torch.float64)


def shaped_batches(min_group_size: int = 2) -> Iterator[Tensor]:
    """Yield all single groups of rewards out of 0, 0.35, 0.5, 1, unordered; then a scatter of larger batches."""
    for size in _group_sizes(min_group_size):
        for row in itertools.combinations_with_replacement((1.0, 0.5, 0.35, 0.0), size):
            yield torch.tensor([row], dtype=torch.float64)
    levels = torch.tensor([0.0, 0.1, 0.35, 0.5, 0.95, 1.0], dtype=torch.float64)  # some are not exact in binary
    for num_prompts, extra in itertools.product((2, 3, 5), (1, 4, 7)):
        numbers = torch.arange(num_prompts * (min_group_size + extra)) ** 2 * 7 + 3 * num_prompts
        yield levels[(numbers // 5) % len(levels)].view(num_prompts, -1)


def invalid_batches(min_group_size: int = 2) -> Iterator[Tensor]:
    """Yield the smallest binary and shaped groups with one completion invalid; with all but one, with all."""
    singles = (
        b for b in itertools.chain(binary_batches(min_group_size), shaped_batches(min_group_size)) if len(b) == 1
    )
    for rewards in itertools.islice(singles, 60):
        unknown = torch.full((1, 1), torch.nan, dtype=torch.float64)
        yield torch.cat([rewards[:, :1], unknown, rewards[:, 1:]], dim=1)
    for lone in (0.0, 1.0, torch.nan):
        yield torch.tensor([[lone] + [torch.nan] * max(1, min_group_size - 1)], dtype=torch.float64)


def all_batches(law: str, min_group_size: int = 2) -> Iterator[Tensor]:
    """Yield the batches of a law, the smallest first."""
    yield from binary_batches(min_group_size)
    yield from shaped_batches(min_group_size)
    if law in ALWAYS:
        yield from invalid_batches(min_group_size)


def _group_sizes(min_group_size: int) -> range:
    smallest = max(2, min_group_size)
    return range(smallest, max(4, smallest) + 1)


def _finite(estimator: Estimator, batch: Batch) -> Violation | None:
    shape = [*batch.rewards_PG.shape, *([NUM_TOKENS] if estimator.is_token_level else [])]
    for dtype in (batch.rewards_PG.dtype, torch.float32):
        rewards_PG = batch.rewards_PG.to(dtype)
        advantages = advantages_of(estimator, batch_of(rewards_PG, requires=estimator.requires))
        if not (advantages.isfinite().all() and advantages.dtype == dtype and list(advantages.shape) == shape):
            return {"rewards": rewards_PG, "advantages": advantages}
    return None


def _pure(estimator: Estimator, batch: Batch) -> Violation | None:
    given_PG = batch.rewards_PG.clone()
    estimator(given_PG, batch.context)
    if not torch.equal(given_PG.nan_to_num(-1.0), batch.rewards_PG.nan_to_num(-1.0)):
        return {"rewards": batch.rewards_PG, "rewards, afterwards": given_PG}
    first, second = advantages_of(estimator, batch), advantages_of(estimator, batch)
    is_kept = torch.equal(first.nan_to_num(), second.nan_to_num())
    return None if is_kept else {"rewards": batch.rewards_PG, "advantages": first, "advantages, again": second}


def _invalid_left_out(estimator: Estimator, batch: Batch) -> Violation | None:
    for i in range(len(batch.rewards_PG)):
        group = batch.at(slice(i, i + 1))
        valid = ~group.rewards_PG[0].isnan()
        advantages = advantages_of(estimator, group)
        if (advantages[0, ~valid] != 0).any():
            return {"rewards": group.rewards_PG, "advantages": advantages}
        if not valid.all() and valid.sum() >= max(2, estimator.min_group_size):
            rest = group.at(slice(None), valid)
            expected = advantages_of(estimator, rest)
            if not _close(advantages[:, valid], expected):
                return _pair(group, advantages, "without the invalid", rest, expected)
    return None


def _permutation_equivariant(estimator: Estimator, batch: Batch) -> Violation | None:
    advantages = advantages_of(estimator, batch)
    order = torch.arange(batch.rewards_PG.shape[1])
    # a rotation and a swap generate every order
    for permuted in (order.roll(1), torch.cat([order[:2].flip(0), order[2:]])):
        other = batch.at(slice(None), permuted)
        found = advantages_of(estimator, other)
        if not _close(advantages[:, permuted], found):
            return _pair(batch, advantages, "in another order", other, found)
    return None


def _zero_on_ties(estimator: Estimator, batch: Batch) -> Violation | None:
    advantages = advantages_of(estimator, batch)
    is_kept = (advantages[is_tied(batch.rewards_PG)[:, 0]] == 0).all()
    return None if is_kept else {"rewards": batch.rewards_PG, "advantages": advantages}


def _shift_invariant(estimator: Estimator, batch: Batch) -> Violation | None:
    # halving keeps the shifted rewards within [0, 1], where the success rate is one
    low, high = (batch_of(batch.rewards_PG / 2 + shift, requires=estimator.requires) for shift in (0.0, 0.5))
    at_low, at_high = advantages_of(estimator, low), advantages_of(estimator, high)
    return None if _close(at_low, at_high) else _pair(low, at_low, "plus 1/2", high, at_high)


def _zero_sum(estimator: Estimator, batch: Batch) -> Violation | None:
    advantages = advantages_of(estimator, batch)
    weights_PG = _mean_over_tokens(advantages, batch)
    bound_P = _tolerance(advantages).flatten() * advantages.shape[1]
    is_kept = (weights_PG.sum(dim=1).abs() <= bound_P).all()
    return None if is_kept else {"rewards": batch.rewards_PG, "advantages": advantages}


def _sign_preserving(estimator: Estimator, batch: Batch) -> Violation | None:
    advantages = advantages_of(estimator, batch)
    deviations = centred(batch.rewards_PG)
    clear = (deviations.abs() > 1e-6) | is_tied(batch.rewards_PG)
    signs = deviations.sign()
    if advantages.ndim == 3:
        real = batch.context.mask_PGT
        assert real is not None
        clear, signs = clear[..., None] & (real == 1), signs[..., None].expand_as(advantages)
    is_kept = (advantages.sign() == signs)[clear].all()
    return None if is_kept else {"rewards": batch.rewards_PG, "advantages": advantages}


def _groups_independent(estimator: Estimator, batch: Batch) -> Violation | None:
    advantages = advantages_of(estimator, batch)
    for i in range(len(advantages)):
        group = batch.at(slice(i, i + 1))
        alone = advantages_of(estimator, group)
        if not _close(advantages[i : i + 1], alone):
            return _pair(batch, advantages, f"group {i + 1} alone", group, alone)
    return None


_CHECKS: dict[str, Callable[[Estimator, Batch], Violation | None]] = {
    "finite": _finite,
    "pure": _pure,
    "invalid_left_out": _invalid_left_out,
    "permutation_equivariant": _permutation_equivariant,
    "zero_on_ties": _zero_on_ties,
    "shift_invariant": _shift_invariant,
    "zero_sum": _zero_sum,
    "sign_preserving": _sign_preserving,
    "groups_independent": _groups_independent,
}


def _mean_over_tokens(advantages: Tensor, batch: Batch) -> Tensor:
    """Return [P, G] advantages, with or without a token axis."""
    if advantages.ndim == 2:
        return advantages
    assert batch.context.mask_PGT is not None
    return advantages.sum(dim=2) / batch.context.mask_PGT.sum(dim=2).clamp(min=1)


def _tolerance(advantages: Tensor) -> Tensor:
    """Return the bound of rounding errors of each group, [P, 1] or [P, 1, 1]."""
    axes = tuple(range(1, advantages.ndim))
    return TOLERANCE[advantages.dtype] * advantages.abs().amax(dim=axes, keepdim=True).clamp(min=1.0)


def _close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(((one - other).abs() <= _tolerance(one)).all())


def _pair(batch: Batch, advantages: Tensor, what: str, other: Batch, found: Tensor) -> Violation:
    return {
        "rewards": batch.rewards_PG,
        "advantages": advantages,
        f"rewards, {what}": other.rewards_PG,
        f"advantages, {what}": found,
    }
