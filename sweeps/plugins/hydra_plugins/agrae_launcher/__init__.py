"""Hydra launcher of `python -m agrae_lab.train -m +experiment=group_symmetry seed=0,1`.

Hydra imports every plugin at every start, so heavy imports are inside functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from hydra.core.utils import JobReturn, JobStatus, filter_overrides, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class AgraeLauncher(Launcher):
    """Launcher that composes all jobs before the first starts, and runs them in parallel, isolated and resumable."""

    def __init__(self, slots: int | None, train_module: str, preload: Sequence[str]) -> None:
        self._slots = slots
        self._train_module = train_module
        self._preload = list(preload)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        pass  # jobs are composed by GlobalHydra, and executed by the train module

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Execute the jobs.

        Raises:
            SystemExit: some job is not done; the code is that of sweeps.launch.cells.launch, which printed every error.
                Hydra would raise the first job's error only.
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
