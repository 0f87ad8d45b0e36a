"""Figures of a simulation: what `python -m agrae_lab.advantages.simulator` recorded, drawn like figures of runs.

    frames.py      a simulation's directory → frames
    symmetries.py  the two symmetries: logit updates of a behaviour space, Σ|A| against the success rate (Figure 1)
    dynamics.py    Pass@k, entropy and unsolved prompts against step

A figure module is as in analysis/figures, with a `Simulation` where those have a `Study`.
"""

from analysis.io.simulation import Simulation, load_simulation
from analysis.simulation import dynamics, symmetries

FIGURES = (symmetries, dynamics)

__all__ = ["FIGURES", "Simulation", "load_simulation"]
