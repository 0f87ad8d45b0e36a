"""Adapter for rllm: any estimator in its registry of advantage estimators.

    from agrae_lab.advantages.adapters.rllm import register

    register()
    AgentTrainer(..., traj_group_adv_estimator_map={"solver": "agrae/a_grae"})

rllm hands over the rewards of each group, and the trajectories, which have the lengths; an estimator that needs token
entropies, token log-probs, reward components or names of prompts is refused. Groups may differ in size. Success rates
are computed from the rewards, which must be 0 or 1. rllm reads `rllm.algorithm.adv_estimator` as one of its own names,
so that the estimator of a role is named in the map.

Legend: P groups, G completions of the largest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from agrae_lab.advantages.adapters.registries import PREFIX, check_given, servable
from agrae_lab.advantages.estimator import Context, Estimator

GIVEN = frozenset({"lengths"})  # the `INPUTS` that trajectories hold


def register(names: Iterable[str] | None = None, *, flavor: str = "paper") -> list[str]:
    """Enter presets in rllm's registry as `agrae/<name>` and return these names.

    None: all presets that rllm's trajectories can serve.

    Raises:
        ValueError: unknown name, or an estimator that needs more inputs than rllm gives.
        ModuleNotFoundError: rllm is not installed.
    """
    from rllm.trainer.algorithms.advantage import register_rllm_adv_estimator

    functions = {
        f"{PREFIX}{estimator.name}": advantage_function(estimator)
        for estimator in servable(names, flavor=flavor, given=GIVEN, host="rllm")
    }
    for name, function in functions.items():
        register_rllm_adv_estimator(name)(function)
    return list(functions)


def advantage_function(estimator: Estimator) -> Callable[..., tuple[list[Any], list[Any]]]:
    """Return an estimator in rllm's signature, for `register_rllm_adv_estimator`.

    The function keeps the state of a stateful estimator from call to call, for each role apart. It ends with the
    process.

    Raises:
        ValueError: the estimator needs more inputs than rllm gives.
    """
    check_given(estimator, given=GIVEN, host="rllm")
    states: dict[str, dict[str, Any]] = {}

    @torch.no_grad()
    def compute(
        rewards: Sequence[Any], algorithm_config: Any, traj_groups: Sequence[Any] = (), **_: Any
    ) -> tuple[list[Any], list[Any]]:
        """Return advantages and returns of each group, NumPy arrays of the shape of its rewards.

        Args:
            rewards: an array of each group, all of one role.
            algorithm_config: rllm's, unused: the estimator has its own settings.
            traj_groups: the groups with their trajectories.
        """
        if not rewards:
            return [], []
        role = str(traj_groups[0].group_role) if traj_groups else ""
        sizes = [len(group) for group in rewards]
        context = Context(lengths_PG=_rectangle(map(_lengths, traj_groups), sizes, fill=0) if traj_groups else None)
        rewards_PG = _rectangle(rewards, sizes, fill=math.nan)  # a smaller group is one with invalid completions
        advantages_PG, states[role] = estimator.step(rewards_PG, context, state=states.get(role))
        advantages = [row[:size].numpy() for row, size in zip(advantages_PG, sizes, strict=True)]
        return advantages, advantages

    return compute


def _lengths(group: Any) -> list[int]:
    """Return the tokens that the policy wrote in each trajectory of a group."""
    return [sum(len(step.response_ids) for step in trajectory.steps) for trajectory in group.trajectories]


def _rectangle(groups: Iterable[Any], sizes: Sequence[int], *, fill: float) -> torch.Tensor:
    """Return [P, G], float64, the rows filled up to the largest group."""
    rows = [[*map(float, group), *[fill] * (max(sizes) - size)] for group, size in zip(groups, sizes, strict=True)]
    return torch.tensor(rows, dtype=torch.float64)
