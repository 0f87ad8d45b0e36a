"""Run directories: identity, status, records, listing. All state of a run is in its directory.

    <root>/
        experiments/<name>.json             the runs of one question (an Experiment)
        <method>-<hash8>/seed-<n>/          one run, named by its training identity (identity.py)
            config.yaml                     fully resolved; `evaluation` is the last one requested
            meta.json                       status, error, provenance, timings, evaluations
            progress.json                   current phase and progress, for displays
            metrics.parquet                 one row per step (a step = one generation batch, counted from 1)
            rollouts/step-000001.parquet    one row per completion that the step trains on
            rollouts/dropped-000001.parquet one row per dropped completion (train.sampling_rounds)
            checkpoints/                    to resume from
            model/                          the trained policy
            eval/<benchmark>-<hash8>/samples.parquet     named by its evaluation identity
            policies/step-000020/           for evaluation.at_steps: model/ until it is evaluated, eval/ as above
            log.txt
        protocols/<name>/                   a confirmatory study: its frozen file, its looks (protocols.py)
        studies/<name>/                     a study of `python -m sweeps`: its definition, frozen cells, events
        tuning/                             a root of its own: the searches that chose a confirmatory study's settings
        base/<benchmark>-<hash8>/samples.parquet   evaluations of base models, shared by their runs
        pictures/                           thumbnails of the problems, for reports (training/thumbnails.py)

This package imports neither torch nor pandas, so that displays and launchers read run directories in milliseconds.
"""

from agrae_lab.runs.comparison import Comparison
from agrae_lab.runs.directory import (
    FINAL_STATUSES,
    SCHEMA_VERSION,
    STATUSES,
    Run,
    check_same_run,
    create_run,
    is_finished,
    list_runs,
    read_run,
    run_dir_for,
    run_dirs,
    split_words,
    update_config,
    update_meta,
    updated_config,
)
from agrae_lab.runs.files import (
    RunBusyError,
    RunError,
    hand_over_lock,
    has_inherited_lock,
    lock,
    number_in,
    read_json_if_any,
    replacing,
    write_json,
)
from agrae_lab.runs.identity import (
    DERIVED,
    NOT_RESULT_SECTIONS,
    differing,
    evaluation_hash,
    evaluation_identity,
    joined_evaluations,
    leaves,
    same_evaluation,
    settings,
    training_hash,
    training_identity,
)
from agrae_lab.runs.manifests import Experiment, list_experiments
from agrae_lab.runs.protocols import digest, protocol_dir, read_frozen, read_looks, write_frozen, write_looks

__all__ = [
    "DERIVED",
    "FINAL_STATUSES",
    "NOT_RESULT_SECTIONS",
    "SCHEMA_VERSION",
    "STATUSES",
    "Comparison",
    "Experiment",
    "Run",
    "RunBusyError",
    "RunError",
    "check_same_run",
    "create_run",
    "differing",
    "digest",
    "evaluation_hash",
    "evaluation_identity",
    "hand_over_lock",
    "has_inherited_lock",
    "is_finished",
    "joined_evaluations",
    "leaves",
    "list_experiments",
    "list_runs",
    "lock",
    "number_in",
    "protocol_dir",
    "read_frozen",
    "read_json_if_any",
    "read_looks",
    "read_run",
    "replacing",
    "run_dir_for",
    "run_dirs",
    "same_evaluation",
    "settings",
    "split_words",
    "training_hash",
    "training_identity",
    "update_config",
    "update_meta",
    "updated_config",
    "write_frozen",
    "write_json",
    "write_looks",
]
