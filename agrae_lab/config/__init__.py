"""Configs of runs: every key (schema.py), --help (help.py), frozen configs (frozen.py), fingerprints of code."""

from agrae_lab.config.frozen import (
    CONF_DIR,
    ConfigError,
    canonical,
    complete,
    estimator_of,
    freeze,
    problem_sets,
    with_evaluation,
)

__all__ = [
    "CONF_DIR",
    "ConfigError",
    "canonical",
    "complete",
    "estimator_of",
    "freeze",
    "problem_sets",
    "with_evaluation",
]
