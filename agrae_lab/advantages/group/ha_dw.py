"""HA-DW: what surprises the policy's recent record counts more, what it expects counts less."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import batch_mean, success_rate


@link("group", "ha_dw")
@dataclass(frozen=True)
class HADW:
    """A* = λ · e^{−sgn(A)·(p−C)} · A, C the mean of the last 10 batches' mean rewards   (HA-DW, arXiv 2601.08521;
    yangfengkai/HA-DW:verl/trainer/ppo/core_algos.py, ray_trainer.py).

    The batch at hand is one of the ten, as in the authors' trainer. A success counts more the harder its prompt is
    beside C, a failure the easier. p = C leaves λ·A.
    scale: λ > 0; 1.5 in the code, 1.3 in the paper's best row, beside 1.5.
    window: batches, a whole number from 1; 10 in the authors' script.

    The paper's main text lets C follow the batches at a rate η·std(last m values of C) and compares p with C as it was
    before the batch. No value of η and m was found, in text or code: that form is not offered.
    Rewards must lie in [0, 1]. A batch without any verdict leaves the state as it is. The laws speak of a first batch;
    with a history, p is compared with rewards that a shift does not reach.
    State: the mean rewards of the window's batches.
    """

    scale: float = 1.5
    window: int = 10

    name: ClassVar[str]
    STATEFUL: ClassVar = True
    BREAKS: ClassVar = frozenset({"zero_sum", "groups_independent"})

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(
                f"advantage.group.scale must be above 0 (the code of arXiv 2601.08521 has 1.5), got {self.scale}"
            )
        if not isinstance(self.window, int) or self.window < 1:
            raise ValueError(
                "advantage.group.window must be a whole number from 1 (the code of arXiv 2601.08521 has 10), "
                f"got {self.window}"
            )

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        if rewards_PG.isnan().all():
            return advantages_PG
        accuracy_PG = context.accuracy(rewards_PG)
        omega = batch_mean(accuracy_PG) if context.omega is None else context.omega
        recent = [*context.state.get(self.name, []), float(omega)][-self.window :]
        context.state[self.name] = recent
        ease_P1 = success_rate(accuracy_PG) - sum(recent) / len(recent)
        return self.scale * (-advantages_PG.sign() * ease_P1).exp() * advantages_PG
