"""Search by Optuna. When a slot is free and no open trial has a run waiting, Optuna proposes a new trial.

It receives the trial's metric values.

    space.py     dimensions of a trial, and the base composed once for each combination of the searched config groups
    storage.py   the Optuna study of a search: its sampler, and the settings that must not change on resume
    trials.py    trials ↔ runs: proposed, executed, reported, and requeued after the death of a controller
    pruning.py   early end of unpromising trials
    table.py     trials.csv: a row for every trial, for readers and figures
    search.py    a whole search in one call

A trial is a cell. Its value is the mean over the study's seeds, which are never searched. The status of the runs is in
their directories; the storage has the trials, and only the controller writes to it.
"""
