"""Spread of values beyond rounding. Without scipy, which the commands of sweeps would load for this alone."""

import numpy as np


def varies(values: np.ndarray) -> np.ndarray:
    """Return True where values differ along the first axis by more than rounding."""
    return np.ptp(values, axis=0) > 1e-12
