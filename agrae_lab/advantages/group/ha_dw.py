"""HA-DW: weights against the policy's recent record."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above, whole_from
from agrae_lab.advantages.statistics import batch_mean, success_rate


@link("group", "ha_dw")
@dataclass(frozen=True)
class HADW(Link):
    """Weigh surprises more and expected outcomes less, as the recent batches tell them apart.

    A* = λ · e^{−sgn(A)·(p−C)} · A, C the mean of the last 10 batches' mean rewards   (HA-DW, arXiv 2601.08521;
    yangfengkai/HA-DW:verl/trainer/ppo/core_algos.py, ray_trainer.py).

    The batch at hand is one of the ten, as in the authors' trainer. A success counts more the harder its prompt is
    beside C, a failure the easier. p = C leaves λ·A.
    The paper's main text lets C follow the batches at a rate η·std(last m values of C) and compares p with C before the
    batch. Neither text nor code gives η and m: that form is not offered.
    Rewards must lie in [0, 1]. A batch without any verdict leaves the state as it is. The laws hold for a first batch;
    with a history, p is compared with rewards that a shift does not reach.
    State: the mean rewards of the window's batches.

    >>> from agrae_lab.advantages import make
    >>> make("ha_dw").step(Tensor([[1, 0, 0, 0]]), state={"ha_dw": [0.5, 0.75]})
    (tensor([[ 3.3360, -0.6745, -0.6745, -0.6745]]), {'ha_dw': [0.5, 0.75, 0.25]})
    """

    scale: Annotated[
        float,
        above(0),
        "λ, the factor on all advantages; 1.5 in the code of arXiv 2601.08521, 1.3 and 1.5 in the paper's best rows",
    ] = 1.5
    window: Annotated[int, whole_from(1), "batches in C; 10 in the script of arXiv 2601.08521"] = 10

    STATEFUL: ClassVar = True
    BREAKS: ClassVar = frozenset({"zero_sum", "groups_independent"})

    def __call__(
        self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context, state: list[float] | None
    ) -> tuple[Tensor, list[float]]:
        if rewards_PG.isnan().all():
            return advantages_PG, state or []
        correctness_PG = context.correctness(rewards_PG)
        omega = batch_mean(correctness_PG) if context.omega is None else context.omega
        recent = [*(state or []), float(omega)][-self.window :]
        ease_P1 = success_rate(correctness_PG) - sum(recent) / len(recent)
        return self.scale * (-advantages_PG.sign() * ease_P1).exp() * advantages_PG, recent
