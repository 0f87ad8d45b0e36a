"""Figures of a simulation that `python -m agrae_lab.advantages.simulator` recorded.

    symmetries.py  the two symmetries: logit updates of a behaviour space, Σ|A| against the success rate (Figure 1)
    dynamics.py    Pass@k, entropy and unsolved prompts against step

A module has the same functions as one of analysis/figures, with a `Simulation` instead of a `Study`.
"""

from analysis.io.simulation import Simulation, load_simulation
from analysis.simulation import dynamics, symmetries

FIGURES = (symmetries, dynamics)

__all__ = ["FIGURES", "Simulation", "load_simulation"]
