"""How many runs are carried through on one machine; knows nothing of advantages.

    grid.py       experiments and overrides → cells (one cell = one configuration to run)
    plan.py       cells → frozen configs on disk → what is still to do
    slots.py      how many runs this machine carries at a time, and which cores and GPU each gets
    executor.py   one process per run: start, watch, record how it ended
    progress.py   what the person at the terminal (or the CI log) sees meanwhile
    estimate.py   how long it still takes
    status.py     what stands in a root, whoever wrote it
    launch.py     all of it in one call, for `python -m sweeps run` and for the Hydra launcher

The run directory is the ledger (see agrae_lab.runs): nothing here keeps state of its own, so the same command
continues whatever was cut off.
"""
