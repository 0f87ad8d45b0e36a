"""agrae_lab: the lab bench for advantage estimators in reinforcement learning with verifiable rewards.

Import the room you need (`agrae_lab.advantages`, `agrae_lab.runs`, ...); this package imports none of them itself,
so that the advantages need torch alone and the analysis needs no torch at all.
"""
