"""Hydra sweeper: the axes of an experiment and of the command line → the launcher, with all jobs at once.

Hydra's own sweeper writes into the root before it has checked the jobs, composes each job twice, and reports mistakes
as tracebacks. Hydra imports every plugin at every start, so heavy imports are inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class AgraeSweeper(Sweeper):
    """Sweeper over `hydra.sweeper.params`; an override of the command line replaces the axis of the same key."""

    def __init__(self, params: Mapping[str, Any] | None) -> None:
        self._axes = [f"{key}={values}" for key, values in (params or {}).items()]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Pass all points of the grid to the launcher.

        Raises:
            SystemExit: an override that cannot be read or has no list of values, after one sentence about it.
        """
        from agrae_lab.runs.hydra_errors import leave_errors_to_hydra
        from sweeps.errors import CONFIG_ERRORS, PlanError, one_sentence, reraise_if_full_error
        from sweeps.launch.cells import print_refusal
        from sweeps.spec.experiments import multirun_points

        leave_errors_to_hydra()
        setup_globals()
        try:
            points = multirun_points(self._axes, arguments)
        except PlanError as error:
            raise SystemExit(print_refusal(error)) from error
        except CONFIG_ERRORS as error:
            reraise_if_full_error(error)
            raise SystemExit(print_refusal(PlanError([one_sentence(error)]))) from error
        return self._launcher.launch(points, initial_job_idx=0)
