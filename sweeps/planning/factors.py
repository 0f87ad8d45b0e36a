"""Factors in which compared arms differ: a difference between two arms is of one factor only if they differ in one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agrae_lab import runs
from agrae_lab.runs.comparison import REFERENCE

Factors = Mapping[str, Any]  # factor → its value

# Sections of a config that are one factor each; of `train`, and of a control's reward, each key is one.
_WHOLE = ("advantage", "loss", "model", "task", "engine")
_PART_OF = {"train.overlong_weight": "train.overlong_share"}  # key → the key without which it has no effect
_NAMED = 3  # arms that a sentence names


def warning_of_runs(planned: Iterable[runs.Run], comparison: runs.Comparison | None) -> str | None:
    """Return the warning of arms that differ from the reference in several factors; None without any.

    Seeds of a configuration count once. Of several configurations of the reference the nearest one counts.
    """
    chosen = comparison or runs.Comparison()
    arms: dict[str, list[Factors]] = {}
    for run in {run.path.parent: run for run in planned}.values():
        if run.arm == chosen.reference or not chosen.candidates or run.arm in chosen.candidates:
            config = run.config if "train" in run.config else runs.read_run(run.path).config
            arms.setdefault(run.arm, []).append(factors_of_config(config))
    return warning(arms, chosen.reference)


def warning_of_settings(arms: Mapping[str, Mapping[str, Any]], reference: str = REFERENCE) -> str | None:
    """Return the same warning for arms that are given by the config keys that they set."""
    return warning({arm: [factors_of_settings(settings)] for arm, settings in arms.items()}, reference)


def factors_of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the factors of a frozen config: everything that decides its weights but the seed and the code."""
    identity = runs.training_identity(config)
    found: dict[str, Any] = {name: identity[name] for name in _WHOLE if name in identity}
    if isinstance(found.get("task"), Mapping):
        found["task.reward"] = found["task"].get("reward")
        found["task"] = [{k: v for k, v in found["task"].items() if k != "reward"}, identity.get("data_fingerprints")]
    return found | factors_of_settings(dict(runs.leaves(identity.get("train", {}), "train.")))


def factors_of_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the factors that these config keys set: the keys, those of one section together."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        section = key.replace("/", ".").split(".")[0]
        is_whole = section in _WHOLE and key != "task.reward"
        found.setdefault(section if is_whole else _PART_OF.get(key, key), {})[key] = value
    return found


def differing(one: Factors, other: Factors) -> tuple[str, ...]:
    """Return the factors that are not the same, in the order in which they are set."""
    return tuple(name for name in {**one, **other} if one.get(name) != other.get(name))


def warning(arms: Mapping[str, Sequence[Factors]], reference: str) -> str | None:
    """Return one sentence on all arms whose every configuration differs from the reference in several factors."""
    if reference not in arms:
        return None
    by_factors: dict[tuple[str, ...], list[str]] = {}
    for arm, configurations in arms.items():
        nearest = [min((differing(at, factors) for at in arms[reference]), key=len) for factors in configurations]
        if arm != reference and len(least := min(nearest, key=len)) > 1:
            by_factors.setdefault(least, []).append(arm)
    if not by_factors:
        return None
    groups = [f"{_listed(names)} in {' and '.join(factors)}" for factors, names in by_factors.items()]
    return (
        f"more than one factor tells arms from {reference}: {'; '.join(groups)}. Their difference cannot be put down "
        "to one of these; add arms that change one factor at a time, or tune every arm by a protocol"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
