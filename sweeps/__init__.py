"""Sweeps: many runs, planned, frozen, executed and collected. Nothing here depends on the estimators.

    spec/        studies and experiments: the YAML's keys and rules, axes → cells, composed configs, objectives
    planning/    cells → frozen configs on disk → unfinished runs; the study's directory; drift since the freeze
    execution/   one process per run: workers, retries, shutdown, display
    engines/     places of execution: this machine, Slurm, Ray
    search/      searches by Optuna
    inspect/     preview, status, collect, compare, export, gc
    launch/      a whole launch, from plan to exit code
    plugins/     Hydra's launcher and sweeper, for `python -m agrae_lab.train -m`
    studies/     the shipped studies
The command line is __main__.py: targets.py finds what its words name, commands.py has one function for each command.

The status of a run is in its run directory alone (see agrae_lab.runs), so the same command resumes any sweep.
"""
