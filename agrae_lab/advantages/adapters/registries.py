"""Estimators for the registry of a host, another code base that hands its advantage functions a part of the inputs."""

from __future__ import annotations

from collections.abc import Iterable

from agrae_lab.advantages.estimator import INPUTS, Estimator
from agrae_lab.advantages.presets import make, preset_names

PREFIX = "agrae/"  # of our names in a registry


def servable(names: Iterable[str] | None, *, flavor: str, given: frozenset[str], host: str) -> list[Estimator]:
    """Return the estimators of these presets; None: of all that need no more inputs than are given.

    Raises:
        ValueError: unknown name, or an estimator that needs more inputs than the host gives.
    """
    if names is None:
        return [e for name in preset_names() if (e := make(name, flavor=flavor)).requires <= given]
    chosen = [make(name, flavor=flavor) for name in names]
    for estimator in chosen:
        check_given(estimator, given=given, host=host)
    return chosen


def check_given(estimator: Estimator, *, given: frozenset[str], host: str) -> None:
    """Raise ValueError if an estimator needs more inputs than a host hands to advantage functions."""
    if missing := sorted(estimator.requires - given):
        words = " and ".join(INPUTS[name][1] for name in missing)
        handed = " and ".join(["rewards", *(INPUTS[name][1] for name in sorted(given))])
        raise ValueError(
            f"advantage {estimator.name!r} needs {words}, which {host} does not hand to advantage functions; they get "
            f"{handed}, prompt by prompt"
        )
