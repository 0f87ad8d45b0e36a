"""Dynamic sampling: unmixed groups are replaced by groups of other problems, as in DAPO (arXiv 2503.14476).

A group is mixed if some of its valid completions are correct and others are not. All advantages of an unmixed group are
0 in GRPO. Other problems are drawn in rounds, until `num_prompts` groups are mixed or `sampling_rounds` have passed:

    round 1     the step's prompts, from TRL's sampler
    round r     as many other problems, from a stream of their own (seed, step, r): a resumed run draws the same

With `skip_window` = w, a problem whose group was not mixed is skipped for w steps (SamplingStages keeps that record).
Another problem takes its place, from the stream of round 0.

The first mixed groups in the order of their rounds are trained on. If they are too few, unmixed groups of the first
round fill the batch. All other groups are dropped, and recorded with the reason. ω and the counts of a step's metrics
include dropped groups.

Legend: P prompts.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from agrae_lab.tasks import Verdict

SOLVED, UNSOLVED, INVALID, SURPLUS = "solved", "unsolved", "invalid", "surplus"  # reasons for dropping a group


@dataclass(frozen=True)
class Draw:
    """A sampled completion with its verdict.

    log_probs: of its tokens, by an engine that returns them; None otherwise.
    """

    problem_id: str
    completion_ids: list[int]
    completion: Any
    log_probs: list[float] | None
    verdict: Verdict


@dataclass(frozen=True)
class DroppedGroup:
    """A group that is not trained on; rounds are counted from 1."""

    round_number: int
    reason: str
    draws: list[Draw]


@dataclass(frozen=True)
class Sampled:
    """Outcome of a step's rounds: the groups of the batch, in order, the dropped ones, and the number of rounds."""

    kept: list[list[Draw]]
    dropped: list[DroppedGroup] = field(default_factory=list)
    num_rounds: int = 1


def other_problems(
    all_problem_ids: Sequence[str], taken: Collection[str], num: int, *, seed: int, step: int, round_number: int
) -> list[str] | None:
    """Return problems for another round, none of them taken in this step; None if there are too few."""
    left = [problem_id for problem_id in all_problem_ids if problem_id not in taken]
    return random.Random(f"{seed} {step} {round_number}").sample(left, num) if len(left) >= num else None


def replace_skipped(
    problem_ids_P: Sequence[str], skipped: Set[str], all_problem_ids: Sequence[str], *, seed: int, step: int
) -> list[str]:
    """Return the step's problems, with skipped ones replaced by random others.

    If there are too few others, the first skipped problems stay.
    """
    places = [i for i, problem_id in enumerate(problem_ids_P) if problem_id in skipped]
    taken = skipped | set(problem_ids_P)
    left = [problem_id for problem_id in all_problem_ids if problem_id not in taken]
    others = random.Random(f"{seed} {step} 0").sample(left, min(len(places), len(left)))
    replaced = dict(zip(places[len(places) - len(others) :], others, strict=True))
    return [replaced.get(i, problem_id) for i, problem_id in enumerate(problem_ids_P)]


def unmixed_reason(verdicts: Sequence[Verdict]) -> str | None:
    """Return the reason why a group of these verdicts is not mixed; None for a mixed one."""
    correct = [verdict.correct for verdict in verdicts if verdict.valid]
    if not correct:
        return INVALID
    if not any(correct):
        return UNSOLVED
    return SOLVED if all(correct) else None


def group_unmixed_reason(group: Sequence[Draw]) -> str | None:
    """Return the reason why a group is not mixed, as `unmixed_reason`."""
    return unmixed_reason([draw.verdict for draw in group])


def divide(rounds: Sequence[Sequence[list[Draw]]], num_prompts: int) -> Sampled:
    """Return the groups of a batch and the dropped ones, out of the groups of each round."""
    numbered = [(i, group) for i, groups in enumerate(rounds, start=1) for group in groups]
    mixed = [place for place, (_, group) in enumerate(numbered) if group_unmixed_reason(group) is None]
    unmixed = [place for place, (i, group) in enumerate(numbered) if i == 1 and group_unmixed_reason(group) is not None]
    kept = (mixed + unmixed)[:num_prompts]
    left = sorted(set(range(len(numbered))).difference(kept))
    dropped = [
        DroppedGroup(i, group_unmixed_reason(group) or SURPLUS, group)
        for i, group in (numbered[place] for place in left)
    ]
    return Sampled([numbered[place][1] for place in kept], dropped, len(rounds))


def num_mixed(groups: Sequence[Sequence[Draw]]) -> int:
    """Return the number of mixed groups."""
    return sum(group_unmixed_reason(group) is None for group in groups)


def sampling_metrics(sampled: Sampled) -> dict[str, int]:
    """Return a step's numbers of dynamic sampling.

    trained_unmixed: unmixed groups of the batch, since the rounds gave too few mixed ones. dropped_*: prompts by the
    reason for which they are not trained on; a surplus is mixed and one too many. dropped_tokens: tokens of their
    completions, which `num_tokens` counts too.
    """
    reasons = [group.reason for group in sampled.dropped]
    return {
        "sampling_rounds": sampled.num_rounds,
        "trained_unmixed": len(sampled.kept) - num_mixed(sampled.kept),
        **{f"dropped_{reason}": reasons.count(reason) for reason in (SOLVED, UNSOLVED, INVALID, SURPLUS)},
        "dropped_tokens": sum(len(draw.completion_ids) for group in sampled.dropped for draw in group.draws),
    }


def completion_text(completion: str | list[dict[str, Any]]) -> str:
    """Return the text of a completion, which is a string or, after a chat prompt, a list of messages."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
