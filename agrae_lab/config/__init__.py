"""Configs of runs: keys (keys.py), their check (schema.py), help (help.py), frozen configs, fingerprints of code."""

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
