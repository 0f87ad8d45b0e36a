"""Hydra sweeper: an experiment's axes and those of the command line → the launcher, all jobs at once.

Hydra's own writes into the root before it has looked at the jobs, composes each of them once to look and once to run,
and answers mistakes with tracebacks. Hydra imports every plugin at every start, so what is heavy is imported where it
is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class AgraeSweeper(Sweeper):
    """The grid of `hydra.sweeper.params`, in which a word of the command line takes the place of the same key's."""

    def __init__(self, params: Mapping[str, Any] | None) -> None:
        self._axes = [f"{key}={values}" for key, values in (params or {}).items()]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Hand all points of the grid to the launcher.

        Raises:
            SystemExit: an override that cannot be read or has no list of values, told in one sentence.
        """
        from sweeps.errors import CONFIG_ERRORS, PlanError, one_sentence, raise_if_asked
        from sweeps.launch.cells import refuse
        from sweeps.spec.experiments import expand

        try:
            points = expand([*self._axes, *arguments])
        except CONFIG_ERRORS as error:
            raise_if_asked(error)
            raise SystemExit(refuse(PlanError([one_sentence(error)]))) from error
        return self._launcher.launch(points, initial_job_idx=0)
