"""No group-level weighting: the advantages pass unchanged."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link


@link("group", "none")
@dataclass(frozen=True)
class Unchanged:
    """A* = A, bit for bit."""

    BREAKS: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        return advantages_PG
