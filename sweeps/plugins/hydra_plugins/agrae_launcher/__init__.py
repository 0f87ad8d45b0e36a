"""Hydra launcher: carries `python -m agrae_lab.train -m +experiment=group_symmetry seed=0,1` through.

Hydra imports every plugin at every start, so what is heavy is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from hydra.core.utils import JobReturn, JobStatus, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class AgraeLauncher(Launcher):
    """Composes all jobs before the first starts; runs them in parallel, isolated and resumable."""

    def __init__(self, slots: int | None, train_module: str, preload: Sequence[str]) -> None:
        self._slots = slots
        self._train_module = train_module
        self._preload = list(preload)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        pass  # what is composed here, GlobalHydra composes; the task function is the train module's part

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Carry the jobs through.

        Raises:
            SystemExit: unless every job is done; the code is that of sweeps.launch.launch. Hydra would raise
                the first job's error alone, and launch has named all of them.
        """
        from sweeps.launch.cells import launch
        from sweeps.spec.compose import compose
        from sweeps.spec.experiments import Cell

        setup_globals()
        cells = [
            Cell(" ".join(filter_overrides(overrides)), partial(compose, overrides)) for overrides in job_overrides
        ]
        code = launch(cells, num_slots=self._slots, train_module=self._train_module, preload=self._preload)
        if code != 0:
            raise SystemExit(code)
        return [
            JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value="done")
            for overrides in job_overrides
        ]
