"""Hydra plugin of own estimators: `python -m agrae_lab.train advantage=my_file:MyEstimator`."""

from sweeps.spec.own_estimators import OwnEstimators, OwnEstimatorsSearchPath

__all__ = ["OwnEstimators", "OwnEstimatorsSearchPath"]
