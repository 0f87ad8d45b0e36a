"""Search: Optuna proposes cells, one for each slot that falls free, and is told what came of them.

    space.py     what a trial sets: the base composed once for each combination of the searched config groups
    storage.py   the Optuna study behind a study of ours: its sampler, and what must not change on resume
    trials.py    trials ↔ runs: asked, told, taken up again after a controller has died
    pruning.py   whether a trial's runs are worth going on with
    table.py     trials.csv: every trial as a row, for readers and figures
    search.py    all of it in one call

A trial is a cell: its value is the mean over the study's seeds, which are never searched. The run directories stay the
ledger of the runs; the storage knows the trials, and only the controller writes to it.
"""
