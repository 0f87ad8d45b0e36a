"""Configs of runs: every key (schema.py), frozen configs (frozen.py), fingerprints of code (code_fingerprints.py)."""

from agrae_lab.config.frozen import (
    CONF_DIR,
    ConfigError,
    canonical,
    complete,
    estimator_of,
    freeze,
    problem_sets,
    register_advantages,
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
    "register_advantages",
    "with_evaluation",
]
