"""How many runs are carried through: planned, frozen, executed, collected. Knows nothing of advantages.

What is asked for
    study.py         a study's YAML: the schema (study_rules.py: what holds between its keys; studies/: those shipped)
    axes.py          its axes → cells
    grid.py          experiments and overrides → cells
    compose.py       overrides → composed configs
    values.py        what a run is worth: the metrics that searches and objectives name
What is to do
    plan.py          cells → frozen configs on disk → what is not done yet
    study_plan.py    the same for a study, held to what it was frozen as (drift.py: what has changed since)
    ledger.py        a study's directory: cells, events, lock (events.py: a display that writes there too)
    preview.py       how that looks, and how long it takes (estimate.py)
Carrying it through
    launch.py        experiments, from plan to exit code; study_launch.py: studies; search/: searches
    engines/         where: this machine, Slurm, Ray
    executor.py      one process per run: start, watch, record how it ended (books.py, child.py, server.py, slots.py)
    policy.py        when a run is tried again, and a sweep given up (failures.py, stopping.py)
    progress.py      what the person at the terminal (or the CI log) sees meanwhile
Afterwards
    status.py        what stands in a root or a study, whoever wrote it
    collect.py, compare.py, export.py, gc.py
The command line is __main__.py: words.py says what its words name, commands.py what each command does.

The run directory is the ledger of its run (see agrae_lab.runs): how far a run is stands nowhere else, so the same
command continues whatever was cut off.
"""
