"""Adapter for verl: any estimator in its registry of advantage functions.

    # my_estimators.py, anywhere on the Python path
    from agrae_lab.advantages.adapters.verl import register

    register()

    VERL_USE_EXTERNAL_MODULES=my_estimators python -m verl.trainer.main_ppo algorithm.adv_estimator=agrae/a_grae ...

verl imports the modules of that variable in every process, so the trainer's process knows the names too. Its signature
carries rewards, mask and prompt ids, and so lengths; an estimator that needs token entropies, token log-probs or reward
components is refused. Success rates are computed from the rewards, which must be 0 or 1.

Legend: N = P·G completions in any order, P prompts, G completions of each, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from agrae_lab.advantages.adapters.registries import PREFIX, check_given, servable
from agrae_lab.advantages.estimator import Context, Estimator
from agrae_lab.advantages.statistics import widened

GIVEN = frozenset({"lengths"})  # the `INPUTS` in verl's signature


def register(names: Iterable[str] | None = None, *, flavor: str = "paper") -> list[str]:
    """Enter presets in verl's registry as `agrae/<name>` and return these names.

    None: all presets that verl's signature can serve.

    Raises:
        ValueError: unknown name, or an estimator that needs more inputs than verl gives.
        ModuleNotFoundError: verl is not installed.
    """
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY, register_adv_est

    chosen = servable(names, flavor=flavor, given=GIVEN, host="verl")
    functions = {f"{PREFIX}{estimator.name}": advantage_function(estimator) for estimator in chosen}
    for name, function in functions.items():
        ADV_ESTIMATOR_REGISTRY.pop(name, None)  # the last call decides; verl itself refuses a second function
        register_adv_est(name)(function)
    return list(functions)


def advantage_function(estimator: Estimator) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return an estimator in verl's signature, for `register_adv_est`.

    The function keeps the state of a stateful estimator from call to call. It ends with the process: verl's checkpoints
    do not hold it.

    Raises:
        ValueError: the estimator needs more inputs than verl gives.
    """
    check_given(estimator, given=GIVEN, host="verl")
    state: dict[str, Any] = {}

    @torch.no_grad()
    def compute(
        token_level_rewards: Tensor, response_mask: Tensor, index: Any, config: Any = None, **_: Any
    ) -> tuple[Tensor, Tensor]:
        """Return advantages and returns, both [N, T], of one training batch.

        Args:
            token_level_rewards: [N, T]; their sum is the completion's reward, taken in float32 at least.
            response_mask: [N, T], 1 where there is a completion token.
            index: [N], the prompt that a completion answers. Every prompt must have as many completions as any other.
            config: verl's `algorithm` section, unused: the estimator has its own settings.
        """
        nonlocal state
        order_PG = _groups(index)
        context = Context(lengths_PG=response_mask.sum(dim=-1)[order_PG])
        rewards_N = widened(token_level_rewards).sum(dim=-1)
        advantages_PG, state = estimator.step(rewards_N[order_PG], context, state=state)
        advantages_N = torch.empty_like(advantages_PG.flatten())
        advantages_N[order_PG.flatten()] = advantages_PG.flatten()
        advantages_NT = advantages_N[:, None] * response_mask
        return advantages_NT, advantages_NT

    return compute


def _groups(index: Any) -> Tensor:
    """Return the rows of each prompt, [P, G]: prompts in the order of their first row, rows in theirs."""
    rows_of: dict[Any, list[int]] = {}
    for row, prompt in enumerate(index.tolist()):
        rows_of.setdefault(prompt, []).append(row)
    sizes = sorted({len(rows) for rows in rows_of.values()})
    if len(sizes) > 1:
        raise ValueError(
            f"every prompt of a batch must have the same number of completions, got from {sizes[0]} to {sizes[-1]}; "
            "filter whole prompts, or none"
        )
    return torch.tensor(list(rows_of.values()))
