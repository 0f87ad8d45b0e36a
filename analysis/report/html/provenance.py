"""Provenance of the runs: revisions, packages, machines, fingerprints, from meta.json and config.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from agrae_lab.runs import Run
from analysis.io.study import Study

_ANALYSIS_PACKAGES = ("agrae-lab", "numpy", "scipy", "pandas", "pyarrow", "matplotlib")


@dataclass(frozen=True)
class Fact:
    """A recorded fact: value → the runs that have it. A single value holds for all runs."""

    name: str
    values: dict[str, tuple[str, ...]]


def facts(study: Study) -> list[Fact]:
    """Return all recorded facts of the runs; a resumed run has the values of each attempt."""
    found: dict[str, dict[str, list[str]]] = {}
    for run in study.runs:
        for name, value in dict.fromkeys(_run_facts(run)):
            found.setdefault(name, {}).setdefault(value, []).append(run.key)
    return [Fact(name, {value: tuple(keys) for value, keys in values.items()}) for name, values in found.items()]


@cache
def analysis_versions() -> list[tuple[str, str]]:
    """Return packages and versions of this analysis."""
    return [(name, version(name)) for name in _ANALYSIS_PACKAGES]


def total_time(study: Study) -> str:
    """Return the total time of training and evaluation, such as `5.2 hours`."""
    minutes = sum(sum(run.meta.get("timings", {}).values()) for run in study.runs) / 60
    return f"{minutes / 60:.1f} hours" if minutes >= 90 else f"{minutes:.0f} minutes"


def _run_facts(run: Run) -> Iterator[tuple[str, str]]:
    attempts = run.meta.get("attempts", [])
    for attempt in attempts:
        revision = str(attempt.get("git_revision") or "not in a repository")
        changed = " (the working tree had changes)" if revision.endswith("+") else ""
        yield "git revision", revision.removesuffix("+") + changed
    if model := run.meta.get("model_fingerprint"):
        yield "model", f"{run.config['model']['path']} (fingerprint {model})"
    for name, fingerprint in _section(run, "data_fingerprints").items():
        yield f"problems: {name}", str(fingerprint)
    for attempt in attempts:
        yield "Python", str(attempt.get("python", "unknown"))
        yield "machine", str(attempt.get("machine", "unknown"))
        for name, found in attempt.get("packages", {}).items():
            yield name, str(found)


def _section(run: Run, name: str) -> dict[str, Any]:
    return run.config.get(name) or {}
