"""Run directories: identity, status, records, listing. The run directory is the ledger; nothing else keeps state.

    <root>/
        experiments/<name>.json             which runs answer which question (an Experiment)
        <method>-<hash8>/seed-<n>/          one run, named by what decides its weights (identity.py)
            config.yaml                     fully resolved; `evaluation` is what was last asked of the run
            meta.json                       status, error, provenance, timings, which evaluations there are
            progress.json                   what the run is doing now, for displays
            metrics.parquet                 one row per step (a step = one generation batch, counted from 1)
            rollouts/step-000001.parquet    one row per sampled completion of that step
            checkpoints/                    to resume from
            model/                          the trained policy
            eval/<benchmark>-<hash8>/samples.parquet     named by what decides it (identity.py)
            policies/step-000020/           of evaluation.at_steps: model/ until it is evaluated, and eval/ as above
            log.txt
        base/<benchmark>-<hash8>/samples.parquet   evaluations of base models, shared by all runs that start there
        pictures/                           thumbnails of the problems, for reports (training/thumbnails.py)

This package imports neither torch nor pandas: displays and launchers read run directories in milliseconds.
"""

from agrae_lab.runs.directory import (
    FINAL_STATUSES,
    SCHEMA_VERSION,
    STATUSES,
    Run,
    ask,
    check_same_run,
    create_run,
    is_finished,
    list_runs,
    read_run,
    run_dir_for,
    update_meta,
)
from agrae_lab.runs.files import (
    RunBusyError,
    RunError,
    hand_over_lock,
    has_been_handed_a_lock,
    lock,
    replacing,
    write_json,
)
from agrae_lab.runs.identity import (
    DERIVED,
    VOLATILE,
    config_hash,
    evaluation_hash,
    evaluation_identity,
    joined_evaluations,
    same_evaluation,
    training_identity,
)
from agrae_lab.runs.manifests import Experiment, list_experiments

__all__ = [
    "DERIVED",
    "FINAL_STATUSES",
    "SCHEMA_VERSION",
    "STATUSES",
    "VOLATILE",
    "Experiment",
    "Run",
    "RunBusyError",
    "RunError",
    "ask",
    "check_same_run",
    "config_hash",
    "create_run",
    "evaluation_hash",
    "evaluation_identity",
    "hand_over_lock",
    "has_been_handed_a_lock",
    "is_finished",
    "joined_evaluations",
    "list_experiments",
    "list_runs",
    "lock",
    "read_run",
    "replacing",
    "run_dir_for",
    "same_evaluation",
    "training_identity",
    "update_meta",
    "write_json",
]
