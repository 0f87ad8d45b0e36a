"""Behaviour-space simulator: the paper's model of a policy (Theorem 1, B.3), trained by any estimator. Needs torch.

records = simulate(make("negative_dominant"), behaviour_space(seed=0), seed=0)
records.rows()                                     # a plain dict for each recorded step

    space.py     behaviour spaces: logits [P, N] and which trajectories are correct
    dynamics.py  draw, reward, estimate, move logits; again
    records.py   records: Pass@k, entropy, probability of correct trajectories that were not drawn
    example.py   one step of one small space, every logit by itself
    __main__.py  `python -m agrae_lab.advantages.simulator [estimator ...] out=<dir>`: estimators compared, into files

Shapes: P prompts, N trajectories of each, G draws of each a step, R recorded steps, K values of k.
"""

from agrae_lab.advantages.simulator.dynamics import KS, check_simulable, simulate
from agrae_lab.advantages.simulator.records import Records
from agrae_lab.advantages.simulator.space import BehaviourSpace, behaviour_space

__all__ = ["KS", "BehaviourSpace", "Records", "behaviour_space", "check_simulable", "simulate"]
